"""MobileNetV2 without the classifier, with batch norm or with it folded into kernels and biases.

[cited: Sandler et al. 2018, and the ImageNet weights in TensorFlow's layout.] Convolutions are
numbered in network order, from 00 to 50. Folded ones are `00_conv` to `50_conv`, depthwise ones
`NN_dw`: the names of the weights' file. With batch norm they are `NN` and it is `NN_bn`. Two styles
have different weights [cited: torchvision]; those of "tensorflow" are there folded only:

                              "tensorflow"               "pytorch"
    padding at stride 2       at the bottom and right    alike on both sides
    images                    -1..1                      ImageNet's mean and deviation removed
"""

import re
from functools import partial
from itertools import count
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from labor_jax.models.backbone import (
    Backbone,
    Layout,
    Shape,
    from_pytorch,
    pytorch_shape,
    register,
)
from labor_jax.models.batch_norm import EPSILON, FOLDED, KINDS, BatchNorm
from labor_jax.models.depthwise import padding
from labor_jax.models.separable import Depthwise

__all__ = [
    "LEVELS",
    "OWN",
    "STAGES",
    "TORCHVISION",
    "MobileNetV2",
    "as_product",
    "build",
    "folded",
    "scaled",
    "torchvision_sources",
]


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
LEVELS = (1, 2, 4, 6)
"""The last stages at strides 4, 8, 16 and 32."""


def as_product(x: Array, kernel: Array, *_: Any, **__: Any) -> Array:
    """A 1x1 convolution as a matrix product, whose gradient is a third faster on CPUs."""
    return x @ kernel[0, 0]


def scaled(channels: int, width: float) -> int:
    """`channels` x `width`, rounded to the nearest multiple of 8 and at least 8.

    A width of 1.0 leaves the published channels as they are.
    """
    return max(8, 8 * round(channels * width / 8))


class MobileNetV2(nn.Module):
    """`batch_norm` is FOLDED or a kind of batch norm.

    Folded, it can also be trained from scratch: He initialisation keeps the activations' scale.
    """

    style: str = "tensorflow"
    width: float = 1.0
    output_stride: int = 16
    batch_norm: str = FOLDED
    axis_name: str | None = None
    ordered: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> tuple[Array, ...]:
        """x: [B, H, W, 3] normalised. Returns the levels of 24, 32, 96 and 320 channels.

        They are [B, h, w, F] at strides 4, 8, 16 and 32, or at `output_stride` where that is less.
        """
        number, folded = count(), self.batch_norm == FOLDED
        norm = partial(
            BatchNorm,
            kind=self.batch_norm,
            axis_name=self.axis_name,
            ordered=self.ordered,
            dtype=self.dtype,
        )

        def normed(x: Array, name: str) -> Array:
            return x if folded else norm(name=f"{name}_bn")(x, train)

        def convolution(
            x: Array, features: int, gain: float, size: int = 1, stride: int = 1
        ) -> Array:
            name = f"{next(number):02d}"
            y = nn.Conv(
                features,
                (size, size),
                strides=stride,
                padding=padding(x.shape[1:3], 3, stride, 1, self.style) if size == 3 else "VALID",
                use_bias=folded,
                kernel_init=nn.initializers.variance_scaling(gain, "fan_in", "truncated_normal"),
                conv_general_dilated=as_product if size == 1 else None,
                dtype=self.dtype,
                name=f"{name}_conv" if folded else name,
            )(x)
            return normed(y, name)

        def filtered(x: Array, stride: int, dilation: int) -> Array:
            name = f"{next(number):02d}"
            y = Depthwise(
                3,
                stride,
                dilation,
                self.style,
                use_bias=folded,
                dtype=self.dtype,
                name=f"{name}_dw" if folded else name,
            )(x)
            return normed(y, name)

        x = nn.relu6(convolution(x, scaled(32, self.width), 2.0, size=3, stride=2))
        reached, dilation, outputs = 2, 1, []
        for expansion, channels, blocks, stage_stride in STAGES:
            for block in range(blocks):
                stride, next_dilation = (stage_stride if block == 0 else 1), dilation
                if reached * stride > self.output_stride:
                    # Dilation of the later convolutions replaces this stride.
                    stride, next_dilation = 1, dilation * stride
                reached *= stride
                y = x
                if expansion > 1:
                    y = nn.relu6(convolution(y, expansion * x.shape[-1], 2.0))
                y = filtered(y, stride, dilation)
                y = convolution(nn.relu6(y), scaled(channels, self.width), 1.0)
                x = x + y if block > 0 else y
                dilation = next_dilation
            outputs.append(x)
        return tuple(outputs[level] for level in LEVELS)


# ------------------------------------------------------------------------------- what it registers


def build(model: ConfigDict, axis_name: str | None, ordered: bool, dtype: Any) -> MobileNetV2:
    """The MobileNetV2 of a config's section."""
    return MobileNetV2(
        style=model.style,
        width=model.width,
        output_stride=model.output_stride,
        batch_norm=model.batch_norm,
        axis_name=axis_name,
        ordered=ordered,
        dtype=dtype,
    )


def torchvision_sources(path: str, shape: Shape) -> dict[str, Shape]:
    """The keys of a convolution and its batch norm, of which a variable is made."""
    number, part = path.split("/")
    convolution, norm = _torchvision_prefixes(int(number[:2]))
    if number.endswith("_bn"):
        theirs = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
        return {f"{norm}.{theirs[part]}": shape}
    if re.fullmatch(r"\d\d", number):
        return {f"{convolution}.weight": pytorch_shape(shape)}
    if part == "kernel":
        kernel, needed = {f"{convolution}.weight": pytorch_shape(shape)}, ("weight", "running_var")
        return kernel | {f"{norm}.{name}": shape[-1:] for name in needed}
    needed_for_bias = ("weight", "running_var", "running_mean", "bias")
    return {f"{norm}.{name}": shape[-1:] for name in needed_for_bias}


def _torchvision_prefixes(number: int) -> tuple[str, str]:
    """torchvision's convolution and batch norm that are our convolution `number`, 0 to 50."""
    block, part = number // 3 + 1, number % 3  # expand, depthwise, project
    if block == 1:  # it has no expansion; the stem is in the expansion's place
        pair = (("0.0", "0.1"), ("1.conv.0.0", "1.conv.0.1"), ("1.conv.1", "1.conv.2"))[part]
    else:
        pair = (("0.0", "0.1"), ("1.0", "1.1"), ("2", "3"))[part]
        pair = (f"{block}.conv.{pair[0]}", f"{block}.conv.{pair[1]}")
    return f"features.{pair[0]}", f"features.{pair[1]}"


def folded(found: list[np.ndarray]) -> np.ndarray:
    """A variable, float32, from the tensors that `torchvision_sources` names.

    Batch norm at inference is y = (x - mean) weight / sqrt(var + 1e-5) + bias. The factor goes into
    the kernel and the rest into the bias, both computed in float64.
    """
    if len(found) == 1:
        return np.asarray(from_pytorch(found[0]), np.float32)
    found = [np.asarray(tensor, np.float64) for tensor in found]
    if len(found) == 3:
        kernel, weight, var = found
        return np.asarray(from_pytorch(kernel) * (weight / np.sqrt(var + EPSILON)), np.float32)
    weight, var, mean, bias = found
    return np.asarray(bias - mean * weight / np.sqrt(var + EPSILON), np.float32)


OWN = Layout(
    name="own",
    known_by=r"\d\d(_conv|_dw|_bn)?/",
    network=lambda _: "mobilenet_v2",
    width=(r"50_(conv|bn)/bias", 320),
    sources=lambda path, shape: {path: shape},
    value=lambda found, _: np.asarray(found[0], np.float32),
    split=lambda variable, _: [variable],
    styles=((r"5[12]_conv/", "tensorflow"),),
    left_out=((r"5[12]_conv/", "the ImageNet classifier"),),
)
"""Under the names that the module has."""

TORCHVISION = Layout(
    name="torchvision",
    known_by=r"features\.\d+\.conv\.",
    network=lambda _: "mobilenet_v2",
    width=(r"features\.17\.conv\.3\.weight", 320),
    sources=torchvision_sources,
    value=lambda found, _: folded(found),
    styles=((r"(module\.)?features\.", "pytorch"),),
    left_out=((r"(classifier|features\.18)\.", "the ImageNet classifier"),),
    pytorch=True,
)
"""torchvision's, with batch norm: it is kept, or folded in where the network has none."""

register(
    Backbone(
        name="mobilenet_v2",
        build=build,
        styles=("tensorflow", "pytorch"),
        batch_norms=(FOLDED, *KINDS),
        layouts=(OWN, TORCHVISION),
        imagenet="https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
    )
)
