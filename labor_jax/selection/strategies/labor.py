"""LabOR's two ways to ask: pixels on which the selector's two heads disagree."""

import jax
import jax.numpy as jnp
import ml_collections

from labor_jax.selection.inconsistency import inconsistency_mask, mean_probability
from labor_jax.selection.prototypes import representative_points
from labor_jax.selection.spacing import NEVER, dilated
from labor_jax.selection.strategies.registry import Seen, strategy


@strategy("labor_ppl", asks="points", selector=True, title="LabOR, points (PPL)")
def labor_ppl(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """PPL: for each class, the most representative pixels on which the heads disagree [paper].

    The best pixel of every class comes before the second of any class. Pixels near one that was
    asked before are left out [ours].
    """
    points, found = representative_points(
        mean_probability(*seen.heads),
        inconsistency_mask(*seen.heads),
        dilated(seen.taken, config.ppl.radius),
        points_per_class=config.ppl.points_per_class,
        radius=config.ppl.radius,
        distance=config.ppl.distance,
        features=seen.features,
        natives=seen.natives,
    )
    batch, classes, number = found.shape
    turns = jnp.arange(number) * classes + jnp.arange(classes)[:, None]
    priority = jnp.where(found, -turns.astype(jnp.float32), NEVER)
    score = jnp.full(seen.taken.shape, NEVER, jnp.float32)
    image = jnp.arange(batch)[:, None, None]
    return score.at[image, points[..., 0], points[..., 1]].max(priority)


@strategy("labor_spl", asks="segments", selector=True, title="LabOR, segments (SPL)")
def labor_spl(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """SPL: every pixel on which the heads disagree [paper, eq. 4]."""
    return jnp.where(inconsistency_mask(*seen.heads), 0.0, NEVER)
