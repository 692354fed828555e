"""Random pixels, drawn uniformly or class by class."""

import jax
import ml_collections

from labor_jax.selection.strategies.registry import Seen, strategy
from labor_jax.selection.strategies.turns import in_turns


@strategy("random", asks="points", title="Random pixels")
def random(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """Pixels drawn uniformly."""
    return seen.noise


@strategy("random_by_class", asks="points", balanced=True)
def random_by_class(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """Stratified: random pixels of the predicted classes in turn [ours]."""
    return in_turns(seen, seen.noise)
