"""A linear classifier, and a neck without parameters that makes its features from all levels."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from labor_jax.models.resize import interpolated, interpolation_matrix

__all__ = [
    "WINDOWS",
    "ContextPooling",
    "Linear",
    "PooledLinear",
    "features_at",
    "kept",
]

WINDOWS = (7, 15)
"""Over how many cells the last two levels are averaged, the last one over the larger window."""


class Linear(nn.Module):
    """The same linear map of the features to logits at every position."""

    num_classes: int
    kernel_init: nn.initializers.Initializer
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
        size = _size(levels)
        parts = [_mapped(level, size, matrix) for level, matrix in _parts(levels)]
        return jnp.concatenate(parts, -1).astype(self.dtype)


class PooledLinear(nn.Module):
    """`Linear` of the features of `ContextPooling`, without making them.

    Pooling is linear, too. Each level is therefore mapped to logits first, at its own resolution,
    and a few classes are pooled in place of hundreds of channels. Sums have another order than
    those of `Linear`, so the last bits differ.

    Fresh weights are zeros, so every class is as probable as any other. Fitting a linear layer is a
    convex problem, so it needs no random start.
    """

    num_classes: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, levels: Sequence[Array]) -> Array:
        """levels: as of `ContextPooling`; returns logits [B, h, w, num_classes] float32."""
        size, parts = _size(levels), _parts(levels)
        widths = [level.shape[-1] for level, _ in parts]
        zeros = nn.initializers.zeros
        kernel = self.param("kernel", zeros, (1, 1, sum(widths), self.num_classes))
        bias = self.param("bias", zeros, (self.num_classes,))
        kernels = jnp.split(kernel[0, 0].astype(self.dtype), np.cumsum(widths)[:-1])
        exact = jnp.promote_types(jnp.float32, self.dtype)
        total = bias
        for (level, matrix), own in zip(parts, kernels, strict=True):
            logits = jnp.matmul(level.astype(self.dtype), own, preferred_element_type=exact)
            total += _mapped(logits, size, matrix)
        return total


def features_at(
    levels: Sequence[Array], rows: Array, columns: Array, dtype: Any = jnp.float32
) -> Array:
    """The features of `ContextPooling` at some places of an image, [P, F].

    Between cells they are interpolated as `resize.upsample` interpolates logits. Of few places only
    what they need is computed.

    Args:
      levels: [h, w, F] each, as of `ContextPooling` but without the batch.
      rows, columns: [P] float32, 0 = the first cell, 1 = the last one.
    """
    batch = [level[None].astype(jnp.float32) for level in levels]
    size, found = _size(batch), []
    for level, matrix in _parts(batch):
        _, height, width, _ = level.shape
        of_all = height * (width + size[0]) * size[1]
        if matrix is None or len(rows) * height * width >= of_all:
            found.append(interpolated(_mapped(level, size, matrix)[0], rows, columns))
            continue
        down, along = (
            interpolated(jnp.asarray(matrix(new, old), jnp.float32)[:, None], places, 0 * places)
            for new, old, places in zip(size, (height, width), (rows, columns), strict=True)
        )
        product = partial(jnp.einsum, precision=lax.Precision.HIGHEST)
        found.append(product("pw,pwf->pf", along, product("ph,hwf->pwf", down, level[0])))
    return jnp.concatenate(found, -1).astype(dtype)


Matrix = Callable[[int, int], np.ndarray]
"""(new length, old length) -> the matrix that maps the old to the new."""


def _parts(levels: Sequence[Array]) -> list[tuple[Array, Matrix | None]]:
    """The parts of `ContextPooling`'s features, in order.

    Returns:
      Of each part the level [B, h, w, F], and what brings its rows and columns to the features'
      resolution; None where it is there already.
    """
    if _have_one_shape(levels):
        return [(level, None) for level in levels]
    size = _size(levels)
    parts: list[tuple[Array, Matrix | None]] = []
    parts += [(level, None if level.shape[1:3] == size else _resizing) for level in levels]
    for level, window in zip(levels[-2:], WINDOWS, strict=True):
        parts.append((level, partial(_averaging, window=window)))
    return parts


def _size(levels: Sequence[Array]) -> tuple[int, ...]:
    """The features' (h, w)."""
    return levels[min(1, len(levels) - 1)].shape[1:3]


def kept(levels: Sequence[Array]) -> list[Array]:
    """The levels with the first one at the second's resolution, of which `ContextPooling` makes
    the same features: a quarter of the numbers to keep."""
    if _have_one_shape(levels):
        return list(levels)
    return [_mapped(levels[0], levels[1].shape[1:3], _resizing), *levels[1:]]


def _have_one_shape(levels: Sequence[Array]) -> bool:
    return len({level.shape[1:] for level in levels}) == 1


def _mapped(level: Array, size: tuple[int, ...], matrix: Matrix | None) -> Array:
    """A level [B, h, w, F] at another size, by one matrix for its rows and one for its columns."""
    if matrix is None:
        return level
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
