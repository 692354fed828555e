"""RIPU's scores: mixed predicted classes times uncertain predictions (Xie et al., CVPR 2022)."""

import jax
import jax.numpy as jnp
import numpy as np

from labor_jax.models.likeliest import class_sum, likeliest
from labor_jax.selection.spacing import window_sums

__all__ = [
    "entropy",
    "impurity",
    "point_score",
    "region_score",
]


_EPSILON = 1e-6


def entropy(probs: jax.Array) -> jax.Array:
    """`sum_c -p log(p + 1e-6)` [cited: RIPU]: [..., C] float32 to [...] float32."""
    return -class_sum(probs * jnp.log(probs + _EPSILON))


def impurity(predicted: jax.Array, radius: int) -> jax.Array:
    """Entropy of the predicted classes in each pixel's window [cited: RIPU].

    The sum over classes c is computed as a sum over the window's N pixels i:
    `sum_c -n_c/N log(n_c/N + 1e-6) = sum_i -1/N log(n_{c_i}/N + 1e-6)`. A small window has fewer
    pixels than there are classes, and no array of shape [B, H, W, C] is made.

    Args:
      predicted: [B, H, W] int.
      radius: the window is (2 radius + 1) pixels wide; at the border it has fewer pixels.
    Returns:
      [B, H, W] float32.
    """
    _, height, width = predicted.shape
    margin = (radius, radius)
    framed = jnp.pad(predicted.astype(jnp.int16), ((0, 0), margin, margin), constant_values=-1)
    starts = range(2 * radius + 1)
    window = [framed[:, i : i + height, j : j + width] for i in starts for j in starts]
    pixels = _window_pixels((height, width), radius)
    total = jnp.zeros(predicted.shape, jnp.float32)
    for own in window:
        alike = jnp.zeros(predicted.shape, jnp.int16)
        for other in window:
            alike += own == other
        share = alike.astype(jnp.float32) / pixels
        total -= jnp.where(own >= 0, jnp.log(share + _EPSILON), 0.0)
    return total / pixels


def region_score(probs: jax.Array, radius: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Impurity times mean uncertainty of each pixel's window, for regions [cited: RIPU].

    Both entropies are divided by log 19, whatever the number of classes is, as published.

    Args:
      probs: [B, H, W, C] float32.
      radius: the window is (2 radius + 1) pixels wide.
    Returns:
      score, impurity and uncertainty, [B, H, W] float32 each.
    """
    unit = jnp.log(19.0)
    impure = impurity(likeliest(probs), radius) / unit
    unsure = entropy(probs) / unit
    uncertainty = window_sums(unsure, radius) / _window_pixels(probs.shape[1:3], radius)
    return impure * uncertainty, impure, uncertainty


def point_score(probs: jax.Array, radius: int) -> jax.Array:
    """A pixel's own entropy times its window's impurity, for points [cited: RIPU].

    Args:
      probs: [B, H, W, C] float32.
      radius: the window is (2 radius + 1) pixels wide.
    Returns:
      [B, H, W] float32; logarithms are natural.
    """
    return entropy(probs) * impurity(likeliest(probs), radius)


def _window_pixels(size: tuple[int, ...], radius: int) -> np.ndarray:
    """How many of the image's pixels each window has: [H, W] float32."""
    sides = []
    for length in size:
        at = np.arange(length)
        sides.append(np.minimum(at + radius, length - 1) - np.maximum(at - radius, 0) + 1)
    return np.outer(*sides).astype(np.float32)
