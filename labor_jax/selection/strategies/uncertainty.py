"""Pixels of which the segmenter is unsure."""

import jax
import jax.numpy as jnp
import ml_collections

from labor_jax.models.likeliest import likeliest
from labor_jax.selection import ripu
from labor_jax.selection.spacing import NEVER
from labor_jax.selection.strategies.registry import Seen, strategy
from labor_jax.selection.strategies.turns import in_turns

MARGIN_SCALE = 0.2
"""The temperature of `balanced_margin`: this much more margin makes a pixel e times less likely."""


@strategy("entropy", asks="points", radius="points.radius")
def entropy(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """The segmenter's entropy."""
    return ripu.entropy(seen.probs)


def margin_of(probs: jax.Array) -> jax.Array:
    """The second largest probability less the largest: [..., C] to [...], -1 to 0."""
    best = probs.max(-1)
    rest = jnp.where(jnp.arange(probs.shape[-1]) == likeliest(probs)[..., None], -1.0, probs)
    return rest.max(-1) - best


@strategy("margin", asks="points", radius="points.radius")
def margin(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """How near the segmenter's second class is to its first."""
    return margin_of(seen.probs)


@strategy("least_confidence", asks="points", radius="points.radius")
def least_confidence(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """How small the segmenter's largest probability is."""
    return -seen.probs.max(-1)


@strategy("pixelpick", asks="points", title="PixelPick")
def pixelpick(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """Pixels drawn uniformly from the 5 % of the smallest margins [cited: PixelPick]."""
    score = jnp.where(seen.inside & ~seen.taken, margin_of(seen.probs), -2.0)
    flat = score.reshape(len(score), -1)
    best = jax.lax.top_k(flat, max(1, flat.shape[1] // 20))[0]
    last = jnp.maximum(seen.sizes.prod(1) // 20, 1) - 1
    least = jnp.take_along_axis(best, last[:, None], 1)
    return jnp.where(score >= least[..., None], seen.noise, NEVER)


@strategy("balanced_margin", asks="points", balanced=True, pooled=True)
def balanced_margin(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """Unsure pixels of every class in turn, over the whole pool [ours].

    It avoids three ways in which other strategies waste clicks. The pixels of the smallest margins
    are next to each other along the borders of large things, and people often cannot name their
    class. So pixels are drawn at random, with probabilities proportional to exp(-margin / 0.2).
    Rare classes are in few images, whose own budgets are spent while they could still teach the
    network. So all images share one budget. Rare classes are also seldom predicted. So the
    predicted classes take turns.
    """
    # The pixels of the highest sums are a sample without replacement (the Gumbel top-k trick;
    # Efraimidis and Spirakis).
    gumbel = -jnp.log(-jnp.log(jnp.maximum(seen.noise, 1e-12)))
    return in_turns(seen, margin_of(seen.probs) / MARGIN_SCALE + gumbel)
