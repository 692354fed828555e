"""RIPU's scores: mixed predicted classes times uncertain predictions (Xie et al., CVPR 2022)."""

import jax
import jax.numpy as jnp

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


def impurity(predicted: jax.Array, radius: int, inside: jax.Array | None = None) -> jax.Array:
    """Entropy of the predicted classes in each pixel's window [cited: RIPU].

    The sum over classes c is computed as a sum over the window's N pixels i:
    `sum_c -n_c/N log(n_c/N + 1e-6) = sum_i -1/N log(n_{c_i}/N + 1e-6)`. A small window has fewer
    pixels than there are classes, and no array of shape [B, H, W, C] is made.

    Args:
      predicted: [B, H, W] int.
      radius: the window is (2 radius + 1) pixels wide; at the border it has fewer pixels.
      inside: [B, H, W] bool, the pixels of the image; None: all. Elsewhere the result means
        nothing.
    Returns:
      [B, H, W] float32.
    """
    _, height, width = predicted.shape
    margin = (radius, radius)
    inside = _everywhere(predicted) if inside is None else inside
    predicted = jnp.where(inside, predicted, -1).astype(jnp.int16)
    framed = jnp.pad(predicted, ((0, 0), margin, margin), constant_values=-1)
    starts = range(2 * radius + 1)
    window = [framed[:, i : i + height, j : j + width] for i in starts for j in starts]
    pixels = _window_pixels(inside, radius)
    total = jnp.zeros(predicted.shape, jnp.float32)
    for own in window:
        alike = jnp.zeros(predicted.shape, jnp.int16)
        for other in window:
            alike += own == other
        share = alike.astype(jnp.float32) / pixels
        total -= jnp.where(own >= 0, jnp.log(share + _EPSILON), 0.0)
    return total / pixels


def region_score(
    probs: jax.Array, radius: int, inside: jax.Array | None = None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Impurity times mean uncertainty of each pixel's window, for regions [cited: RIPU].

    Both entropies are divided by log 19, whatever the number of classes is, as published.

    Args:
      probs: [B, H, W, C] float32.
      radius: the window is (2 radius + 1) pixels wide.
      inside: as in `impurity`.
    Returns:
      score, impurity and uncertainty, [B, H, W] float32 each.
    """
    unit = jnp.log(19.0)
    inside = _everywhere(probs[..., 0]) if inside is None else inside
    impure = impurity(likeliest(probs), radius, inside) / unit
    unsure = jnp.where(inside, entropy(probs) / unit, 0)
    uncertainty = window_sums(unsure, radius) / _window_pixels(inside, radius)
    return impure * uncertainty, impure, uncertainty


def point_score(probs: jax.Array, radius: int, inside: jax.Array | None = None) -> jax.Array:
    """A pixel's own entropy times its window's impurity, for points [cited: RIPU].

    Args:
      probs: [B, H, W, C] float32.
      radius: the window is (2 radius + 1) pixels wide.
      inside: as in `impurity`.
    Returns:
      [B, H, W] float32; logarithms are natural.
    """
    return entropy(probs) * impurity(likeliest(probs), radius, inside)


def _everywhere(maps: jax.Array) -> jax.Array:
    return jnp.ones(maps.shape, bool)


def _window_pixels(inside: jax.Array, radius: int) -> jax.Array:
    """How many of the image's pixels each window has, at least 1: [B, H, W] float32."""
    return jnp.maximum(window_sums(inside.astype(jnp.float32), radius), 1)
