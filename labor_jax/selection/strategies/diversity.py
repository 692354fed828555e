"""Pixels whose features are far from each other."""

import jax
import jax.numpy as jnp
import ml_collections

from labor_jax.selection import diversity
from labor_jax.selection.spacing import NEVER
from labor_jax.selection.strategies.registry import Seen, strategy


@strategy("diversity", asks="points")
def diverse(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """Pixels whose features are far from each other and from those asked before (k-centre).

    Each pixel is the middle of a cell of the feature map.
    """
    (batch, height, width), (h, w) = seen.taken.shape, seen.features.shape[1:3]
    heights, widths = seen.sizes.T[..., None]
    rows = ((jnp.arange(h) + 0.5) * heights / h).astype(jnp.int32)
    columns = ((jnp.arange(w) + 0.5) * widths / w).astype(jnp.int32)
    image = jnp.arange(batch)[:, None, None]
    cell_rows = jnp.arange(height) * h // heights
    cell_columns = jnp.arange(width) * w // widths
    taken = jnp.zeros((batch, h, w), bool)
    taken = taken.at[image, cell_rows[..., None], cell_columns[:, None]].max(seen.taken)
    number = min(seen.number, h * w)
    cells, found = diversity.k_centre(seen.features, taken, number=number)
    priority = jnp.where(found, -jnp.arange(number, dtype=jnp.float32), NEVER)
    score = jnp.full(seen.taken.shape, NEVER, jnp.float32)
    row, column = (
        jnp.take_along_axis(middles, cell, 1)
        for middles, cell in ((rows, cells // w), (columns, cells % w))
    )
    return score.at[image[..., 0], row, column].max(priority)
