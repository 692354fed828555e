"""Position embeddings of a vision transformer, resized to another number of patches.

Two kinds of published weights were trained with two kernels, and each needs its own [cited: the
hub's DINOv2, `interpolate_pos_encoding`, and PyTorch's bicubic `interpolate`]:

                   "plain"                          "antialiased" (models with registers)
    kernel         cubic, a = -0.75                 cubic, a = -0.5
    shrinking      samples it as it is              widens it, and divides by its sum
    centres        of (n + 0.1) patches             of n patches
    border         repeats the outermost position   leaves out what is outside
"""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

__all__ = ["KERNELS", "cubic_matrix", "resized"]

OFFSET = 0.1
"""Added to n in the scale of "plain". Its authors' guard against rounding moves every centre."""


def resized(positions: Array, size: tuple[int, int], kernel: str) -> Array:
    """Position embeddings for another number of patches.

    Args:
      positions: [n, n, F] float, of the square images of pretraining.
      size: (rows, columns) of patches. (n, n) leaves the positions as they are.
      kernel: one of KERNELS.
    Returns:
      [rows, columns, F] of the same dtype.
    """
    if size == positions.shape[:2]:
        return positions
    rows, columns = (
        jnp.asarray(cubic_matrix(new, old, kernel), positions.dtype)
        for new, old in zip(size, positions.shape[:2], strict=True)
    )
    exact = lax.Precision.HIGHEST
    return jnp.einsum("Rr,Cc,rcf->RCf", rows, columns, positions, precision=exact)


def cubic_matrix(size: int, length: int, kernel: str) -> np.ndarray:
    """The matrix that interpolates `length` positions to `size`, [size, length] float64."""
    return KERNELS[kernel](size, length)


def _plain(size: int, length: int) -> np.ndarray:
    # PyTorch finds centres in float32, whose rounding a product with the positions shows.
    scale = np.float32(1 / ((size + OFFSET) / length))
    centre = scale * (np.arange(size, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    low = np.floor(centre).astype(int)
    matrix = np.zeros((size, length))
    for tap in range(-1, 3):
        column = np.clip(low + tap, 0, length - 1)
        np.add.at(matrix, (np.arange(size), column), _cubic(low + tap - centre, -0.75))
    return matrix


def _antialiased(size: int, length: int) -> np.ndarray:
    scale = length / size
    centre = (np.arange(size)[:, None] + 0.5) * scale
    matrix = _cubic((np.arange(length) + 0.5 - centre) / max(1.0, scale), -0.5)
    return matrix / matrix.sum(1, keepdims=True)


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic kernel, 0 from a distance of 2 on [cited: Keys 1981]."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


KERNELS = {"plain": _plain, "antialiased": _antialiased}
"""The kernels by name."""
