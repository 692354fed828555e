"""Non-maximum suppression: a map of scores becomes points to ask, none near another."""

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
    """A mask dilated by a square: whether a pixel of the mask is within a radius.

    Args:
      mask: [B, H, W] bool.
      radius: pixels, in the larger of both coordinates.
    Returns:
      [B, H, W] bool.
    """
    return window_sums(mask.astype(jnp.float32), radius) > 0 if radius else mask


def window_sums(x: jax.Array, radius: int) -> jax.Array:
    """Sums over the square window around each pixel; outside the image all is zero.

    Args:
      x: [B, H, W, ...] float32.
      radius: the window is (2 radius + 1) pixels wide.
    Returns:
      The same shape, float32.
    """
    for axis in (1, 2):
        padding = [(0, 0)] * x.ndim
        padding[axis] = (radius, radius)
        framed, length = jnp.pad(x, padding), x.shape[axis]
        shifts = range(2 * radius + 1)  # XLA fuses the sum; on CPUs reduce_window is slower
        shifted = (jax.lax.slice_in_dim(framed, n, n + length, axis=axis) for n in shifts)
        x = functools.reduce(jnp.add, shifted)
    return x


def spaced_maxima(
    score: jax.Array, *, number: int, radius: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Greedy non-maximum suppression: the highest scores, more than a radius apart.

    Each step takes the highest score that is left and closes the window around it. Of equal scores
    it takes the leftmost column's topmost pixel, as RIPU's published selection does [cited: RIPU].
    The maximum of every column is kept between steps, and a step changes only those of its window.
    A step therefore takes O(W + radius H) operations; the published program takes O(H W).

    Args:
      score: [B, H, W] float32; -inf where nothing may be asked.
      number: how many points an image is asked at most.
      radius: pixels; two points are more than this apart in the larger of both coordinates. With 0
        no window is closed, and equal scores come in row-major order.
    Returns:
      points: [B, n, 2] int32 (row, column), the highest first; n = min(number, H W).
      found: [B, n] bool; where it is false, `points` and `scores` mean nothing.
      scores: [B, n] float32.
    """
    height, width = score.shape[1:]
    number = min(number, height * width)
    if radius == 0:
        scores, flat = jax.lax.top_k(score.reshape(-1, height * width), number)
        points = jnp.stack(jnp.divmod(flat, width), -1).astype(jnp.int32)
        return points, scores > NEVER, scores
    one = functools.partial(_spaced_maxima, number=number, radius=radius)
    return jax.lax.map(one, score)  # under vmap a window would not be written in place


def _spaced_maxima(
    score: jax.Array, *, number: int, radius: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    side = 2 * radius + 1
    # Transposed, so that a column is contiguous; padded, so that no window leaves the map.
    framed = jnp.pad(score.T, radius, constant_values=NEVER)
    rows = jnp.arange(framed.shape[1])

    def next_point(carry: tuple[jax.Array, ...], _: None) -> tuple[tuple, tuple]:
        # The previous step's window is written at the start of this step. All reads then come after
        # the only write, so that XLA updates the map in place instead of copying it at each step.
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
