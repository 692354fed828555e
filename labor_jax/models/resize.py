"""Bilinear resizing with aligned corners, as published recipes upsample logits; exact shrinking."""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

__all__ = [
    "interpolated",
    "interpolation_matrix",
    "shrink",
    "upsample",
    "upsample_each",
]


def interpolation_matrix(size: int, length: int) -> np.ndarray:
    """The matrix that interpolates `length` inputs linearly to `size` outputs.

    Corners are aligned: output 0 is input 0 and the last output is the last input. A single
    output takes the first input, as PyTorch does.

    Returns:
      [size, length] float64; row i has the two weights that make output i.
    """
    position = np.arange(size) * ((length - 1) / (size - 1) if size > 1 else 0.0)
    position = np.minimum(position, length - 1)  # rounding may step past the last one
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, length - 1)
    matrix = np.zeros((size, length))
    np.add.at(matrix, (np.arange(size), low), 1 - (position - low))
    np.add.at(matrix, (np.arange(size), high), position - low)
    return matrix


BLOCK = 64
"""Rows or columns of the output that one product makes."""


def upsample(logits: Array, size: tuple[int, ...]) -> Array:
    """Bilinear resizing with aligned corners (PyTorch's `align_corners=True`), up or down.

    It is made of small matrix products, which are differentiable and quick on every kind of device.
    Each product reads only the rows, or columns, that its block of the output depends on, so the
    time is linear in the number of pixels.

    Args:
      logits: [B, h, w, C] float.
      size: (H, W) in pixels.
    Returns:
      [B, H, W, C] of the same dtype.
    """
    batch, height, _, classes = logits.shape
    # By default accelerators multiply in lower precision. Weights of 8 bits would be visible.
    product = partial(jnp.einsum, precision=lax.Precision.HIGHEST)
    # Columns come first, so that no array of the larger size is transposed.
    weights, windows = _blocks(logits, 2, size[1])
    wide = product("nWk,bnhkc->bhnWc", weights, windows)
    wide = wide.reshape(batch, height, -1, classes)[:, :, : size[1]]
    weights, windows = _blocks(wide, 1, size[0])
    weights = jnp.broadcast_to(weights, (batch, *weights.shape))
    large = product("bnHk,bnkWc->bnHWc", weights, windows)
    return large.reshape(batch, -1, size[1], classes)[:, : size[0]]


def upsample_each(logits: Array, size: tuple[int, int], natives: Array) -> Array:
    """`upsample` of each image to a size of its own, which is an argument and not a shape.

    One program so serves images of all sizes. It multiplies by whole matrices, of which most is 0.

    Args:
      logits: [B, h, w, C] float.
      size: (H, W), as large as the largest of the images' sizes.
      natives: [B, 2] int32, each image's own (height, width).
    Returns:
      [B, H, W, C] of the same dtype. An image is at the top left; beyond it all is 0.
    """
    product = partial(jnp.einsum, precision=lax.Precision.HIGHEST)
    rows, columns = (
        _matrices(natives[:, axis], size[axis], logits.shape[1 + axis]).astype(logits.dtype)
        for axis in (0, 1)
    )
    return product("bHh,bhWc->bHWc", rows, product("bWw,bhwc->bhWc", columns, logits))


def _matrices(sizes: Array, most: int, length: int) -> Array:
    """The `interpolation_matrix` to each of `sizes` [B] int32: [B, most, length] float32.

    Positions are fractions of whole numbers, which are exact. Rows beyond a size are 0.
    """
    span = jnp.maximum(sizes - 1, 1)[:, None]
    output = jnp.arange(most)
    low, rest = jnp.divmod(output * (length - 1), span)
    inside = output < sizes[:, None]
    below, above = (jnp.where(inside, x / span, 0)[..., None] for x in (span - rest, rest))
    offset = jnp.arange(length) - low[..., None]
    return jnp.where(offset == 0, below, 0) + jnp.where(offset == 1, above, 0)


def _blocks(x: Array, axis: int, size: int) -> tuple[Array, Array]:
    """The inputs and weights that make each block of an output axis of length `size`.

    Returns:
      Weights [n, block, k]; the windows of k rows or columns of x that they weigh, [B, n, ...].
      The last block may reach beyond the end.
    """
    length = x.shape[axis]
    number = -(-size // BLOCK)
    block = -(-size // number)
    matrix = np.zeros((number * block, length))
    matrix[:size] = interpolation_matrix(size, length)
    parts = matrix.reshape(number, block, length)
    used = [np.flatnonzero(part.any(0)) for part in parts]
    k = max(columns[-1] - columns[0] + 1 for columns in used)
    starts = [min(columns[0], length - k) for columns in used]
    weights = [part[:, start : start + k] for part, start in zip(parts, starts, strict=True)]
    windows = [lax.slice_in_dim(x, start, start + k, axis=axis) for start in starts]
    return jnp.asarray(np.stack(weights), x.dtype), jnp.stack(windows, 1)


def interpolated(features: Array, rows: Array, columns: Array) -> Array:
    """Features [h, w, F] between cells, with aligned corners as in `upsample`: [P, F].

    rows, columns: [P] float32, 0 = the first cell, 1 = the last one.
    """

    def around(places: Array, length: int) -> tuple[Array, Array, Array]:
        at = places * (length - 1)
        low = jnp.clip(jnp.floor(at).astype(jnp.int32), 0, length - 1)
        return low, jnp.minimum(low + 1, length - 1), (at - low)[:, None]

    (top, bottom, down), (left, right, along) = (
        around(places, length)
        for places, length in zip((rows, columns), features.shape[:2], strict=True)
    )
    above = (1 - along) * features[top, left] + along * features[top, right]
    below = (1 - along) * features[bottom, left] + along * features[bottom, right]
    return (1 - down) * above + down * below


def shrink(images: Array, size: tuple[int, int]) -> Array:
    """Images shrunk to the mean over the area of each output pixel.

    It computes in whole numbers, so the result is the same on every kind of device. Where both
    ratios are whole numbers it equals OpenCV's INTER_AREA bit for bit. With other ratios a few
    pixels differ by one level, since OpenCV rounds its weights [cited: OpenCV's resize.cpp].

    Args:
      images: [B, H, W, 3] uint8.
      size: (h, w), neither larger than (H, W).
    Returns:
      [B, h, w, 3] uint8.
    Raises:
      ValueError: the images are smaller.
    """
    ratios = [old / new for old, new in zip(images.shape[1:3], size, strict=True)]
    if min(ratios) < 1:
        raise ValueError(f"{images.shape[1:3]} is smaller than {size}")
    total, area = images.astype(jnp.int32), 1
    for axis, new in enumerate(size, 1):
        index, weight = _area_weights(images.shape[axis], new)
        shape = [-1 if i == axis else 1 for i in range(4)]
        total = sum(
            jnp.take(total, i, axis) * w.reshape(shape) for i, w in zip(index, weight, strict=True)
        )
        area *= int(weight[:, 0].sum())
    whole, rest = total // area, total % area
    up = (2 * rest > area) | ((2 * rest == area) & ((whole % 2 == 1) | (ratios == [2, 2])))
    return (whole + up).astype(jnp.uint8)


def _area_weights(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """[K, new] int32 each: the pixels that fall into each cell, and how much, in whole units."""
    unit = np.gcd(old, new)
    old_units, new_units = old // unit, new // unit  # a cell's width, a pixel's width
    start = np.arange(new) * old_units
    first = start // new_units
    index = first + np.arange(int((-(-(start + old_units) // new_units) - first).max()))[:, None]
    overlap = np.minimum(start + old_units, (index + 1) * new_units) - np.maximum(
        start, index * new_units
    )
    return np.minimum(index, old - 1).astype(np.int32), np.maximum(overlap, 0).astype(np.int32)
