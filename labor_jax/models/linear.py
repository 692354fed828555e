"""A linear classifier, and a neck without parameters that makes its features from all levels."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array, lax

from labor_jax.models.resize import upsample

__all__ = [
    "WINDOWS",
    "ContextPooling",
    "Linear",
]

WINDOWS = (7, 15)
"""Over how many cells the last two levels are averaged, the last one over the larger window."""


class Linear(nn.Module):
    """The same linear map of the features to logits at every position.

    Fresh weights are zeros, so every class is as probable as any other. Fitting a linear layer is a
    convex problem, so it needs no random start.
    """

    num_classes: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """features: [B, h, w, F]; returns logits [B, h, w, num_classes] float32."""
        shape = (1, 1, features.shape[-1], self.num_classes)
        kernel = self.param("kernel", nn.initializers.zeros, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.num_classes,))
        exact = jnp.promote_types(jnp.float32, self.dtype)
        product = jnp.matmul(
            features.astype(self.dtype),
            kernel[0, 0].astype(self.dtype),
            preferred_element_type=exact,
        )
        return product + bias


class ContextPooling(nn.Module):
    """All levels side by side at the second's resolution, and averages of the last two [ours].

    The averages tell a cell what is around it, as a dilated branch or a global pool would, but
    without a parameter. The features of an image are therefore made once and kept.
    """

    dtype: Any = jnp.float32

    def __call__(self, levels: Sequence[Array], train: bool = False) -> Array:
        """levels: [B, h, w, F] each, from fine to coarse; returns [B, h, w, sum of F + context].

        `h` and `w` are the second level's. `train` is not read.
        """
        size = levels[1].shape[1], levels[1].shape[2]
        here = [_at(level.astype(jnp.float32), size) for level in levels]
        context = [
            _average(level, window) for level, window in zip(here[-2:], WINDOWS, strict=True)
        ]
        return jnp.concatenate([*here, *context], -1).astype(self.dtype)


def _at(level: Array, size: tuple[int, int]) -> Array:
    """A level at another resolution: bilinear where it is coarser, means of blocks where finer."""
    if level.shape[1:3] == size:
        return level
    if level.shape[1] > size[0]:
        return _pooled(level, (2, 2), (2, 2))
    return upsample(level, size)


def _average(level: Array, window: int) -> Array:
    """The mean of the window x window cells around each cell that are inside the image."""
    return _pooled(level, (window, window), (1, 1))


def _pooled(x: Array, window: tuple[int, int], strides: tuple[int, int]) -> Array:
    """Means over windows, of what is inside the image alone."""

    def sums(x: Array) -> Array:
        zero = jnp.zeros((), x.dtype)
        return lax.reduce_window(x, zero, lax.add, (1, *window, 1), (1, *strides, 1), "SAME")

    return sums(x) / sums(jnp.ones((1, *x.shape[1:3], 1), x.dtype))
