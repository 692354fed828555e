"""The three optimisers: their learning rates over time, and each tensor's factor of the rate."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from labor_jax.models import backbone


class Optimizers(NamedTuple):
    """One optimiser for each kind of network."""

    segmenter: optax.GradientTransformation
    discriminator: optax.GradientTransformation
    selector: optax.GradientTransformation


def segmenter_steps(config: ml_collections.ConfigDict) -> int:
    """How many steps the segmenter takes in a whole run."""
    return config.warmup_steps + config.stages * config.adapt_steps


def make_optimizers(config: ml_collections.ConfigDict) -> Optimizers:
    """SGD, Adam or AdamW with polynomial decay; heads learn `head_factor` times faster [cited]."""
    c, s = config.optimizer, config.selector
    steps = c.decay_steps or segmenter_steps(config)
    return Optimizers(
        segmenter=_optimizer(config, c.name, c.learning_rate, c.head_factor, steps),
        discriminator=optax.adam(
            _polynomial(config.adversarial.learning_rate, steps, c), *config.adversarial.betas
        ),
        selector=_optimizer(config, s.optimizer, s.learning_rate, s.head_factor, s.steps),
    )


def _polynomial(peak: float, steps: int, c: ml_collections.ConfigDict) -> optax.Schedule:
    """`peak (1 - step / steps)^power` [cited: AdaptSegNet], after `c.warmup` steps of growth."""
    decay = optax.polynomial_schedule(peak, 0.0, c.power, steps)
    if not c.warmup:
        return decay
    return lambda step: decay(step) * jnp.minimum(1.0, (step + 1) / c.warmup)


def _optimizer(
    config: ml_collections.ConfigDict, name: str, peak: float, head_factor: float, steps: int
) -> optax.GradientTransformation:
    """SGD, Adam or AdamW, then each tensor's own factor of the rate.

    The weight decay of SGD and Adam is coupled: it is added to the gradient. AdamW's is decoupled:
    each weight loses `weight_decay` times its own rate. Biases, norm scales, tokens and all other
    tensors but kernels keep theirs [cited: Loshchilov and Hutter, 2019; the exception as usual].
    """
    c = config.optimizer

    @optax.stateless
    def own_rates(updates: Any, _: Any) -> Any:
        return jax.tree.map(jnp.multiply, updates, rate_factors(updates, config, head_factor))

    parts = [optax.clip_by_global_norm(c.clip)] if c.clip else []
    if name == "adamw":
        parts += [optax.scale_by_adam(), optax.add_decayed_weights(c.weight_decay, _are_kernels)]
    else:
        parts.append(optax.add_decayed_weights(c.weight_decay))
        parts.append(optax.trace(c.momentum) if name == "sgd" else optax.scale_by_adam())
    parts.append(own_rates)
    parts.append(optax.scale_by_learning_rate(_polynomial(peak, steps, c)))
    return optax.chain(*parts)


def _are_kernels(params: Any) -> Any:
    """For each tensor, whether it is a kernel, by its name."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def rate_factors(params: Any, config: ml_collections.ConfigDict, head_factor: float) -> Any:
    """Each tensor's factor of the learning rate; a backbone's file has the backbone's factors.

    Args:
      params: {"backbone": ..., head: ...}, any tensors.
    Returns:
      The same tree of floats, or of arrays that broadcast to the tensors.
    """
    own = backbone.find(config.model.backbone).rate_factor

    def factor(path: tuple, x: Any) -> float | np.ndarray:
        part, *names = (entry.key for entry in path)
        if part != "backbone":
            return head_factor
        if config.model.freeze:
            return 0.0
        found = own("/".join(names), config.model, config.optimizer)
        return found.reshape(-1, *[1] * (x.ndim - 1)) if isinstance(found, np.ndarray) else found

    return jax.tree_util.tree_map_with_path(factor, params)
