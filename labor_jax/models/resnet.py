"""ResNet-18/50/101 without the classifier, dilated to a wanted output stride.

Two styles exist in the literature, with different weights [cited: AdaptSegNet; torchvision]:

                              "caffe"                   "pytorch"
    stride of a bottleneck    first 1x1                 3x3
    max-pool                  ceil mode                 floor mode
    dilated layer             all blocks                all but the first, which keeps the last

Names follow PyTorch's: `layer3.0.downsample.1.weight` is `layer3_0/downsample_bn/scale`.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial, reduce
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype
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
from labor_jax.models.batch_norm import KINDS, BatchNorm, FixedBatchNorm

__all__ = [
    "LAYERS",
    "LOOPED",
    "PROJECTION",
    "PYTORCH",
    "BasicBlock",
    "Bottleneck",
    "ResNet",
    "build",
    "convolution",
    "layer_plan",
    "max_pool",
    "nearest",
    "normed",
    "rate_factor",
    "sources",
    "unlike",
]


PROJECTION = ("downsample_conv", "downsample_bn")
"""The names of the convolution beside a block, and of its batch norm."""

LOOPED = 5
"""From so many like blocks on, they are a loop."""

LAYERS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}


def layer_plan(output_stride: int, style: str) -> list[tuple[int, int, int]]:
    """(stride, dilation of the first block, dilation) of the four layers, behind a stem of 4."""
    plan, reached, dilation = [], 4, 1
    for wanted in (1, 2, 2, 2):
        before = dilation
        if reached * wanted > output_stride:
            stride, dilation = 1, dilation * wanted
        else:
            stride, reached = wanted, reached * wanted
        plan.append((stride, dilation if style == "caffe" else before, dilation))
    return plan


def convolution(
    features: int,
    size: int,
    stride: int = 1,
    dilation: int = 1,
    *,
    name: str,
    dtype: Any,
    factor: Array | None = None,
) -> nn.Conv:
    """A convolution without bias, with equal padding on both sides as in PyTorch (never SAME).

    Args:
      factor: [features] float32, of each channel of the output; None = 1.
    """

    def promote(inputs: Array, kernel: Array, bias: None, *, dtype: Any) -> list[Any]:
        kernel = kernel if factor is None else kernel * factor
        return promote_dtype(inputs, kernel, bias, dtype=dtype)

    return nn.Conv(
        features,
        (size, size),
        strides=stride,
        padding=dilation * (size // 2),
        kernel_dilation=dilation,
        use_bias=False,
        kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"),
        dtype=dtype,
        promote_dtype=promote,
        name=name,
    )


def normed(
    x: Array,
    features: int,
    size: int,
    stride: int = 1,
    dilation: int = 1,
    *,
    names: tuple[str, str],
    norm: partial[BatchNorm],
    train: bool,
) -> Array:
    """A convolution, and its batch norm; `names` are the two's. x: [B, H, W, F].

    Where the statistics are fixed the kernel takes up the factor. The backward pass then needs no
    output of the convolution, which would be as large as all else that a block keeps.
    """
    dtype = norm.keywords["dtype"]
    make = partial(convolution, features, size, stride, dilation, name=names[0], dtype=dtype)
    if norm.keywords["kind"] != "frozen":
        return norm(name=names[1])(make()(x), train)
    factor, shift = FixedBatchNorm(features, name=names[1])()
    exact = jnp.promote_types(jnp.float32, dtype)
    return (make(factor=factor)(x).astype(exact) + shift).astype(dtype)


def max_pool(x: Array, ceil_mode: bool) -> Array:
    """PyTorch's MaxPool2d(3, stride=2, padding=1). x: [B, H, W, C].

    It takes maxima of shifted maps, since XLA's window reductions have a slow gradient on CPUs.
    """
    pads = [(1, 2 if ceil_mode and size % 2 == 0 else 1) for size in x.shape[1:3]]
    x = jnp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=-jnp.inf)
    high, wide = x.shape[1] - 2, x.shape[2] - 2
    x = reduce(jnp.maximum, [x[:, start : start + high : 2] for start in range(3)])
    return reduce(jnp.maximum, [x[:, :, start : start + wide : 2] for start in range(3)])


class BasicBlock(nn.Module):
    """Two 3x3 convolutions. The first carries the stride and `first_dilation`."""

    features: int
    stride: int
    first_dilation: int
    dilation: int
    norm: partial[BatchNorm]

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        conv = partial(normed, norm=self.norm, train=train)
        y = conv(x, self.features, 3, self.stride, self.first_dilation, names=("conv1", "bn1"))
        # The second convolution comes after the stride, so its dilation replaces that stride.
        y = conv(nn.relu(y), self.features, 3, 1, self.dilation, names=("conv2", "bn2"))
        if x.shape[-1] != self.features:
            x = conv(x, self.features, 1, self.stride, names=PROJECTION)
        return nn.relu(x + y)


class Bottleneck(nn.Module):
    """1x1, 3x3 and a widening 1x1 convolution. Only the 3x3 is dilated, by `first_dilation`."""

    features: int
    stride: int
    first_dilation: int
    dilation: int
    norm: partial[BatchNorm]
    stride_first: bool

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        conv = partial(normed, norm=self.norm, train=train)
        early, late = (self.stride, 1) if self.stride_first else (1, self.stride)
        y = nn.relu(conv(x, self.features, 1, early, names=("conv1", "bn1")))
        y = conv(y, self.features, 3, late, self.first_dilation, names=("conv2", "bn2"))
        y = conv(nn.relu(y), 4 * self.features, 1, names=("conv3", "bn3"))
        if x.shape[-1] != 4 * self.features:
            x = conv(x, 4 * self.features, 1, self.stride, names=PROJECTION)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """`depth` is a key of LAYERS; `width` multiplies every channel count (64, 128, 256, 512)."""

    depth: str
    style: str = "pytorch"
    width: float = 1.0
    output_stride: int = 8
    batch_norm: str = "frozen"
    axis_name: str | None = None
    ordered: bool = False
    remat: bool = False  # compute a block again in the backward pass: less memory, more time
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> tuple[Array, ...]:
        """x: [B, H, W, 3] normalised. Returns the four layers' outputs, [B, h, w, F] each."""
        norm = partial(
            BatchNorm,
            kind=self.batch_norm,
            axis_name=self.axis_name,
            ordered=self.ordered,
            dtype=self.dtype,
        )
        block, own = Bottleneck, {"stride_first": self.style == "caffe"}
        if self.depth == "resnet18":
            block, own = BasicBlock, {}
        if self.remat:
            block = nn.remat(block, static_argnums=(2,))
        base = max(8, round(64 * self.width))

        x = nn.relu(normed(x, base, 7, 2, names=("conv1", "bn1"), norm=norm, train=train))
        x = max_pool(x, ceil_mode=self.style == "caffe")
        outputs = []
        plan = layer_plan(self.output_stride, self.style)
        for layer, (blocks, (stride, first, dilation)) in enumerate(
            zip(LAYERS[self.depth], plan, strict=True)
        ):
            make = partial(block, features=base * 2**layer, dilation=dilation, norm=norm, **own)
            x = make(stride=stride, first_dilation=first, name=f"layer{layer + 1}_0")(x, train)
            alike = partial(make, stride=1, first_dilation=dilation)
            x = self.one_by_one(
                alike, [f"layer{layer + 1}_{index}" for index in range(1, blocks)], x, train
            )
            outputs.append(x)
        return tuple(outputs)

    def one_by_one(
        self, block: Callable[..., nn.Module], names: list[str], x: Array, train: bool
    ) -> Array:
        """Blocks that differ in their variables alone, the later on the earlier one's output.

        Many of them are a loop of the compiled program, which has such a block once. It cannot be
        one where batch statistics move.
        """
        if len(names) < LOOPED or self.batch_norm != "frozen" or self.is_initializing():
            for name in names:
                x = block(name=name)(x, train)
            return x
        each = [{kind: own[name] for kind, own in self.variables.items()} for name in names]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
        apply = block(parent=None).apply
        return jax.lax.scan(lambda x, own: (apply(own, x, train), None), x, stacked)[0]


# ------------------------------------------------------------------------------- what it registers


def build(model: ConfigDict, axis_name: str | None, ordered: bool, dtype: Any) -> ResNet:
    """The ResNet of a config's section."""
    return ResNet(
        depth=model.backbone,
        style=model.style,
        width=model.width,
        output_stride=model.output_stride,
        batch_norm=model.batch_norm,
        axis_name=axis_name,
        ordered=ordered,
        remat=model.remat,
        dtype=dtype,
    )


def rate_factor(path: str, model: ConfigDict, optimizer: ConfigDict) -> float:
    """`block_factor` for the blocks, `projection_factor` for the projections beside them.

    AdaptSegNet as released lists these tensors three and four times in one group, and leaves batch
    norm's scale and bias as they are [cited].
    """
    if model.batch_norm == "adaptsegnet" and re.search(r"bn\d?/", path):
        return 0.0
    if "/downsample" in path:
        return optimizer.projection_factor
    return optimizer.block_factor if path.startswith("layer") else 1.0


def sources(path: str, shape: Shape) -> dict[str, Shape]:
    """PyTorch's key of a variable, by the names in this module's docstring, and its shape there."""
    for pattern, replacement in (
        (r"^layer(\d)_(\d+)", r"layer\1.\2"),
        (r"downsample_conv", "downsample.0"),
        (r"downsample_bn", "downsample.1"),
        (r"(kernel|scale)$", "weight"),
        (r"/(mean|var)$", r"/running_\1"),
        (r"/", "."),
    ):
        path = re.sub(pattern, replacement, path)
    return {path: pytorch_shape(shape)}


def nearest(keys: Iterable[str]) -> str:
    """The ResNet that has most keys in common with these; a few wrong keys do not matter."""
    found = {key for key in keys if re.match(r"layer\d\.\d+\.conv\d\.weight", key)}

    def share(name: str) -> float:
        convolutions = (1, 2) if name in ("resnet18", "resnet34") else (1, 2, 3)
        expected = {
            f"layer{layer}.{block}.conv{number}.weight"
            for layer, blocks in enumerate(known[name], 1)
            for block in range(blocks)
            for number in convolutions
        }
        return len(found & expected) / len(found | expected)

    known = {"resnet34": (3, 4, 6, 3), "resnet152": (3, 8, 36, 3), **LAYERS}
    return max(known, key=share)


def unlike(shapes: Mapping[str, Shape]) -> str:
    """Which ResNet a file has that only has the names of ours; "" where it may be ours."""
    mend = "give one trained on ImageNet, such as torchvision's"
    kernel = shapes.get("conv1.weight", ())[2:]
    if kernel and kernel != (7, 7):
        size = "x".join(map(str, kernel))
        return (
            f"a ResNet for small images, such as CIFAR's: its first convolution is {size} and ours "
            f"7x7; {mend}"
        )
    if "conv1.weight" not in shapes and any(re.match(r"(stem|conv1)\.\d", key) for key in shapes):
        return f"a ResNet with three convolutions in place of the first (v1c, v1d); {mend}"
    return ""


PYTORCH = Layout(
    name="pytorch",
    known_by=r"layer\d\.\d+\.conv\d\.",
    network=nearest,
    unlike=unlike,
    width=("bn1.weight", 64),
    sources=sources,
    value=lambda found, _: np.asarray(from_pytorch(found[0]), np.float32),
    styles=((r"(module\.)?Scale\.", "caffe"), (r"(module\.)?fc\.", "pytorch")),
    left_out=((r"(fc|classifier)\.", "the ImageNet classifier"),),
    pytorch=True,
)
"""torchvision's, and that of the programs of AdaptSegNet and ADVENT."""

_IMAGENET = {"resnet18": "f37072fd", "resnet50": "11ad3fa6", "resnet101": "63fe2227"}

for _name in LAYERS:
    register(
        Backbone(
            name=_name,
            build=build,
            styles=("caffe", "pytorch"),
            batch_norms=KINDS,
            layouts=(PYTORCH,),
            imagenet=f"https://download.pytorch.org/models/{_name}-{_IMAGENET[_name]}.pth",
            rate_factor=rate_factor,
        )
    )
