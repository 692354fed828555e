"""Plain label maps: `labels/IMAGE.png` has a value for each class, 255 = no label.

`asked/IMAGE.png` (16-bit) numbers the shapes from 1, 0 = not asked. These files have no value for
unsure answers: they are 255, too.
"""

import pathlib
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from PIL import Image

from labor_jax.annotation.formats import ImageShapes, Label, Shape, size_of
from labor_jax.data.labels import IGNORE
from labor_jax.util import files


def write(
    folder: pathlib.Path,
    items: Iterable[ImageShapes],
    labels: Iterable[Label],
    values: tuple[int, ...],
) -> None:
    """Writes the label maps and the maps of what is asked.

    Args:
      values: of the classes, in the files.
    """
    codes = {label.name: value for label, value in zip(labels, values, strict=False)}
    for item in items:
        label, asked = np.full(size_of(item), IGNORE, np.uint8), np.zeros(size_of(item), np.uint16)
        for number, shape in enumerate(item.shapes, start=1):
            label.flat[shape.pixels] = codes.get(shape.label, IGNORE)
            asked.flat[shape.pixels] = number
        name = pathlib.PurePath(item.file).relative_to("images").with_suffix(".png")
        for kind, picture in (("labels", label), ("asked", asked)):
            files.write_atomic(folder / kind / name, cv2.imencode(".png", picture)[1].tobytes())


def read(
    path: pathlib.Path, labels: Iterable[Label], values: tuple[int, ...]
) -> Iterator[ImageShapes]:
    """Reads all label maps in a folder and its subfolders, or in its `labels` if it has one.

    A value of no class becomes a shape with the label "value N", which the import then refuses.

    Args:
      values: of the classes, in the files.
    Raises:
      OSError, ValueError: a file is damaged.
    """
    root = path / "labels" if (path / "labels").is_dir() else path
    names = {value: label.name for label, value in zip(labels, values, strict=False)}
    for file in sorted(root.rglob("*.png")):
        with Image.open(file) as picture:
            label = np.array(picture)
        if label.ndim != 2:
            raise ValueError(f"{file} has several channels")
        shapes = [
            Shape(names.get(int(value), f"value {value}"), np.flatnonzero(label == value), "")
            for value in np.unique(label)
            if value != IGNORE
        ]
        yield ImageShapes(file.relative_to(root).as_posix(), label.shape, shapes)
