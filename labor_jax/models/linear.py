"""A linear classifier, and a neck without parameters that makes its features from all levels."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from labor_jax.models.resize import interpolation_matrix

__all__ = [
    "WINDOWS",
    "ContextPooling",
    "Linear",
    "kept",
]

WINDOWS = (7, 15)
"""Over how many cells the last two levels are averaged, the last one over the larger window."""


class Linear(nn.Module):
    """The same linear map of the features to logits at every position.

    By default fresh weights are zeros, so every class is as probable as any other. Fitting a linear
    layer is a convex problem, so it needs no random start.
    """

    num_classes: int
    kernel_init: nn.initializers.Initializer = nn.initializers.zeros
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """features: [B, h, w, F]; returns logits [B, h, w, num_classes] float32."""
        shape = (1, 1, features.shape[-1], self.num_classes)
        kernel = self.param("kernel", self.kernel_init, shape)
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
    without a parameter. The features of an image are therefore made once and kept. Levels of one
    shape, channels too, are a vision transformer's: attention has seen the whole image, and the
    features are the levels alone [cited: DINOv2, its linear and multi-scale heads].
    """

    dtype: Any = jnp.float32

    def __call__(self, levels: Sequence[Array], train: bool = False) -> Array:
        """levels: [B, h, w, F] each, from fine to coarse; returns [B, h, w, sum of F + context].

        `h` and `w` are the second level's. `train` is not read.
        """
        if _have_one_shape(levels):
            return jnp.concatenate(levels, -1).astype(self.dtype)
        size = levels[1].shape[1:3]
        features = [_mapped(level, size, _resizing) for level in levels]
        for level, window in zip(levels[-2:], WINDOWS, strict=True):
            features.append(_mapped(level, size, partial(_averaging, window=window)))
        return jnp.concatenate(features, -1).astype(self.dtype)


def kept(levels: Sequence[Array]) -> list[Array]:
    """The levels with the first one at the second's resolution, of which `ContextPooling` makes
    the same features: a quarter of the numbers to keep."""
    if _have_one_shape(levels):
        return list(levels)
    return [_mapped(levels[0], levels[1].shape[1:3], _resizing), *levels[1:]]


def _have_one_shape(levels: Sequence[Array]) -> bool:
    return len({level.shape[1:] for level in levels}) == 1


def _mapped(level: Array, size: tuple[int, ...], matrix: Callable[[int, int], np.ndarray]) -> Array:
    """A level [B, h, w, F] at another size, by one matrix for its rows and one for its columns."""
    rows, columns = (
        jnp.asarray(matrix(new, old), jnp.float32)
        for new, old in zip(size, level.shape[1:3], strict=True)
    )
    product = partial(jnp.einsum, precision=lax.Precision.HIGHEST)
    wide = product("Ww,bhwf->bhWf", columns, level.astype(jnp.float32))
    return product("Hh,bhWf->bHWf", rows, wide)


def _resizing(size: int, length: int) -> np.ndarray:
    """[size, length]: linear interpolation where that is finer, else means of two neighbours."""
    if length <= size:
        return interpolation_matrix(size, length)
    pairs = np.arange(length) // 2 == np.arange(size)[:, None]
    return pairs / pairs.sum(1, keepdims=True)


def _averaging(size: int, length: int, window: int) -> np.ndarray:
    """[size, length]: `_resizing`, then the mean of the `window` cells around each, where inside.

    The mean over a window of rows and columns is that over the columns of that over the rows, also
    at the border, where the window has fewer of both.
    """
    near = np.abs(np.arange(size) - np.arange(size)[:, None]) <= window // 2
    return near / near.sum(1, keepdims=True) @ _resizing(size, length)
