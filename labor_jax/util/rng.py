"""Everything random is a function of (seed, name, step): nothing to carry, nothing to save."""

import zlib

import jax
import numpy as np


def key(seed: int, name: str, step: int = 0) -> jax.Array:
    """A JAX key of its own for each (seed, name, step)."""
    base = jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))
    return jax.random.fold_in(base, step)


def generator(seed: int, name: str, *steps: int) -> np.random.Generator:
    """A NumPy generator of its own for each (seed, name, steps)."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *steps])


def integer(seed: int, name: str) -> int:
    """A 31-bit seed of its own for each (seed, name), for libraries that take one."""
    return int(generator(seed, name).integers(2**31))
