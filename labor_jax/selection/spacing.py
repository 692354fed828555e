"""The highest scores of a map, none near another: how a score becomes points to ask."""

import functools

import jax
import jax.numpy as jnp

__all__ = [
    "NEVER",
    "dilated",
    "spaced_maxima",
    "window_sums",
]


NEVER = -jnp.inf
"""The score of a pixel that may not be asked."""


def dilated(mask: jax.Array, radius: int) -> jax.Array:
    """Whether a pixel of a mask is within a radius: [B, H, W] bool to the same."""
    return window_sums(mask.astype(jnp.float32), radius) > 0 if radius else mask


def window_sums(x: jax.Array, radius: int) -> jax.Array:
    """Sums over the square window around each pixel, nothing outside the image.

    Args:
      x: [B, H, W, ...] float32.
      radius: the window is (2 radius + 1) pixels wide.
    Returns:
      x's shape.
    """
    for axis in (1, 2):
        padding = [(0, 0)] * x.ndim
        padding[axis] = (radius, radius)
        framed, length = jnp.pad(x, padding), x.shape[axis]
        shifts = range(2 * radius + 1)  # added up in one pass, unlike a reduce_window on a CPU
        shifted = (jax.lax.slice_in_dim(framed, n, n + length, axis=axis) for n in shifts)
        x = functools.reduce(jnp.add, shifted)
    return x


def spaced_maxima(
    score: jax.Array, *, number: int, radius: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The pixels of the highest scores, one after the other, more than a radius apart.

    Each choice takes the highest score that is left and closes a window around it; of equal ones,
    the first column's first pixel, as RIPU's published selection does [cited: RIPU]. A choice
    looks at a maximum a column, which only the window's columns change: O(W + radius H) and not
    O(H W) as published.

    Args:
      score: [B, H, W] float32; -inf where nothing may be asked.
      number: how many an image.
      radius: pixels; two are more than this apart in the larger of both coordinates. 0: no window,
        and equal scores in reading order.
    Returns:
      points: [B, number, 2] int32 (row, column), the highest first.
      found: [B, number] bool; the rest of `points` means nothing.
      scores: [B, number] float32.
    """
    height, width = score.shape[1:]
    number = min(number, height * width)
    if radius == 0:
        scores, flat = jax.lax.top_k(score.reshape(-1, height * width), number)
        points = jnp.stack(jnp.divmod(flat, width), -1).astype(jnp.int32)
        return points, scores > NEVER, scores
    one = functools.partial(_spaced_maxima, number=number, radius=radius)
    return jax.lax.map(one, score)  # not vmap: a window is written in place


def _spaced_maxima(
    score: jax.Array, *, number: int, radius: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    side = 2 * radius + 1
    # Transposed, so that a column lies together; framed, so that a window never leaves the map.
    framed = jnp.pad(score.T, radius, constant_values=NEVER)
    rows = jnp.arange(framed.shape[1])

    def next_point(carry: tuple[jax.Array, ...], _: None) -> tuple[tuple, tuple]:
        # The window before this one is closed now and not when it was found: reads after the write
        # let XLA change the map in place, where it would otherwise copy it at each step.
        framed, highest, strip, left = carry
        framed = jax.lax.dynamic_update_slice_in_dim(framed, strip, left, axis=0)
        column = jnp.argmax(highest)
        left, value = column - radius, highest[column]
        strip = jax.lax.dynamic_slice_in_dim(framed, left, side, axis=0)
        row = jnp.argmax(strip[radius])
        strip = jnp.where(jnp.abs(rows - row) <= radius, NEVER, strip)
        highest = jax.lax.dynamic_update_slice_in_dim(highest, strip.max(1), left, axis=0)
        return (framed, highest, strip, left), (jnp.stack([row - radius, left]), value)

    start = (framed, framed.max(1), framed[:side], jnp.int32(0))
    _, (points, scores) = jax.lax.scan(next_point, start, length=number)
    return points.astype(jnp.int32), scores > NEVER, scores
