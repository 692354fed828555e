"""Equation 4: the pixels on which the selector's two heads disagree [paper]."""

import jax

from labor_jax.models.likeliest import likeliest

__all__ = [
    "inconsistency_mask",
    "mean_probability",
]


def inconsistency_mask(logits1: jax.Array, logits2: jax.Array) -> jax.Array:
    """`M(x) = [argmax_c C1(x) != argmax_c C2(x)]` for each pixel [paper, eq. 4].

    Args:
      logits1, logits2: [B, H, W, C] float32, upsampled to the label's resolution.
    Returns:
      [B, H, W] bool.
    """
    return likeliest(logits1) != likeliest(logits2)


def mean_probability(logits1: jax.Array, logits2: jax.Array) -> jax.Array:
    """Mean of the two heads' probabilities, the p of PPL [paper].

    Args:
      logits1, logits2: [B, H, W, C] float32.
    Returns:
      [B, H, W, C] float32.
    """
    return (jax.nn.softmax(logits1) + jax.nn.softmax(logits2)) / 2
