"""A score by which classes take turns."""

import jax
import jax.numpy as jnp

from labor_jax.models.likeliest import likeliest
from labor_jax.selection.spacing import NEVER
from labor_jax.selection.strategies.registry import Seen


def in_turns(seen: Seen, value: jax.Array) -> jax.Array:
    """A score by which the predicted classes take turns, each with its highest values.

    Args:
      value: [B, H, W] float32. In the pool it also orders the pixels of one class and turn.
    Returns:
      [B, H, W] float32, -inf at pixels that have no turn.
    """
    batch, height, width, classes = seen.logits.shape
    number = min(seen.number, height * width)
    own = likeliest(seen.logits)[:, None] == jnp.arange(classes)[:, None, None]
    open_ = jnp.where(own & (seen.inside & ~seen.taken)[:, None], value[:, None], NEVER)
    best, flat = jax.lax.top_k(open_.reshape(batch, classes, height * width), number)
    score = jnp.where(best > NEVER, jax.nn.sigmoid(best) / 2 - jnp.arange(number), NEVER)
    image = jnp.arange(batch)[:, None, None]
    empty = jnp.full((batch, height * width), NEVER, jnp.float32)
    return empty.at[image, flat].max(score).reshape(batch, height, width)
