"""Predictions as labels, and instance-adaptive thresholds for the selector [paper, cited: IAST]."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from labor_jax.data.labels import IGNORE
from labor_jax.models.likeliest import likeliest
from labor_jax.models.resize import upsample
from labor_jax.models.segmenter import Inputs
from labor_jax.train.parts import in_parts

__all__ = [
    "CAP",
    "START",
    "predictions",
    "pseudo_labels",
    "surest",
    "update_thresholds",
]


START = 0.9
"""Every class's threshold before the first batch."""
CAP = 0.999


def predictions(
    segmenter: nn.Module, variables: Any, images: Inputs, size: tuple[int, ...], parts: int
) -> tuple[jax.Array, jax.Array]:
    """Each pixel's largest probability, [B, H, W] float32, and its class, [B, H, W] int32.

    Args:
      segmenter: the network, in evaluation mode.
      images: [B, H, W, 3] uint8, or a tuple of their levels.
      size: (H, W).
      parts: of the batch, one after the other.
    """

    def predict(images: Inputs) -> tuple[jax.Array, jax.Array]:
        out = segmenter.apply(variables, images, train=False)
        probs = jax.nn.softmax(upsample(out["main"], size))
        return probs.max(-1), likeliest(probs)

    return in_parts(predict, images, parts)


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

    The sample of class c is its threshold and the confidences of the pixels predicted c. `local` is
    the sample's percentile 100 (1 - alpha threshold^gamma), linearly interpolated. The new
    threshold is beta threshold + (1 - beta) local, at most 0.999. A class absent from the batch
    keeps its threshold.

    Args:
      thresholds: [C] float32.
      confidence: [N] float32, >= 0, the largest probability of each pixel of the whole batch.
      predicted: [N] int32, its class.
      alpha, beta, gamma: IAST's three numbers.
    Returns:
      [C] float32.
    """
    classes = thresholds.shape[0]
    group = jnp.concatenate([predicted.astype(jnp.int32), jnp.arange(classes, dtype=jnp.int32)])
    sample = jnp.concatenate([confidence.astype(thresholds.dtype), thresholds])
    size = jnp.zeros(classes, jnp.int32).at[group].add(1)
    position = (size - 1) * (1 - alpha * thresholds**gamma)
    below = jnp.floor(position).astype(jnp.int32)
    above = jnp.minimum(below + 1, size - 1)
    low, high = (_ranked(group, sample, rank) for rank in (below, above))
    local = low + (high - low) * (position - below)
    moved = beta * thresholds + (1 - beta) * local
    return jnp.where(moved >= 1, CAP, moved)


def _ranked(group: jax.Array, sample: jax.Array, rank: jax.Array) -> jax.Array:
    """The k-th smallest value of each group, k = `rank` counted from 0, by radix select.

    Floats >= 0 sort like their bit patterns read as integers. From the highest 8 bits to the
    lowest, a histogram of the values that agree so far finds the next 8 bits of the result. On
    CPUs this takes a fraction of the time of a sort.

    Args:
      group: [N] int32, from 0 to C - 1.
      sample: [N] float32 or float64, >= 0.
      rank: [C] int32, less than the group's size.
    Returns:
      [C] of the sample's type.
    """
    width = 8 * sample.dtype.itemsize
    bits = jax.lax.bitcast_convert_type(sample, f"int{width}")
    found = jnp.zeros(rank.shape, bits.dtype)
    fits = jnp.ones(sample.shape, jnp.int32)
    for shift in range(width - 8, -1, -8):
        digit = ((bits >> shift) & 255).astype(jnp.int32)
        counts = jnp.zeros(256 * len(rank), jnp.int32).at[256 * group + digit].add(fits)
        counts = counts.reshape(len(rank), 256)
        before = jnp.cumsum(counts, axis=1) <= rank[:, None]
        own = before.sum(1, dtype=jnp.int32)
        rank = rank - jnp.where(before, counts, 0).sum(1, dtype=jnp.int32)
        fits = fits * (digit == own[group])
        found = found | (own.astype(bits.dtype) << shift)
    return jax.lax.bitcast_convert_type(found, sample.dtype)


def pseudo_labels(confidence: jax.Array, predicted: jax.Array, thresholds: jax.Array) -> jax.Array:
    """The predicted class where its confidence reaches the class's threshold, else 255.

    Args:
      confidence: [...] float32.
      predicted: [...] int32.
      thresholds: [C] float32.
    Returns:
      [...] uint8 train ids.
    """
    keep = confidence >= thresholds[predicted]
    return jnp.where(keep, predicted, IGNORE).astype(jnp.uint8)


def surest(probabilities: np.ndarray, share: float) -> np.ndarray:
    """The likeliest class of the pixels with the highest probability, else 255 [cited: CBST].

    Args:
      probabilities: [P, C] float32.
      share: of the pixels of each likeliest class, how many are kept; those that tie with the last
        one are, too.
    Returns:
      [P] int32 train ids.
    """
    confidence, likeliest_class = probabilities.max(1), probabilities.argmax(1)
    labels = np.full(len(probabilities), IGNORE, np.int32)
    for name in np.unique(likeliest_class):
        own = likeliest_class == name
        labels[own & (confidence >= np.quantile(confidence[own], 1 - share))] = name
    return labels
