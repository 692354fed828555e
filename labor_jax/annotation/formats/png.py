"""Plain label maps: `labels/IMAGE.png` has a value for each class, 255 = no label.

`asked/IMAGE.png` (16-bit) numbers the shapes from 1, 0 = not asked. These files have no value for
unsure answers: they are 255, too.
"""

import functools
import io
import pathlib
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from labor_jax.annotation.formats import Drawn, DrawnImage, ImageShapes, Label
from labor_jax.annotation.formats.sources import Member
from labor_jax.data import image_files
from labor_jax.data.labels import IGNORE
from labor_jax.util import files
from labor_jax.util.errors import UserError
from labor_jax.util.tally import Tally

SUFFIX = ".png"
FOLDERS = ("labels", "SegmentationClass")
"""Folders of label maps; where an export has one, its other pictures are none."""
LABELMAP = "labelmap.txt"
"""The file by which CVAT and others give label maps numbers and colours of their own."""


def write(
    folder: pathlib.Path,
    items: Iterable[ImageShapes],
    labels: Iterable[Label],
    values: tuple[int, ...],
) -> None:
    """Writes the label maps, and the maps of what is asked if anything is.

    Args:
      values: of the classes, in the files.
    """
    codes = {label.name: value for label, value in zip(labels, values, strict=False)}
    for item in items:
        label, asked = np.full(item.size, IGNORE, np.uint8), np.zeros(item.size, np.uint16)
        for number, shape in enumerate(item.shapes, start=1):
            label.flat[shape.pixels] = codes.get(shape.label, IGNORE)
            asked.flat[shape.pixels] = number
        maps: dict[str, np.ndarray] = {"labels": label}
        if not any(shape.kind == "whole" for shape in item.shapes):
            maps["asked"] = asked
        name = pathlib.PurePath(item.file).relative_to("images").with_suffix(".png")
        for kind, picture in maps.items():
            files.write_atomic(folder / kind / name, cv2.imencode(".png", picture)[1].tobytes())


def maps(members: list[Member]) -> list[Member]:
    """The label maps among an export's files, without the folder that holds them all.

    Raises:
      UserError: the numbers in them are not those of the classes.
    """
    if own := next((m.name for m in members if m.name.lower().endswith(LABELMAP)), None):
        raise UserError(
            f"--file: {own} gives the label maps beside it numbers of their own, such as 0 for the "
            f"background; export them as CVAT for images (--format=cvat), or leave that file out "
            f"if the numbers are those of the run's classes"
        )
    for folder in FOLDERS:
        inside = [m for m in members if m.name.startswith(f"{folder}/")]
        if inside:
            return [m._replace(name=m.name.removeprefix(f"{folder}/")) for m in inside]
    return members


def read(
    member: Member, tally: Tally, labels: Iterable[Label], values: tuple[int, ...]
) -> Iterator[DrawnImage]:
    """Reads a label map; its pixels are decoded when its shapes are drawn.

    A value of no class becomes a shape with the label "value N", which the import then refuses.

    Args:
      values: of the classes, in the files.
    Raises:
      UserError: the file is damaged.
    """
    names = {value: label.name for label, value in zip(labels, values, strict=False)}
    with image_files.opened(io.BytesIO(member.read()), member.name, "label") as picture:
        size = picture.size[::-1]
    yield DrawnImage((member.name,), size, _shapes(member, tally, names))


def _shapes(member: Member, tally: Tally, names: dict[int, str]) -> Iterator[Drawn]:
    with tally.spare("file", member.name):
        label = image_files.read_raw_label(io.BytesIO(member.read()), member.name)
        for value in np.unique(label).tolist():
            if value != IGNORE:
                pixels = np.flatnonzero(label == value)
                name = f"value {value} of {member.name}"
                label_name = names.get(value, f"value {value}")
                yield Drawn(name, label_name, "areas", functools.partial(_all, pixels))


def _all(pixels: np.ndarray, _: tuple[int, int]) -> np.ndarray:
    return pixels
