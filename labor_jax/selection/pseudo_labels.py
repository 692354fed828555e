"""Instance-adaptive pseudo labels for the selector [paper, cited: IAST]."""

import jax
import jax.numpy as jnp

from labor_jax.data.labels import IGNORE

__all__ = [
    "CAP",
    "START",
    "pseudo_labels",
    "update_thresholds",
]


START = 0.9
"""Every class's threshold before the first batch."""
CAP = 0.999


def update_thresholds(
    thresholds: jax.Array,
    confidence: jax.Array,
    predicted: jax.Array,
    *,
    alpha: float | jax.Array,
    beta: float,
    gamma: float,
) -> jax.Array:
    """Moves each class's threshold towards this batch's confidences [cited: IAST].

    For class c, take the confidences of the pixels predicted c plus the threshold itself as one
    sample; local = percentile 100 (1 - alpha threshold^gamma), linearly interpolated; threshold
    <- beta threshold + (1 - beta) local, at most 0.999. A class absent from the batch keeps its
    threshold. One sort of all pixels serves every class.

    Args:
      thresholds: [C] float32.
      confidence: [N] float32, the largest probability of each pixel of the whole batch.
      predicted: [N] int32, its class.
      alpha, beta, gamma: IAST's three numbers.
    Returns:
      [C] float32.
    """
    classes = thresholds.shape[0]
    group = jnp.concatenate([predicted.astype(jnp.int32), jnp.arange(classes, dtype=jnp.int32)])
    sample = jnp.concatenate([confidence.astype(thresholds.dtype), thresholds])
    group, sample = jax.lax.sort((group, sample), num_keys=2)
    edges = jnp.searchsorted(group, jnp.arange(classes + 1))
    first, size = edges[:-1], edges[1:] - edges[:-1]
    position = (size - 1) * (1 - alpha * thresholds**gamma)
    below = jnp.floor(position).astype(jnp.int32)
    above = jnp.minimum(below + 1, size - 1)
    low, high = sample[first + below], sample[first + above]
    local = low + (high - low) * (position - below)
    moved = beta * thresholds + (1 - beta) * local
    return jnp.where(moved >= 1, CAP, moved)


def pseudo_labels(confidence: jax.Array, predicted: jax.Array, thresholds: jax.Array) -> jax.Array:
    """A pixel keeps its prediction if it is as confident as its class's threshold, else 255.

    Args:
      confidence: [...] float32.
      predicted: [...] int32.
      thresholds: [C] float32.
    Returns:
      [...] uint8 train ids.
    """
    keep = confidence >= thresholds[predicted]
    return jnp.where(keep, predicted, IGNORE).astype(jnp.uint8)
