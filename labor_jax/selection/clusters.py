"""Clusters of an image's features: k-means, from a start that features alone decide."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["Clusters", "k_means"]

CHANNELS = 64
"""Features of more channels are projected to so many [cited: Johnson and Lindenstrauss, 1984]."""
ROUNDS = 10
"""Of Lloyd's algorithm."""


class Clusters(NamedTuple):
    """The clusters of each image's cells.

    Attributes:
      of_cell: [B, N] int32, the number of the cluster that each cell is in.
      size: [B, K] float32, how many cells each cluster has; an empty one has 0.
      distance: [B, N] float32, of each cell to its cluster's mean, squared.
    """

    of_cell: jax.Array
    size: jax.Array
    distance: jax.Array


def k_means(features: jax.Array, number: int) -> Clusters:
    """Clusters of cells of like features, as k-means++ and Lloyd's algorithm give them.

    Features are scaled to length 1 and projected to `CHANNELS` numbers. What is drawn is the same
    for every image and stage, so the clusters are a function of the features alone.

    Args:
      features: [B, N, F] float.
      number: K, at most N.
    """
    key = jax.random.key(0)
    flat = features.astype(jnp.float32)
    flat /= jnp.maximum(jnp.linalg.norm(flat, axis=-1, keepdims=True), 1e-12)
    if flat.shape[-1] > CHANNELS:
        shape = (flat.shape[-1], CHANNELS)
        flat = flat @ (jax.random.normal(key, shape) / jnp.sqrt(jnp.float32(CHANNELS)))
    noise = jax.random.gumbel(jax.random.fold_in(key, 1), (number, flat.shape[1]))
    return jax.lax.map(lambda cells: _k_means(cells, noise), flat)


def _k_means(cells: jax.Array, noise: jax.Array) -> Clusters:
    """The clusters of an image's cells, [N, F], as many as there are rows of noise [K, N]."""

    def draw(nearest: jax.Array, gumbel: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Draws a cell with a probability of its squared distance to those drawn so far."""
        centre = cells[jnp.argmax(jnp.log(nearest) + gumbel)]
        return jnp.minimum(nearest, jnp.square(cells - centre).sum(-1)), centre

    _, centres = jax.lax.scan(draw, jnp.ones(len(cells)), noise)

    def assigned(centres: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Each cell's nearest centre, and its squared distance."""
        distances = jnp.square(centres).sum(-1) - 2 * cells @ centres.T
        nearest = distances.argmin(-1).astype(jnp.int32)
        return nearest, distances.min(-1) + jnp.square(cells).sum(-1)

    def round_(_: int, centres: jax.Array) -> jax.Array:
        member = jax.nn.one_hot(assigned(centres)[0], len(centres))
        size = member.sum(0)[:, None]
        return jnp.where(size > 0, member.T @ cells / jnp.maximum(size, 1), centres)

    centres = jax.lax.fori_loop(0, ROUNDS, round_, centres)
    nearest, distance = assigned(centres)
    return Clusters(
        nearest, jnp.bincount(nearest, length=len(centres)).astype(jnp.float32), distance
    )
