"""MobileNetV2 without the classifier, its batch norm folded into kernels and biases.

[cited: Sandler et al. 2018, and the ImageNet weights in TensorFlow's layout.] Convolutions are
numbered in network order, `00_conv` to `50_conv`, depthwise ones `NN_dw`: the names of the
weights' file. Padding is TensorFlow's SAME: at stride 2 one more at the bottom and right.
"""

from itertools import count
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array, lax

# expansion, channels, blocks, stride
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
AUX_STAGE = 4  # the last one at stride 16


def depthwise3x3(x: Array, kernel: Array, stride: int = 1, dilation: int = 1) -> Array:
    """A SAME-padded depthwise convolution as nine shifted multiply-adds.

    XLA runs grouped convolutions slowly on CPUs; these nine fuse into one loop everywhere.

    x: [B, H, W, C]; kernel: [3, 3, 1, C]; returns [B, ceil(H / stride), ceil(W / stride), C].
    """
    reach = 2 * dilation + 1
    pads = lax.padtype_to_pads(x.shape[1:3], (reach, reach), (stride, stride), "SAME")
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    high, wide = x.shape[1] - reach + 1, x.shape[2] - reach + 1
    return sum(
        x[
            :,
            row * dilation : row * dilation + high : stride,
            column * dilation : column * dilation + wide : stride,
        ]
        * kernel[row, column, 0]
        for row in range(3)
        for column in range(3)
    )


class Depthwise(nn.Module):
    """`depthwise3x3` with a kernel and a bias."""

    stride: int
    dilation: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        channels = x.shape[-1]
        kernel = self.param("kernel", nn.initializers.he_normal(), (3, 3, 1, channels))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        x, kernel, bias = (value.astype(self.dtype) for value in (x, kernel, bias))
        return depthwise3x3(x, kernel, self.stride, self.dilation) + bias


def scaled(channels: int, width: float) -> int:
    """The nearest multiple of 8, at least 8: 1.0 leaves the published channels as they are."""
    return max(8, 8 * round(channels * width / 8))


class MobileNetV2(nn.Module):
    """Trains from scratch too: He initialisation keeps the scale without batch norm."""

    width: float = 1.0
    output_stride: int = 16
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> tuple[Array, Array]:
        """x: [B, H, W, 3] in -1..1. Returns the 96- and the 320-channel features.

        Both are [B, h, w, F] at `output_stride`. `train` changes nothing: nothing is normalised.
        """
        number = count()

        def pointwise(x: Array, features: int, gain: float, size: int = 1, stride: int = 1):
            return nn.Conv(
                features,
                (size, size),
                strides=stride,
                padding="SAME",
                kernel_init=nn.initializers.variance_scaling(gain, "fan_in", "truncated_normal"),
                dtype=self.dtype,
                name=f"{next(number):02d}_conv",
            )(x)

        x = nn.relu6(pointwise(x, scaled(32, self.width), 2.0, size=3, stride=2))
        reached, dilation, outputs = 2, 1, []
        for expansion, channels, blocks, stage_stride in STAGES:
            for block in range(blocks):
                stride, next_dilation = (stage_stride if block == 0 else 1), dilation
                if reached * stride > self.output_stride:
                    # What a stride would have skipped, the convolutions behind it skip instead.
                    stride, next_dilation = 1, dilation * stride
                reached *= stride
                y = x
                if expansion > 1:
                    y = nn.relu6(pointwise(y, expansion * x.shape[-1], 2.0))
                y = Depthwise(stride, dilation, self.dtype, name=f"{next(number):02d}_dw")(y)
                y = pointwise(nn.relu6(y), scaled(channels, self.width), 1.0)
                x = x + y if block > 0 else y
                dilation = next_dilation
            outputs.append(x)
        return outputs[AUX_STAGE], outputs[-1]
