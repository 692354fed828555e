"""Batch normalisation with PyTorch's running statistics, frozen or shared across replicas."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

EPSILON = 1e-5
MOMENTUM = 0.9  # PyTorch calls this momentum 0.1


class BatchNorm(nn.Module):
    """Normalises over every axis but the last.

    `frozen`: always the running statistics; a fresh module is the identity (up to epsilon).
    Otherwise, when `train`, the statistics of the whole batch, of all replicas where `axis_name`
    is set; running ones move if the collection `batch_stats` is mutable, with the unbiased
    variance, as PyTorch does.
    """

    frozen: bool = True
    axis_name: str | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """x: [..., C]; returns the same shape in `dtype`. Statistics are at least float32."""
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
        running_var = self.variable("batch_stats", "var", jnp.ones, (channels,))

        exact = jnp.promote_types(jnp.float32, self.dtype)
        if not train or self.frozen or self.is_initializing():
            mean, var = running_mean.value, running_var.value
        else:
            mean, var, count = batch_statistics(x.astype(exact), self.axis_name)
            if self.is_mutable_collection("batch_stats"):
                unbiased = var * (count / max(count - 1, 1))
                running_mean.value = MOMENTUM * running_mean.value + (1 - MOMENTUM) * mean
                running_var.value = MOMENTUM * running_var.value + (1 - MOMENTUM) * unbiased
        factor = scale * jax.lax.rsqrt(var + EPSILON)
        return (x.astype(exact) * factor + (bias - mean * factor)).astype(self.dtype)


def batch_statistics(x: Array, axis_name: str | None) -> tuple[Array, Array, int]:
    """Mean [C], biased variance [C] and number of values a channel, over all replicas.

    One collective: the replicas' means and variances are gathered and joined as for equal groups
    (a mean of squares minus a square would cancel in float32).
    """
    axes = tuple(range(x.ndim - 1))
    count = x.size // x.shape[-1]
    mean, var = x.mean(axes), x.var(axes)
    if axis_name is None:
        return mean, var, count
    means, variances = jax.lax.all_gather((mean, var), axis_name)
    mean = means.mean(0)
    var = (variances + jnp.square(means - mean)).mean(0)
    return mean, var, count * means.shape[0]
