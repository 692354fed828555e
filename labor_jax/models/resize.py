"""Bilinear resizing with aligned corners, as the published recipes upsample their logits."""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jax import Array, lax


def interpolation_matrix(size: int, length: int) -> np.ndarray:
    """[size, length] float64: row i holds the two weights that make output i out of the inputs.

    Corners are aligned: output 0 is input 0 and the last output is the last input. A single
    output takes the first input, as PyTorch does.
    """
    position = np.arange(size) * ((length - 1) / (size - 1) if size > 1 else 0.0)
    position = np.minimum(position, length - 1)  # rounding may step past the last one
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, length - 1)
    matrix = np.zeros((size, length))
    np.add.at(matrix, (np.arange(size), low), 1 - (position - low))
    np.add.at(matrix, (np.arange(size), high), position - low)
    return matrix


def upsample(logits: Array, size: tuple[int, int]) -> Array:
    """Bilinear resizing with aligned corners (PyTorch's `align_corners=True`), up or down.

    logits: [B, h, w, C] float; size: (H, W) pixels; returns [B, H, W, C] of the same dtype. Two
    small matrix products, so it is differentiable and quick on every kind of device.
    """
    rows, columns = (
        jnp.asarray(interpolation_matrix(new, old), logits.dtype)
        for new, old in zip(size, logits.shape[1:3], strict=True)
    )
    # Accelerators multiply in lower precision unless told: weights of 8 bits would show.
    product = partial(jnp.einsum, precision=lax.Precision.HIGHEST)
    # Columns first, and a matrix of rows for each image: nothing of the larger size is transposed.
    rows = jnp.broadcast_to(rows, (logits.shape[0], *rows.shape))
    return product("bHh,bhWc->bHWc", rows, product("bhwc,Ww->bhWc", logits, columns))
