"""Colour augmentation on the device: what `data/colour.py` does on the host, for a traced image."""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from labor_jax.data import colour

__all__ = ["blur", "jitter", "turn_hue", "vary", "without_colour"]

REACH = 4
"""Pixels to either side that a blur sees: 3.5 of its largest deviation."""


def vary(key: jax.Array, image: jax.Array, config: ml_collections.ConfigDict) -> jax.Array:
    """An image with other colours, as the `input` section has it.

    Args:
      key: the random key of this image.
      image: [H, W, 3] uint8 RGB, at least 5 pixels high and wide.
      config: the `input` section.
    Returns:
      [H, W, 3] uint8.
    """
    happens, drawn, turned, widened = jax.random.split(key, 4)
    jittered, grey, blurred = jax.random.uniform(happens, (3,))
    now = image.astype(jnp.float32)
    if config.jittered and (config.jitter or config.hue):
        factors = 1 + jax.random.uniform(drawn, (3,), minval=-config.jitter, maxval=config.jitter)
        turn = jax.random.uniform(turned, minval=-config.hue, maxval=config.hue)
        now = jnp.where(jittered < config.jittered, turn_hue(jitter(now, *factors), turn), now)
    if config.grey:
        now = jnp.where(grey < config.grey, without_colour(now), now)
    if config.blur:
        sigma = jax.random.uniform(widened, minval=colour.BLUR[0], maxval=colour.BLUR[1])
        now = jnp.where(blurred < config.blur, blur(now, sigma), now)
    return jnp.round(now).astype(jnp.uint8)


def jitter(image: jax.Array, brightness: Any, contrast: Any, saturation: Any) -> jax.Array:
    """[H, W, 3] float32 in 0 to 255, with brightness, contrast and saturation times these."""
    mean = image.mean()
    image = jnp.clip((image * brightness - mean) * contrast + mean, 0, 255)
    return jnp.clip(saturation * image + (1 - saturation) * without_colour(image), 0, 255)


def turn_hue(image: jax.Array, turn: Any) -> jax.Array:
    """[H, W, 3] float32 in 0 to 255, with its hue turned by `turn` circles."""
    constant, of_cos, of_sin = (jnp.asarray(part, jnp.float32) for part in colour.HUE)
    angle = 2 * jnp.pi * turn
    matrix = constant + jnp.cos(angle) * of_cos + jnp.sin(angle) * of_sin
    return jnp.clip(jnp.einsum("hwc,dc->hwd", image, matrix), 0, 255)


def without_colour(image: jax.Array) -> jax.Array:
    """The luma of [H, W, 3] float32 in all three channels."""
    luma = jnp.einsum("hwc,c->hw", image, jnp.asarray(colour.LUMA, jnp.float32))
    return jnp.broadcast_to(luma[..., None], image.shape)


def blur(image: jax.Array, sigma: Any) -> jax.Array:
    """[H, W, 3] float32 through a Gaussian filter of deviation `sigma` pixels."""
    weights = jnp.exp(-0.5 * (jnp.arange(-REACH, REACH + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        frame = [(0, 0)] * 3
        frame[axis] = (REACH, REACH)
        framed, length = jnp.pad(image, frame, mode="reflect"), image.shape[axis]
        shifted = (
            weight * jax.lax.slice_in_dim(framed, place, place + length, axis=axis)
            for place, weight in enumerate(weights)
        )
        image = sum(shifted, jnp.float32(0))
    return image
