"""DeepLab-V3+: context from dilated branches, brought to stride 4 and joined with fine features."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from labor_jax.models.batch_norm import BatchNorm
from labor_jax.models.resize import upsample
from labor_jax.models.separable import SMALL, Depthwise, Pointwise

__all__ = [
    "CHANNELS",
    "DETAIL",
    "Decoder",
]

CHANNELS, DETAIL = 128, 32
"""Channels of every layer, and of the fine features. Published are 256 and 48; on the light
backbones that this head is for they double the time of a step and gain nothing [ours]."""


class Decoder(nn.Module):
    """Levels to the features that the classifiers share, at the first level's resolution.

    [cited: Chen et al. 2018, with depthwise separable convolutions.] The branch of the whole
    image's mean has a bias in place of batch norm: its statistics would be of B values.

    Attributes:
      dilations: of the separable branches.
      norm: makes a batch norm.
      dtype: of the computation.
    """

    dilations: tuple[int, ...]
    norm: Callable[..., BatchNorm]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, levels: Sequence[Array], train: bool = False) -> Array:
        """levels: [B, h, w, F] each, from fine to coarse; returns [B, h, w, CHANNELS] of `dtype`.

        `h` and `w` are the first level's.
        """
        fine, last = levels[0], levels[-1]

        def pointwise(x: Array, channels: int, name: str) -> Array:
            x = Pointwise(channels, kernel_init=SMALL, dtype=self.dtype, name=name)(x)
            return nn.relu(self.norm(name=f"{name}_bn")(x, train))

        def separable(x: Array, dilation: int, name: str) -> Array:
            x = Depthwise(
                3,
                1,
                dilation,
                "pytorch",
                kernel_init=SMALL,
                dtype=self.dtype,
                name=f"{name}_depthwise",
            )(x)
            x = nn.relu(self.norm(name=f"{name}_depthwise_bn")(x, train))
            return pointwise(x, CHANNELS, name)

        everywhere = Pointwise(
            CHANNELS, use_bias=True, kernel_init=SMALL, dtype=self.dtype, name="image"
        )(last.mean((1, 2), keepdims=True))
        context = [
            jnp.broadcast_to(nn.relu(everywhere), (*last.shape[:3], CHANNELS)),
            pointwise(last, CHANNELS, "here"),
            *(separable(last, rate, f"around_{i}") for i, rate in enumerate(self.dilations)),
        ]
        x = pointwise(jnp.concatenate(context, -1), CHANNELS, "context")
        detail = pointwise(fine, DETAIL, "detail")
        x = jnp.concatenate([upsample(x, fine.shape[1:3]), detail], -1)
        return separable(x, 1, "joined")
