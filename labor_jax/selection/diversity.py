"""Pixels whose features are far from each other: greedy k-centre (Sener and Savarese, 2018)."""

import jax
import jax.numpy as jnp

__all__ = [
    "k_centre",
]


def k_centre(features: jax.Array, taken: jax.Array, *, number: int) -> tuple[jax.Array, jax.Array]:
    """Greedy k-centre: each cell chosen is the farthest from all cells chosen or taken before.

    Where no cell is taken, the first one chosen is the farthest from the mean [ours].

    Args:
      features: [B, h, w, F] float; their distance is 1 less their cosine similarity [ours].
      taken: [B, h, w] bool, cells that count as chosen before and are not chosen again.
      number: how many cells an image is asked at most.
    Returns:
      cells: [B, number] int32, row-major cell numbers.
      found: [B, number] bool; where it is false, `cells` means nothing.
    """
    batch, h, w, channels = features.shape
    flat = features.reshape(batch, h * w, channels).astype(jnp.float32)
    flat /= jnp.maximum(jnp.linalg.norm(flat, axis=-1, keepdims=True), 1e-12)
    closed = taken.reshape(batch, h * w)

    def distances(centres: jax.Array) -> jax.Array:
        """From every cell to centres [B, n, F]: [B, h w, n] float32, from 0 to 2."""
        return 1 - jnp.einsum("bpf,bnf->bpn", flat, centres)

    def of_a_row(row: jax.Array) -> jax.Array:
        """From every cell to the nearest taken one of a row; row by row, to save memory."""
        part = jax.lax.dynamic_slice_in_dim(flat, row * w, w, axis=1)
        is_taken = jax.lax.dynamic_slice_in_dim(closed, row * w, w, axis=1)
        return jnp.where(is_taken[:, None], distances(part), jnp.inf).min(-1)

    nearest = jax.lax.map(of_a_row, jnp.arange(h)).min(0)
    from_mean = distances(flat.mean(1, keepdims=True))[..., 0]
    nearest = jnp.where(closed.any(1, keepdims=True), nearest, from_mean)

    def next_cell(carry: tuple, first: jax.Array) -> tuple[tuple, tuple]:
        nearest, closed = carry
        left = jnp.where(closed, -jnp.inf, nearest)
        cell = jnp.argmax(left, axis=1)
        found = jnp.take_along_axis(left, cell[:, None], 1)[:, 0] > -jnp.inf
        centre = jnp.take_along_axis(flat, cell[:, None, None], axis=1)
        to_it = distances(centre)[..., 0]
        alone = first & ~closed.any(1, keepdims=True)  # `nearest` is still the mean's distance
        nearest = jnp.where(alone, to_it, jnp.minimum(nearest, to_it))
        closed = closed | (jnp.arange(h * w) == cell[:, None])
        return (nearest, closed), (cell.astype(jnp.int32), found)

    steps = jnp.arange(number) == 0
    _, (cells, found) = jax.lax.scan(next_cell, (nearest, closed), steps)
    return cells.T, found.T
