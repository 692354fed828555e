"""Batch normalisation with PyTorch's running statistics, in the three ways of the literature."""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

__all__ = [
    "EPSILON",
    "KINDS",
    "MOMENTUM",
    "BatchNorm",
    "batch_statistics",
    "gather_in_order",
]


EPSILON = 1e-5
MOMENTUM = 0.9  # PyTorch calls this momentum 0.1

KINDS = ("sync", "frozen", "adaptsegnet")


class BatchNorm(nn.Module):
    """Normalises over every axis but the last.

    kind: "frozen", always the running statistics; a fresh module is the identity (up to epsilon).
    Otherwise, when `train`, the statistics of the batch; running ones move if the collection
    `batch_stats` is mutable, with the unbiased variance, as PyTorch does. "sync": of the batch of
    all replicas of `axis_name`. "adaptsegnet": of each replica's own, as that code's one image at
    a time; running ones move by the replicas' mean, and `state.py` leaves scale and bias as they
    are [cited: AdaptSegNet as released].
    """

    kind: str = "frozen"
    axis_name: str | None = None
    ordered: bool = False  # gradients are summed in the replicas' order, see `gather_in_order`
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
                    running.value = MOMENTUM * running.value + (1 - MOMENTUM) * new
        factor = scale * jax.lax.rsqrt(var + EPSILON)
        return (x.astype(exact) * factor + (bias - mean * factor)).astype(self.dtype)


def batch_statistics(
    x: Array, axis_name: str | None, ordered: bool = False
) -> tuple[Array, Array, int]:
    """Mean [C], biased variance [C] and number of values a channel, over all replicas.

    One collective: the replicas' means and variances are gathered and joined as for equal groups
    (a mean of squares minus a square would cancel in float32).
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
    """`all_gather` whose gradient has the same bits however the replicas are connected."""
    return jax.lax.all_gather(tree, axis_name)


def _forward(tree: Any, axis_name: str) -> tuple[Any, None]:
    return jax.lax.all_gather(tree, axis_name), None


def _backward(axis_name: str, _: None, gradient: Any) -> tuple[Any]:
    from_all = jax.lax.all_gather(gradient, axis_name)  # [from, to, ...]
    return (jax.tree.map(lambda x: x.sum(0)[jax.lax.axis_index(axis_name)], from_all),)


gather_in_order.defvjp(_forward, _backward)
