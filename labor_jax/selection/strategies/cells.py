"""Cells of the feature map, and the pixels in their middles."""

import jax
import jax.numpy as jnp

from labor_jax.selection.spacing import NEVER
from labor_jax.selection.strategies.registry import Seen

__all__ = ["at_cells", "cell_of_pixels", "taken_cells"]


def cell_of_pixels(seen: Seen) -> jax.Array:
    """[B, H, W] int32: the row-major number of the cell that each pixel is in.

    The cells of an image share its own height and width, also where it is smaller than [H, W].
    """
    (_, height, width), (h, w) = seen.taken.shape, seen.features.shape[1:3]
    heights, widths = seen.sizes.T[..., None]
    rows = jnp.minimum(jnp.arange(height) * h // heights, h - 1)
    columns = jnp.minimum(jnp.arange(width) * w // widths, w - 1)
    return rows[..., None] * w + columns[:, None]


def taken_cells(seen: Seen) -> jax.Array:
    """[B, h, w] bool: the cells of which a pixel was asked before."""
    batch, h, w = seen.features.shape[:3]
    image = jnp.arange(batch)[:, None, None]
    taken = jnp.zeros((batch, h * w), bool).at[image, cell_of_pixels(seen)].max(seen.taken)
    return taken.reshape(batch, h, w)


def at_cells(seen: Seen, cells: jax.Array, priority: jax.Array) -> jax.Array:
    """A score [B, H, W] float32 that is -inf but at the middles of some cells.

    Args:
      cells: [B, N] int32, row-major numbers of cells.
      priority: [B, N] float32, their scores.
    """
    h, w = seen.features.shape[1:3]
    heights, widths = seen.sizes.T[..., None]
    rows = ((jnp.arange(h) + 0.5) * heights / h).astype(jnp.int32)
    columns = ((jnp.arange(w) + 0.5) * widths / w).astype(jnp.int32)
    row, column = (
        jnp.take_along_axis(middles, cell, 1)
        for middles, cell in ((rows, cells // w), (columns, cells % w))
    )
    image = jnp.arange(len(cells))[:, None]
    return jnp.full(seen.taken.shape, NEVER, jnp.float32).at[image, row, column].max(priority)
