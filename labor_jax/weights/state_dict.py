"""Finds which network a file of weights has, and which of the file's tensors make which of ours.

Our variables have paths such as `params/backbone/layer3_0/downsample_bn/scale`. A backbone's
`Layout` says how files name the backbone's tensors. This module knows the heads and the prefixes.
PyTorch's kernels are [out, in, height, width]; ours are [height, width, in, out].
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from labor_jax.models import backbone
from labor_jax.models.backbone import Layout, Shape, from_pytorch, pytorch_shape, to_pytorch
from labor_jax.util.errors import UserError
from labor_jax.weights import licences

Tensors = Mapping[str, np.ndarray]

HEAD = re.compile(r"(?:layer[56]\.conv2d_list\.|(?:aux|main)/branch_)(\d+)[./](weight|kernel|bias)")
"""A key of a DeepLab-V2 head, in any layout: the number of its branch."""

_LINEAR = re.compile(r"main[./]bias")
_AROUND = re.compile(r"neck[./]around_(\d+)[./]")
"""Keys of other heads: the classifier's bias, and DeepLab-V3+'s dilated branches by number."""

_BACKBONE = re.compile(r"^(?:params|batch_stats)/backbone/")


class Network(NamedTuple):
    """The network in a file, as its keys and shapes show it.

    Attributes:
      layout: one of a registered backbone.
      backbone: a name that `model.backbone` can have, or that of a similar, unregistered network.
      width: the value of `model.width`.
      head: the value of `model.head`; "" without a head.
      branches: the number of a head's dilated branches; 0 where it has none.
      classes: the number of the heads' classes; 0 without heads.
    """

    layout: Layout
    backbone: str
    width: float
    head: str
    branches: int
    classes: int


def tidied(tensors: Tensors) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors without the prefix of their network, and {key: reason} of those left out.

    The prefix `module.` is from PyTorch's DataParallel. The prefix `Scale.` is from AdaptSegNet's
    initial weights, whose head is for another data set and is left out. Any other, such as
    `backbone.`, is found by the keys of a known network behind it; tensors without it are of
    something else. AdaptSegNet's single-level networks have one head, on layer4, which they call
    `layer5`. It is our main head, `layer6`.
    """
    left_out = {}
    for prefix in ("module.", "Scale."):
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
            if prefix == "Scale.":
                foreign = [key for key in tensors if key.startswith("layer5.")]
                left_out = dict.fromkeys(foreign, "another data set's head")
    if prefix := _prefix(tensors):
        left_out = {k: f"outside of {prefix}" for k in tensors if not k.startswith(prefix)}
        tensors = {k.removeprefix(prefix): v for k, v in tensors.items() if k not in left_out}
    tensors = {key: value for key, value in tensors.items() if key not in left_out}
    inputs = _shape(tensors, "layer5.conv2d_list.0.weight")[1:2]
    one_head = not any(key.startswith("layer6.") for key in tensors)
    if one_head and inputs and inputs == _shape(tensors, "layer4.0.downsample.0.weight")[:1]:
        tensors = {re.sub(r"^layer5\.", "layer6.", key): v for key, v in tensors.items()}
    return tensors, left_out


def _prefix(tensors: Tensors) -> str:
    """What stands before the keys of a known network; "" if nothing does, or none is known.

    Raises:
      UserError: two networks have as many keys each.
    """
    found: Counter[str] = Counter()
    for known in backbone.layouts():
        pattern = re.compile(rf"(.*?\.|)(?:{known.known_by})")
        found.update(match[1] for key in tensors if (match := pattern.match(key)))
    if not found or "" in found:
        return ""
    (first, most), *others = found.most_common()
    if same := [prefix for prefix, count in others if count == most]:
        raise UserError(
            f"it holds several networks, {', '.join(sorted([first, *same]))}; in PyTorch, save the "
            f"tensors of one alone"
        )
    return first


def network(tensors: Tensors, accepted: str = "") -> Network:
    """The network that `tidied` tensors are of.

    Args:
      accepted: the licence of weights that was accepted, see `licences`.
    Raises:
      UserError: it is no known network, only resembles one, or nobody accepted its licence.
    """
    if terms := licences.refusal(tensors, accepted):
        raise UserError(terms)
    layout = next((known for known in backbone.layouts() if _any(tensors, known.known_by)), None)
    if layout is None:
        some = ", ".join(sorted(tensors)[:3])
        raise UserError(
            f"not the weights of a known network; it holds {some}; give those of one of "
            f"{', '.join(backbone.names())}, see docs/data_and_weights.md"
        )
    shapes = {key: tensor.shape for key, tensor in tensors.items()}
    if unlike := layout.unlike(shapes):
        raise UserError(unlike)
    key, usual = layout.width
    channels = next((x.shape[:1] for name, x in tensors.items() if re.fullmatch(key, name)), ())
    head, branches = _head(tensors)
    of_classes = (key for key in tensors if HEAD.fullmatch(key) or _LINEAR.fullmatch(key))
    biases = Counter(tensors[key].shape for key in of_classes if key.endswith("bias"))
    (usual_bias, _), *_ = biases.most_common(1) or [((0,), 0)]
    return Network(
        layout,
        layout.network(shapes),
        width=channels[0] / usual if channels else 1.0,
        head=head,
        branches=branches,
        classes=usual_bias[0] if len(usual_bias) == 1 else 0,
    )


def _head(tensors: Tensors) -> tuple[str, int]:
    """The value of `model.head`, "" without a head, and the number of its dilated branches."""
    dilated = [int(match[1]) for key in tensors if (match := HEAD.fullmatch(key))]
    if dilated:
        return "deeplab_v2", max(dilated) + 1
    if not _any(tensors, _LINEAR.pattern):
        return "", 0
    if not _any(tensors, r"neck[./]"):
        return "linear", 0
    around = [int(match[1]) for key in tensors if (match := _AROUND.match(key))]
    return "deeplab_v3plus", max(around, default=-1) + 1


def style(tensors: Tensors, layout: Layout) -> str | None:
    """The `model.style` in which a file's tensors were trained; None if its keys do not show it."""
    told = (style for pattern, style in layout.styles if _any(tensors, pattern))
    return next(told, None)


def left_out(key: str, layout: Layout) -> str | None:
    """The description of a tensor that no segmenter needs; None for any other tensor."""
    if key.endswith(".num_batches_tracked"):
        return "PyTorch's counts of batches"
    return next((what for pattern, what in layout.left_out if re.match(pattern, key)), None)


def sources(name: str, shape: Shape, layout: Layout) -> dict[str, Shape]:
    """The keys of a file, with their shapes, from which one of our tensors is made."""
    if prefix := _BACKBONE.match(name):
        return layout.sources(name[prefix.end() :], shape)
    name = name.partition("/")[2]
    if not layout.pytorch:
        return {name: shape}
    for pattern, replacement in (
        (r"^aux/branch_", "layer5.conv2d_list."),
        (r"^main/branch_", "layer6.conv2d_list."),
        (r"(kernel|scale)$", "weight"),
        (r"/(mean|var)$", r"/running_\1"),
        (r"/", "."),
    ):
        name = re.sub(pattern, replacement, name)
    return {name: pytorch_shape(shape)}


def value(name: str, shape: Shape, found: list[np.ndarray], layout: Layout) -> np.ndarray:
    """One of our tensors, float32, from those of its `sources` in their order."""
    if _BACKBONE.match(name):
        return layout.value(found, shape)
    return np.asarray(from_pytorch(found[0]) if layout.pytorch else found[0], np.float32)


def to_file(ours: Tensors, layout: Layout) -> dict[str, np.ndarray]:
    """Our tensors under a layout's keys, for a layout whose `split` undoes its `value`."""
    tensors: dict[str, np.ndarray] = {}
    for name, array in ours.items():
        keys = sources(name, array.shape, layout)
        if _BACKBONE.match(name):
            parts = layout.split(array, len(keys))
        else:
            parts = [to_pytorch(array) if layout.pytorch else array]
        tensors |= zip(keys, parts, strict=True)
    variances = [key for key in tensors if layout.pytorch and key.endswith("running_var")]
    for key in variances:
        tensors[key.replace("running_var", "num_batches_tracked")] = np.zeros((), np.int64)
    return tensors


def _any(tensors: Tensors, pattern: str) -> bool:
    return any(re.match(pattern, key) for key in tensors)


def _shape(tensors: Tensors, key: str) -> Shape:
    return tensors[key].shape if key in tensors else ()
