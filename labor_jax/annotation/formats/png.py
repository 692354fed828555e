"""Plain label maps: `labels/IMAGE.png` of class values, 255 = unlabelled.

`asked/IMAGE.png` (16-bit) numbers what is asked from 1. Unsure answers are no class, so that they
are not in these files.
"""

import pathlib
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from PIL import Image

from labor_jax.annotation.formats import Label, Page, Shape, size_of
from labor_jax.data.labels import IGNORE
from labor_jax.util import files


def write(
    folder: pathlib.Path, pages: Iterable[Page], labels: Iterable[Label], values: tuple[int, ...]
) -> None:
    """Writes the maps; `values` are the files' value of each class."""
    codes = {label.name: value for label, value in zip(labels, values, strict=False)}
    for page in pages:
        label, asked = np.full(size_of(page), IGNORE, np.uint8), np.zeros(size_of(page), np.uint16)
        for number, shape in enumerate(page.shapes, start=1):
            label.flat[shape.pixels] = codes.get(shape.label, IGNORE)
            asked.flat[shape.pixels] = number
        name = pathlib.PurePath(page.file).relative_to("images").with_suffix(".png")
        for kind, picture in (("labels", label), ("asked", asked)):
            files.write_atomic(folder / kind / name, cv2.imencode(".png", picture)[1].tobytes())


def read(path: pathlib.Path, labels: Iterable[Label], values: tuple[int, ...]) -> Iterator[Page]:
    """Reads the maps below a folder, or below its `labels` where it has one.

    A value of no class is a shape labelled "value N", for the importer to refuse.

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
        yield Page(file.relative_to(root).as_posix(), label.shape, shapes)
