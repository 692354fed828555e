"""RIPU's points and regions."""

import jax
import ml_collections

from labor_jax.selection import ripu
from labor_jax.selection.strategies.registry import Seen, strategy


@strategy("ripu_points", asks="points", radius="ripu.point_radius", title="RIPU, points")
def ripu_points(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """RIPU's points: unsure pixels in impure surroundings [cited: RIPU]."""
    return ripu.point_score(seen.probs, config.ripu.point_radius, seen.inside)


@strategy("ripu_regions", asks="regions", radius="ripu.region_radius", title="RIPU, regions")
def ripu_regions(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """RIPU's regions: small squares that are impure and unsure [cited: RIPU]."""
    return ripu.region_score(seen.probs, config.ripu.region_radius, seen.inside)[0]
