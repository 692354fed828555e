"""Which network a file of weights holds, and which of its tensors make which of ours.

Our variables have paths such as `params/backbone/layer3_0/downsample_bn/scale`. How a file names
what is in a backbone is for the backbone's `Layout` to say; here are the heads and the prefixes.
PyTorch has kernels as [out, in, height, width], we as [height, width, in, out].
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from labor_jax.models import backbone
from labor_jax.models.backbone import Layout, Shape, from_pytorch, pytorch_shape
from labor_jax.util.errors import UserError

Tensors = Mapping[str, np.ndarray]

HEAD = re.compile(r"(?:layer[56]\.conv2d_list\.|(?:aux|main)/branch_)(\d+)[./](weight|kernel|bias)")
"""A key of a head, in any layout: the number of its branch."""

_BACKBONE = re.compile(r"^(?:params|batch_stats)/backbone/")


class Network(NamedTuple):
    """What a file holds, as far as its keys and shapes tell.

    Attributes:
      layout: of a backbone that is registered.
      backbone: as `model.backbone`, or the name of a network like it that is not.
      width: as `model.width`.
      branches: of each head, 0 without heads.
      classes: of the heads, 0 without.
    """

    layout: Layout
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
    layout = next((known for known in backbone.layouts() if _any(tensors, known.known_by)), None)
    if layout is None:
        some = ", ".join(sorted(tensors)[:3])
        raise UserError(f"of no network that is known here; it holds {some}")
    key, usual = layout.width
    channels = _shape(tensors, key)[:1]
    heads = {key: int(match[1]) for key in tensors if (match := HEAD.fullmatch(key))}
    biases = Counter(tensors[key].shape for key in heads if key.endswith("bias"))
    (usual_bias, _), *_ = biases.most_common(1) or [((0,), 0)]
    return Network(
        layout,
        layout.network(tensors),
        width=channels[0] / usual if channels else 1.0,
        branches=max(heads.values(), default=-1) + 1,
        classes=usual_bias[0] if len(usual_bias) == 1 else 0,
    )


def style(tensors: Tensors, layout: Layout) -> str | None:
    """The `model.style` that untidied tensors were trained in; None where nothing tells."""
    told = (style for pattern, style in layout.styles if _any(tensors, pattern))
    return next(told, None)


def left_out(key: str, layout: Layout) -> str | None:
    """What a tensor is that files have and no segmenter needs; None for any other."""
    if key.endswith(".num_batches_tracked"):
        return "PyTorch's counts of batches"
    return next((what for pattern, what in layout.left_out if re.match(pattern, key)), None)


def sources(name: str, shape: Shape, layout: Layout) -> dict[str, Shape]:
    """The keys of a file, with their shapes, from which one of our tensors is made."""
    if prefix := _BACKBONE.match(name):
        return layout.sources(name[prefix.end() :], shape)
    name = name.removeprefix("params/")
    if not layout.pytorch:
        return {name: shape}
    for pattern, replacement in (
        (r"^aux/branch_", "layer5.conv2d_list."),
        (r"^main/branch_", "layer6.conv2d_list."),
        (r"kernel$", "weight"),
        (r"/", "."),
    ):
        name = re.sub(pattern, replacement, name)
    return {name: pytorch_shape(shape)}


def value(name: str, found: list[np.ndarray], layout: Layout) -> np.ndarray:
    """One of our tensors, float32, from those of its `sources` in their order."""
    if _BACKBONE.match(name):
        return layout.value(found)
    return np.asarray(from_pytorch(found[0]) if layout.pytorch else found[0], np.float32)


def to_file(ours: Tensors, layout: Layout) -> dict[str, np.ndarray]:
    """Our tensors as a file of a layout has them whose `sources` are one tensor each."""
    tensors = {}
    for name, array in ours.items():
        (key,) = sources(name, array.shape, layout)
        tensors[key] = array.transpose(3, 2, 0, 1) if layout.pytorch and array.ndim == 4 else array
        if layout.pytorch and key.endswith("running_var"):
            counter = key.replace("running_var", "num_batches_tracked")
            tensors[counter] = np.zeros((), np.int64)
    return tensors


def _any(tensors: Tensors, pattern: str) -> bool:
    return any(re.match(pattern, key) for key in tensors)


def _shape(tensors: Tensors, key: str) -> Shape:
    return tensors[key].shape if key in tensors else ()
