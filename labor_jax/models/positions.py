"""Where the patches of a vision transformer are: embeddings to add, or rotations.

Embeddings are resized to another number of patches. Two kinds of published weights were trained
with two kernels, and each needs its own [cited: the hub's DINOv2, `interpolate_pos_encoding`, and
PyTorch's bicubic `interpolate`]:

                   "plain"                          "antialiased" (models with registers)
    kernel         cubic, a = -0.75                 cubic, a = -0.5
    shrinking      samples it as it is              widens it, and divides by its sum
    centres        of (n + 0.1) patches             of n patches
    border         repeats the outermost position   leaves out what is outside

DINOv3 has no embeddings: it rotates queries and keys by angles that follow from their place
[cited: DINOv3, `rope`; Su et al. 2021].
"""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

__all__ = ["KERNELS", "cubic_matrix", "resized", "rotated", "turns"]

OFFSET = 0.1
"""Added to n in the scale of "plain". Its authors' guard against rounding moves every centre."""
PERIOD = 100.0
"""What DINOv3's longest period comes near, in half sides of an image; the shortest is 1."""


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


def turns(size: tuple[int, int], channels: int) -> np.ndarray:
    """The angles by which the patches' queries and keys are turned.

    A patch's row and column go from -1 to 1 over the image, and each is turned by a quarter as many
    periods as there are channels, from 1 on in equal ratios.

    Args:
      size: (rows, columns) of patches.
      channels: of one attention head, a multiple of 4.
    Returns:
      [rows * columns, channels / 2] float64, in radians, row by row.
    """
    places = [(2 * np.arange(length) + 1) / length - 1 for length in size]
    place = np.stack(np.meshgrid(*places, indexing="ij"), -1).reshape(-1, 2, 1)
    periods = PERIOD ** (np.arange(channels // 4) / (channels // 4))
    return (2 * np.pi * place / periods).reshape(len(place), -1)


def rotated(x: Array, angles: np.ndarray) -> Array:
    """Queries or keys of which the last tokens, the patches', are turned.

    Args:
      x: [B, T, heads, D] float. Channels i and D / 2 + i are the coordinates that are turned.
      angles: [patches, D / 2], see `turns`.
    Returns:
      [B, T, heads, D] of the same dtype; products are in float32 or finer.
    """
    exact = jnp.promote_types(jnp.float32, x.dtype)
    cos, sin = (jnp.asarray(f(angles), exact)[:, None] for f in (np.cos, np.sin))
    others, patches = jnp.split(x, [x.shape[1] - len(angles)], axis=1)
    one, two = jnp.split(patches.astype(exact), 2, axis=-1)
    turned = jnp.concatenate([one * cos - two * sin, two * cos + one * sin], axis=-1)
    return jnp.concatenate([others, turned.astype(x.dtype)], axis=1)
