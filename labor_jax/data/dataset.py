"""The description of a data set, and all data sets by the names that a `domain` key can have.

Each module of `datasets/` registers one, and so can any module that `config.plugins` names. This
module does not import TFDS, which takes half a second; `builders/prepared` imports it when a data
set is opened.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import cv2
import numpy as np
import rich.console
import rich.progress

from labor_jax.util.discovery import import_all, keep_apart
from labor_jax.util.errors import UserError

__all__ = [
    "DataSet",
    "Sample",
    "decoded",
    "find",
    "names",
    "native_size",
    "png",
    "register",
    "sample",
    "split_name",
    "track",
]


class Sample(NamedTuple):
    """One image with its label, as both are stored; `sample` makes it.

    Attributes:
      id: unique in its split, safe as a relative path without suffix.
      image: the bytes of a PNG or JPEG.
      label: the bytes of a PNG of train ids.
      pixels: [256] int64, how many pixels have each train id; 255 is void.
    """

    id: str
    image: bytes
    label: bytes
    pixels: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set that is prepared once, in a folder of its own, and then read by index.

    Attributes:
      name: as in `config.source.domain`, and of its folder: lower case, with underscores.
      version: "1.0.0"; what another version prepared is not read, but prepared again.
      about: one sentence.
      homepage: where it is described; "" for none.
      licence: the terms under which its images are given; an exported segmenter cites them.
      table: the name of its classes in `labels.TABLES`.
      make: (size, manual_dir) -> the samples of each split, in the order in which they are read.
        Raises UserError if files are missing or unfit.
      sizes: of "NAME/SIZE", the first one is the default; () where there is no choice.
      native: (H, W) of the images of each of `sizes`, or of all or most; (): benchmarks draw images
        as large as the networks see them.
      download: what to put into the folder `manual_dir`, and where it is had; "": nothing.
      check: raises UserError if `manual_dir` lacks what `make` needs; nothing is written before.
    """

    name: str
    version: str
    about: str
    homepage: str = ""
    licence: str
    table: str
    make: Callable[[str, str], Mapping[str, Iterable[Sample]]]
    sizes: tuple[str, ...] = ()
    native: tuple[tuple[int, int], ...] = ()
    download: str = ""
    check: Callable[[str], object] = lambda manual_dir: None


_DATA_SETS: dict[str, DataSet] = {}


def register(data_set: DataSet) -> DataSet:
    """Makes a data set known by its name.

    Raises:
      UserError: another module has registered one of this name.
    """
    known = _DATA_SETS.get(data_set.name)
    keep_apart("data set", data_set.name, known.make if known else None, data_set.make)
    _DATA_SETS[data_set.name] = data_set
    return data_set


def _known() -> dict[str, DataSet]:
    import_all("labor_jax.data.datasets")
    return _DATA_SETS


def names() -> tuple[str, ...]:
    """The values that `domain` can have besides "folder": "NAME", or "NAME/SIZE" with sizes."""
    return tuple(
        f"{name}/{size}" if size else name
        for name, data_set in sorted(_known().items())
        for size in data_set.sizes or ("",)
    )


def split_name(domain: str) -> tuple[str, str]:
    """("NAME", "SIZE") of "NAME/SIZE"; the size is "" where none is given."""
    name, _, size = domain.partition("/")
    return name, size


def find(domain: str) -> DataSet:
    """The data set of "NAME" or "NAME/SIZE".

    Raises:
      UserError: no such data set or size.
    """
    name, size = split_name(domain)
    data_set = _known().get(name)
    if data_set is None or size not in ("", *data_set.sizes):
        known = ", ".join(names())
        raise UserError(f"domain {domain!r} is unknown; choose one of {known}, folder")
    return data_set


def native_size(domain: str) -> tuple[int, int] | None:
    """(H, W) of the images of "NAME" or "NAME/SIZE"; None where the data set does not tell.

    Raises:
      UserError: no such data set or size.
    """
    data_set, (_, size) = find(domain), split_name(domain)
    number = data_set.sizes.index(size) if size else 0
    return data_set.native[number] if data_set.native else None


def sample(name: str, image: bytes, label: np.ndarray) -> Sample:
    """A sample of an image's PNG or JPEG bytes, kept as they are, and train ids [H, W] uint8."""
    return Sample(name, image, png(label), np.bincount(label.ravel(), minlength=256))


def png(pixels: np.ndarray) -> bytes:
    """Lossless bytes of an image [H, W, 3] uint8 RGB or a label [H, W] uint8."""
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", pixels)[1].tobytes()


def decoded(data: bytes, flags: int) -> np.ndarray:
    """The pixels of an image file's bytes; `flags` and the order of channels are OpenCV's."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise ValueError("no whole image")
    return pixels


def track(items: Iterable, total: int, what: str) -> Iterator:
    """Yields the items, and shows on a terminal's stderr how many are done and the time left."""
    console = rich.console.Console(stderr=True)
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as progress:
        yield from progress.track(items, total, description=what)
