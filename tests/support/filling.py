"""Variables for tests: initialising a network eagerly compiles one generator a shape."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np


def filled(network: nn.Module, *inputs: Any, seed: int = 0) -> dict:
    """Random variables in which every tensor matters, statistics and biases too."""
    shapes = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    rng = np.random.default_rng(seed)

    def fill(path: tuple, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        noise = rng.standard_normal(leaf.shape)
        if len(leaf.shape) == 4:
            noise /= np.sqrt(np.prod(leaf.shape[:3]))
        elif path[-1].key in ("var", "scale"):
            noise = np.exp(0.1 * noise)
        else:
            noise *= 0.1
        return jnp.asarray(noise, leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, shapes)


def fresh(network: nn.Module, *inputs: Any) -> dict:
    """The network's own initialisation, compiled at once and with a light generator."""
    return jax.jit(network.init)(jax.random.key(0, impl="unsafe_rbg"), *inputs)
