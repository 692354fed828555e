"""What is typical of an image, by clusters of its features: asked before any label is there."""

import jax
import jax.numpy as jnp
import ml_collections

from labor_jax.selection.clusters import Clusters, k_means
from labor_jax.selection.spacing import NEVER
from labor_jax.selection.strategies.cells import at_cells, cell_of_pixels, taken_cells
from labor_jax.selection.strategies.registry import Seen, strategy
from labor_jax.selection.strategies.uncertainty import margin_of


@strategy("typical", asks="points", before_labels=True)
def typical(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """The most typical cell of each cluster of the image's features, large clusters first [ours].

    It follows TypiClust (Hacohen, Dekel and Weinshall, ICML 2022) within each image: there are as
    many clusters as points that an image is asked in all, and a cluster with a question comes after
    all others. The most typical cell is the one nearest to its cluster's mean, where TypiClust
    takes the densest one.
    """
    found = _clusters(seen)
    taken = taken_cells(seen).reshape(found.of_cell.shape)
    distance = jnp.where(taken, jnp.inf, found.distance)

    def of_image(one: Clusters, distance: jax.Array, taken: jax.Array) -> tuple[jax.Array, ...]:
        number = len(one.size)
        least = jax.ops.segment_min(distance, one.of_cell, number)
        numbers = jnp.arange(len(distance))
        is_least = (distance == least[one.of_cell]) & ~taken
        cell = jax.ops.segment_min(jnp.where(is_least, numbers, len(numbers)), one.of_cell, number)
        asked = jax.ops.segment_max(taken.astype(jnp.float32), one.of_cell, number)
        some = (one.size > 0) & (cell < len(numbers))
        priority = jnp.where(some, one.size - len(numbers) * asked, NEVER)
        return jnp.minimum(cell, len(numbers) - 1), priority

    return at_cells(seen, *jax.vmap(of_image)(found, distance, taken))


@strategy("typical_margin", asks="points", radius="points.radius", before_labels=True)
def typical_margin(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """`typical` until the segmenter has learned labels, then `margin` [ours]."""
    if seen.taught is None:
        return margin_of(seen.probs)
    return jax.lax.cond(seen.taught, lambda: margin_of(seen.probs), lambda: typical(seen, config))


@strategy("cluster_margin", asks="points", radius="points.radius")
def cluster_margin(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """The pixel of the smallest margin in each cluster of the image's features [ours].

    The pixels of the smallest margins look alike; those of different clusters do not.
    Cluster-Margin (Citovsky et al., NeurIPS 2021) does so with whole images.
    """
    found = _clusters(seen)
    value = jnp.where(seen.inside & ~seen.taken, margin_of(seen.probs), NEVER)

    def of_image(of_cell: jax.Array, cells: jax.Array, value: jax.Array) -> jax.Array:
        of_pixel = of_cell[cells]
        best = jax.ops.segment_max(value.ravel(), of_pixel.ravel(), found.size.shape[1])
        return jnp.where(value == best[of_pixel], value, NEVER)

    return jax.vmap(of_image)(found.of_cell, cell_of_pixels(seen), value)


def _clusters(seen: Seen) -> Clusters:
    """As many clusters of an image's cells as it is asked points in all."""
    batch, h, w, channels = seen.features.shape
    flat = seen.features.reshape(batch, h * w, channels)
    return k_means(flat, max(1, min(seen.number, h * w)))
