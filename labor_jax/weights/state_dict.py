"""The names under which files of weights hold our tensors, and what else is in such files.

Ours are the paths of a segmenter's variables, `params/backbone/layer3_0/downsample_bn/scale`.
Files have one of three layouts:

    pytorch      layer3.0.downsample.1.weight   ResNets of torchvision, AdaptSegNet and ADVENT
    torchvision  features.1.conv.0.0.weight     its MobileNetV2, batch norm not yet folded in
    own          04_dw/kernel                   a MobileNetV2 with batch norm folded in

PyTorch has kernels as [out, in, height, width], we as [height, width, in, out].
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from labor_jax.models.batch_norm import EPSILON
from labor_jax.models.resnet import LAYERS
from labor_jax.util.errors import UserError

Shape = tuple[int, ...]
Tensors = Mapping[str, np.ndarray]

HEAD = re.compile(r"(?:layer[56]\.conv2d_list\.|(?:aux|main)/branch_)(\d+)[./](weight|kernel|bias)")
"""A key of a head, in any layout: the number of its branch."""

_TO_PYTORCH = (
    (r"^(params|batch_stats)/(backbone/)?", ""),
    (r"^aux/branch_", "layer5.conv2d_list."),
    (r"^main/branch_", "layer6.conv2d_list."),
    (r"^layer(\d)_(\d+)", r"layer\1.\2"),
    (r"downsample_conv", "downsample.0"),
    (r"downsample_bn", "downsample.1"),
    (r"(kernel|scale)$", "weight"),
    (r"/(mean|var)$", r"/running_\1"),
    (r"/", "."),
)


class Network(NamedTuple):
    """What a file holds, as far as its keys and shapes tell.

    Attributes:
      layout: "pytorch" | "torchvision" | "own".
      backbone: as `model.backbone`, or the name of another ResNet.
      width: as `model.width`.
      branches: of each head, 0 without heads.
      classes: of the heads, 0 without.
    """

    layout: str
    backbone: str
    width: float
    branches: int
    classes: int


def tidied(tensors: Tensors) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors without their keys' common prefix, and {key: reason} of what is left out.

    `module.` is DataParallel's. `Scale.` is of AdaptSegNet's initialisation, whose head is of
    another data set. A network with one head only, on layer4, calls it `layer5` (AdaptSegNet's
    single-level ones): it is the main head, `layer6`.
    """
    left_out = {}
    for prefix in ("module.", "Scale."):
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
            if prefix == "Scale.":
                foreign = [key for key in tensors if key.startswith("layer5.")]
                left_out = dict.fromkeys(foreign, "another data set's head")
    tensors = {key: value for key, value in tensors.items() if key not in left_out}
    inputs = _shape(tensors, "layer5.conv2d_list.0.weight")[1:2]
    one_head = not any(key.startswith("layer6.") for key in tensors)
    if one_head and inputs and inputs == _shape(tensors, "layer4.0.downsample.0.weight")[:1]:
        tensors = {re.sub(r"^layer5\.", "layer6.", key): v for key, v in tensors.items()}
    return tensors, left_out


def network(tensors: Tensors) -> Network:
    """What `tidied` tensors are. Raises UserError if they are of no network that is known."""
    if any(re.match(r"\d\d_(conv|dw)/", key) for key in tensors):
        layout, backbone = "own", "mobilenet_v2"
        channels, usual = _shape(tensors, "50_conv/bias")[:1], 320
    elif any(re.match(r"features\.\d+\.conv\.", key) for key in tensors):
        layout, backbone = "torchvision", "mobilenet_v2"
        channels, usual = _shape(tensors, "features.17.conv.3.weight")[:1], 320
    elif any(re.match(r"layer\d\.\d+\.conv\d\.", key) for key in tensors):
        layout, backbone = "pytorch", _nearest_resnet(tensors)
        channels, usual = _shape(tensors, "bn1.weight")[:1], 64
    else:
        some = ", ".join(sorted(tensors)[:3])
        raise UserError(f"of no network that is known here; it holds {some}")
    heads = {key: int(match[1]) for key in tensors if (match := HEAD.fullmatch(key))}
    biases = Counter(tensors[key].shape for key in heads if key.endswith("bias"))
    (usual_bias, _), *_ = biases.most_common(1) or [((0,), 0)]
    return Network(
        layout,
        backbone,
        width=channels[0] / usual if channels else 1.0,
        branches=max(heads.values(), default=-1) + 1,
        classes=usual_bias[0] if len(usual_bias) == 1 else 0,
    )


def style(tensors: Tensors) -> str | None:
    """The `model.style` that untidied tensors were trained in; None where nothing tells."""
    for pattern, told in (
        (r"(module\.)?Scale\.", "caffe"),
        (r"(module\.)?(fc|features)\.", "pytorch"),
        (r"5[12]_conv/", "tensorflow"),
    ):
        if any(re.match(pattern, key) for key in tensors):
            return told
    return None


def left_out(key: str) -> str | None:
    """What a tensor is that files have and no segmenter needs; None for any other."""
    if key.endswith(".num_batches_tracked"):
        return "PyTorch's counts of batches"
    if re.match(r"(fc|classifier|features\.18)\.|5[12]_conv/", key):
        return "the ImageNet classifier"
    return None


def sources(name: str, shape: Shape, layout: str) -> dict[str, Shape]:
    """The keys of a file, with their shapes, from which one of our tensors is made."""
    if layout == "own":
        return {re.sub(r"^params/(backbone/)?", "", name): shape}
    if layout == "torchvision" and (match := re.search(r"(\d\d)_(?:conv|dw)/(\w+)$", name)):
        convolution, norm = _torchvision_prefixes(int(match[1]))
        needed: tuple[str, ...] = ("weight", "running_var")
        if match[2] == "kernel":
            folded = {f"{convolution}.weight": _reordered(shape, (3, 2, 0, 1))}
        else:
            folded, needed = {}, ("weight", "running_var", "running_mean", "bias")
        return folded | {f"{norm}.{part}": shape[-1:] for part in needed}
    key = name
    for pattern, replacement in _TO_PYTORCH:
        key = re.sub(pattern, replacement, key)
    return {key: _reordered(shape, (3, 2, 0, 1)) if len(shape) == 4 else shape}


def value(found: list[np.ndarray], layout: str) -> np.ndarray:
    """One of our tensors, float32, from those of its `sources` in their order.

    Batch norm at inference is y = (x - mean) weight / sqrt(var + 1e-5) + bias; it is folded in
    float64, the factor into the kernel and the rest into the bias.
    """
    if layout == "own":
        return np.asarray(found[0], np.float32)
    if len(found) == 1:
        return np.asarray(_to_ours(found[0]), np.float32)
    found = [np.asarray(tensor, np.float64) for tensor in found]
    if len(found) == 3:
        kernel, weight, var = found
        return np.asarray(_to_ours(kernel) * (weight / np.sqrt(var + EPSILON)), np.float32)
    weight, var, mean, bias = found
    return np.asarray(bias - mean * weight / np.sqrt(var + EPSILON), np.float32)


def to_file(ours: Tensors, layout: str) -> dict[str, np.ndarray]:
    """Our tensors as a file of this layout ("pytorch" | "own") has them: `sources` reversed."""
    tensors = {}
    for name, array in ours.items():
        (key,) = sources(name, array.shape, layout)
        four = layout == "pytorch" and array.ndim == 4
        tensors[key] = array.transpose(3, 2, 0, 1) if four else array
        if layout == "pytorch" and key.endswith("running_var"):
            counter = key.replace("running_var", "num_batches_tracked")
            tensors[counter] = np.zeros((), np.int64)
    return tensors


def _to_ours(tensor: np.ndarray) -> np.ndarray:
    return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor


def _reordered(shape: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(shape[axis] for axis in axes)


def _shape(tensors: Tensors, key: str) -> Shape:
    return tensors[key].shape if key in tensors else ()


def _torchvision_prefixes(number: int) -> tuple[str, str]:
    """torchvision's convolution and batch norm that are our convolution `number`, 0 to 50."""
    block, part = number // 3 + 1, number % 3  # expand, depthwise, project
    if block == 1:  # which does not expand; the stem is in its place
        pair = (("0.0", "0.1"), ("1.conv.0.0", "1.conv.0.1"), ("1.conv.1", "1.conv.2"))[part]
    else:
        pair = (("0.0", "0.1"), ("1.0", "1.1"), ("2", "3"))[part]
        pair = (f"{block}.conv.{pair[0]}", f"{block}.conv.{pair[1]}")
    return f"features.{pair[0]}", f"features.{pair[1]}"


def _nearest_resnet(tensors: Tensors) -> str:
    """The ResNet that shares most with these keys, so that a few wrong ones don't hide it."""
    found = {key for key in tensors if re.match(r"layer\d\.\d+\.conv\d\.weight", key)}

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
