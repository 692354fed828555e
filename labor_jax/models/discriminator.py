"""The fully convolutional discriminator of output-space adaptation [cited: AdaptSegNet]."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

__all__ = [
    "SMALLEST",
    "Discriminator",
    "uniform_by_fan_in",
]


SMALLEST = 32  # five halvings


def uniform_by_fan_in(fan_in: int) -> nn.initializers.Initializer:
    """PyTorch's default for a convolution's kernel and bias: U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""

    def initialise(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        bound = fan_in**-0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return initialise


class Discriminator(nn.Module):
    """Five 4x4 convolutions of stride 2 with bias, LeakyReLU 0.2 between, no norm."""

    width: int = 64
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, maps: Array) -> Array:
        """One logit for each patch of 32x32 pixels. A positive logit means target.

        maps: [B, H, W, C] float32, softmax of the segmenter's logits at the image's size.
        Returns [B, H // 32, W // 32, 1] float32. Raises ValueError on maps smaller than 32x32.
        """
        height, width = maps.shape[1:3]
        if min(height, width) < SMALLEST:
            raise ValueError(
                f"the discriminator halves its maps five times: {height}x{width} is too small,"
                f" both sides must be at least {SMALLEST}"
            )
        names = ("conv1", "conv2", "conv3", "conv4", "classifier")
        features = (self.width, 2 * self.width, 4 * self.width, 8 * self.width, 1)
        x = maps
        for name, channels in zip(names, features, strict=True):
            initialise = uniform_by_fan_in(16 * x.shape[-1])
            x = nn.Conv(
                channels,
                (4, 4),
                strides=2,
                padding=1,
                kernel_init=initialise,
                bias_init=initialise,
                dtype=self.dtype,
                name=name,
            )(x)
            if name != "classifier":
                x = nn.leaky_relu(x, 0.2)
        return x.astype(jnp.promote_types(jnp.float32, self.dtype))
