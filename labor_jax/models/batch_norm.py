"""Batch normalisation with PyTorch's running statistics, of three kinds."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

__all__ = [
    "EPSILON",
    "FOLDED",
    "KINDS",
    "MOMENTUM",
    "BatchNorm",
    "FixedBatchNorm",
    "batch_statistics",
    "gather_in_order",
]


EPSILON = 1e-5
MOMENTUM = 0.9  # PyTorch calls this momentum 0.1

KINDS = ("sync", "frozen", "adaptsegnet")

FOLDED = "folded"
"""As `model.batch_norm`: the backbone has none, since it is folded into kernels and biases."""


class BatchNorm(nn.Module):
    """Normalises over every axis but the last.

    The kind says which statistics are used in training; otherwise they are the running ones:
      "frozen": the running ones too. A fresh module is the identity, up to epsilon.
      "sync": those of the batch over all replicas of `axis_name`.
      "adaptsegnet": those of each replica's own part of the batch; the running ones move by the
        mean over replicas. AdaptSegNet as released has one image a batch [cited]. Its scale and
        bias are not trained, see the backbone's `rate_factor`.

    Running statistics move only if the collection `batch_stats` is mutable. Their variance is the
    unbiased one, as in PyTorch.

    Attributes:
      kind: one of KINDS.
      axis_name: the device axis; None where there is one device.
      ordered: whether gradients are summed in the replicas' order, see `gather_in_order`.
      epsilon: added to the variance.
      momentum: of the running statistics.
      dtype: of the computation.
    """

    kind: str = "frozen"
    axis_name: str | None = None
    ordered: bool = False
    epsilon: float = EPSILON
    momentum: float = MOMENTUM
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """x: [..., C]; returns the same shape in `dtype`. Statistics are at least float32."""
        scale, bias, running_mean, running_var = _variables(self, x.shape[-1])

        exact = jnp.promote_types(jnp.float32, self.dtype)
        if not train or self.kind == "frozen" or self.is_initializing():
            mean, var = running_mean.value, running_var.value
        else:
            shared = self.axis_name if self.kind == "sync" else None
            mean, var, count = batch_statistics(x.astype(exact), shared, self.ordered)
            if self.is_mutable_collection("batch_stats"):
                seen = mean, var * (count / max(count - 1, 1))
                if self.axis_name is not None and shared is None:
                    seen = jax.lax.pmean(seen, self.axis_name)
                for running, new in zip((running_mean, running_var), seen, strict=True):
                    running.value = self.momentum * running.value + (1 - self.momentum) * new
        factor = scale * jax.lax.rsqrt(var + self.epsilon)
        return (x.astype(exact) * factor + (bias - mean * factor)).astype(self.dtype)


class FixedBatchNorm(nn.Module):
    """The "frozen" kind as a factor and a shift of each channel, [C] float32 each.

    Its variables are `BatchNorm`'s. A convolution before it can take the factor into its kernel.
    """

    channels: int
    epsilon: float = EPSILON

    @nn.compact
    def __call__(self) -> tuple[Array, Array]:
        scale, bias, mean, var = _variables(self, self.channels)
        factor = scale * jax.lax.rsqrt(var.value + self.epsilon)
        return factor, bias - mean.value * factor


def _variables(norm: nn.Module, channels: int) -> tuple[Array, Array, Any, Any]:
    """Scale, bias, and the variables of the running mean and variance."""
    return (
        norm.param("scale", nn.initializers.ones, (channels,)),
        norm.param("bias", nn.initializers.zeros, (channels,)),
        norm.variable("batch_stats", "mean", jnp.zeros, (channels,)),
        norm.variable("batch_stats", "var", jnp.ones, (channels,)),
    )


def batch_statistics(
    x: Array, axis_name: str | None, ordered: bool = False
) -> tuple[Array, Array, int]:
    """Mean and biased variance of each channel over all replicas.

    The replicas' means and variances are gathered in one collective and combined as those of
    groups of equal size. The mean of the squares minus the square of the mean would lose digits
    in float32.

    Args:
      x: [..., C] float.
      axis_name: the device axis; None where there is one device.
      ordered: see `gather_in_order`.
    Returns:
      Mean [C], variance [C], and how many values a channel has.
    """
    axes = tuple(range(x.ndim - 1))
    count = x.size // x.shape[-1]
    mean, var = x.mean(axes), x.var(axes)
    if axis_name is None:
        return mean, var, count
    gather = gather_in_order if ordered else jax.lax.all_gather
    means, variances = gather((mean, var), axis_name)
    mean = means.mean(0)
    var = (variances + jnp.square(means - mean)).mean(0)
    return mean, var, count * means.shape[0]


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def gather_in_order(tree: Any, axis_name: str) -> Any:
    """`all_gather` whose gradient is summed in the replicas' order.

    The sum in the gradient of `jax.lax.all_gather` has an order that depends on how the devices are
    connected, and so have its last bits.
    """
    return jax.lax.all_gather(tree, axis_name)


def _forward(tree: Any, axis_name: str) -> tuple[Any, None]:
    return jax.lax.all_gather(tree, axis_name), None


def _backward(axis_name: str, _: None, gradient: Any) -> tuple[Any]:
    from_all = jax.lax.all_gather(gradient, axis_name)  # [from, to, ...]
    return (jax.tree.map(lambda x: x.sum(0)[jax.lax.axis_index(axis_name)], from_all),)


gather_in_order.defvjp(_forward, _backward)
