"""Losses as (sum, count), so that they stay right when pixels are ignored unevenly over devices.

A step divides the local sum by the count over all devices (`normalise`) and then adds the
gradients up; a mean of per-device means would weigh a device with one labelled pixel like one
with a thousand.
"""

from typing import Any

import jax
import jax.numpy as jnp

from labor_jax.data.labels import IGNORE
from labor_jax.models.likeliest import likeliest

__all__ = [
    "SOURCE",
    "TARGET",
    "SumCount",
    "adversarial",
    "count",
    "cross_entropy",
    "discrepancy",
    "entropy",
    "local_consistency",
    "negative_learning",
    "normalise",
    "self_training",
    "share",
    "uniformity",
    "weight_similarity",
]


SumCount = tuple[jax.Array, jax.Array]

SOURCE, TARGET = 0.0, 1.0
"""What the discriminator calls the two domains [cited: AdaptSegNet]."""


def normalise(loss: SumCount, axis_name: str | None) -> jax.Array:
    """Local sum / count over all devices; 0 where nothing counts.

    Args:
      loss: (sum float32 [], count float32 []) of this device's share of the batch.
      axis_name: the mapped axis, None where there is one device.
    Returns:
      float32 []; the sum of it over devices is the loss.
    """
    total, here = loss
    return share(total, here if axis_name is None else jax.lax.psum(here, axis_name))


def count(where: jax.Array, axis_name: str | None) -> jax.Array:
    """How many pixels of [B, H, W] bool count on all devices, float32 []."""
    here = where.sum(dtype=jnp.float32)
    return here if axis_name is None else jax.lax.psum(here, axis_name)


def share(total: jax.Array, count: jax.Array) -> jax.Array:
    """A part's sum by the count over all parts; 0 where nothing counts."""
    return total / jnp.maximum(count, 1.0)


def cross_entropy(logits: jax.Array, labels: jax.Array) -> SumCount:
    """Cross-entropy over labelled pixels [paper].

    Args:
      logits: [B, H, W, C] float32.
      labels: [B, H, W] uint8 train ids, 255 = ignored.
    """
    valid = labels != IGNORE
    safe = jnp.where(valid, labels, 0).astype(jnp.int32)
    picked = jnp.take_along_axis(logits, safe[..., None], axis=-1)[..., 0]
    nll = jax.nn.logsumexp(logits, axis=-1) - picked
    return jnp.where(valid, nll, 0.0).sum(), valid.sum(dtype=jnp.float32)


def adversarial(logits: jax.Array, domain: float, kind: str) -> SumCount:
    """How far the discriminator's answer is from `domain` [cited: AdaptSegNet].

    Args:
      logits: [B, h, w, 1] float32, the discriminator's output.
      domain: SOURCE or TARGET.
      kind: "vanilla", binary cross-entropy, or "ls", least squares.
    """
    if kind == "ls":
        per_cell = jnp.square(logits - domain)
    else:
        per_cell = jax.nn.softplus(logits) - logits * domain
    return per_cell.sum(), jnp.float32(logits.size)


def discrepancy(logits1: jax.Array, logits2: jax.Array) -> SumCount:
    """Mean absolute difference of two softmaxes [cited: MCD].

    The mean is over every element, classes too: a sum over classes would be C times larger.

    Args:
      logits1, logits2: [B, H, W, C] float32.
    """
    difference = jnp.abs(jax.nn.softmax(logits1) - jax.nn.softmax(logits2))
    return difference.sum(), jnp.float32(difference.size)


def entropy(logits: jax.Array, where: jax.Array) -> SumCount:
    """Entropy of the softmax: small where the network is sure [cited: IAST].

    A mean over every element, classes too, as published: C times smaller than a pixel's entropy.

    Args:
      logits: [B, H, W, C] float32.
      where: [B, H, W] bool, the pixels that count.
    """
    log_probs = jax.nn.log_softmax(logits)
    per_pixel = -(jnp.exp(log_probs) * log_probs).mean(-1)
    return jnp.where(where, per_pixel, 0.0).sum(), where.sum(dtype=jnp.float32)


def uniformity(logits: jax.Array, where: jax.Array) -> SumCount:
    """Cross-entropy of the uniform distribution: small where the network is not too sure.

    IAST's "KLD" [cited], C times smaller than a pixel's cross-entropy, as published.

    Args:
      logits: [B, H, W, C] float32.
      where: [B, H, W] bool, the pixels that count.
    """
    per_pixel = -jax.nn.log_softmax(logits).mean(-1) / logits.shape[-1]
    return jnp.where(where, per_pixel, 0.0).sum(), where.sum(dtype=jnp.float32)


def negative_learning(logits: jax.Array, below: float) -> SumCount:
    """`-log(1 - p + 1e-6)` of the classes that a pixel hardly has [cited: RIPU].

    Pushes them to zero; a mean over (pixel, class) pairs.

    Args:
      logits: [B, H, W, C] float32.
      below: the probability under which a pair counts.
    """
    probs = jax.nn.softmax(logits)
    unlikely = jax.lax.stop_gradient(probs < below)
    loss = jnp.where(unlikely, -jnp.log(1 - probs + 1e-6), 0.0)
    return loss.sum(), unlikely.sum(dtype=jnp.float32)


def self_training(logits: jax.Array, labels: jax.Array, above: float) -> SumCount:
    """Cross-entropy with the network's own class, where it is sure and nobody has said.

    Pseudo-labelling (Lee, 2013) of what is left after asking [ours].

    Args:
      logits: [B, H, W, C] float32.
      labels: [B, H, W] uint8 train ids, 255 = nobody has said.
      above: the probability from which the network is taken to be sure.
    """
    probs = jax.lax.stop_gradient(jax.nn.softmax(logits))
    sure = (probs.max(-1) >= above) & (labels == IGNORE)
    return cross_entropy(logits, jnp.where(sure, likeliest(probs), IGNORE).astype(jnp.uint8))


def local_consistency(logits: jax.Array, labels: jax.Array) -> SumCount:
    """How far a pixel's probabilities are from its 3x3 window's mean, at borders [cited: RIPU].

    Args:
      logits: [B, H, W, C] float32.
      labels: [B, H, W] uint8 train ids, 255 = ignored. A border is where eight times the id is not
        the sum of its neighbours', outside the image taken as 0, as published.
    """
    probs = jax.nn.softmax(logits)
    framed = jnp.pad(probs, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    distance = jnp.abs(probs - _window_sum(framed) / 9).sum(-1)
    ids = labels.astype(jnp.int32)
    around = _window_sum(jnp.pad(ids, ((0, 0), (1, 1), (1, 1)))[..., None])[..., 0]
    border = (9 * ids != around) & (labels != IGNORE)
    return jnp.where(border, distance, 0.0).sum(), border.sum(dtype=jnp.float32)


def _window_sum(framed: jax.Array) -> jax.Array:
    """Sums over 3x3 windows: [B, H + 2, W + 2, C] to [B, H, W, C]."""
    rows = framed[:, :-2] + framed[:, 1:-1] + framed[:, 2:]
    return rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]


def weight_similarity(params1: Any, params2: Any) -> jax.Array:
    """Cosine of two heads' parameters, as one long vector each.

    The reading of a seed review, "parameters in each classifier are applied to the loss to push
    away from each other": minimising it pushes the heads apart in weight space.

    Args:
      params1, params2: pytrees of float32 with the same structure.
    Returns:
      float32 [], from -1 to 1.
    """
    a = jnp.concatenate([x.ravel() for x in jax.tree.leaves(params1)])
    b = jnp.concatenate([x.ravel() for x in jax.tree.leaves(params2)])
    return a @ b / (jnp.linalg.norm(a) * jnp.linalg.norm(b) + 1e-12)
