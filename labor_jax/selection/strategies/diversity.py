"""Pixels whose features are far from each other."""

import jax
import jax.numpy as jnp
import ml_collections

from labor_jax.selection import diversity
from labor_jax.selection.spacing import NEVER
from labor_jax.selection.strategies.cells import at_cells, taken_cells
from labor_jax.selection.strategies.registry import Seen, strategy


@strategy("diversity", asks="points", before_labels=True)
def diverse(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """Pixels whose features are far from each other and from those asked before (k-centre).

    Each pixel is the middle of a cell of the feature map.
    """
    number = min(seen.number, seen.features.shape[1] * seen.features.shape[2])
    cells, found = diversity.k_centre(seen.features, taken_cells(seen), number=number)
    priority = jnp.where(found, -jnp.arange(number, dtype=jnp.float32), NEVER)
    return at_cells(seen, cells, priority)
