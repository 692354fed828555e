"""LabelMe: a JSON file for each image, with shapes of type point, mask or polygon."""

import base64
import io
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from labor_jax.annotation import formats
from labor_jax.annotation.formats import ImageShapes, Label, Shape
from labor_jax.data import images
from labor_jax.util import files


def write(folder: pathlib.Path, items: Iterable[ImageShapes], labels: Iterable[Label]) -> None:
    """Writes a JSON file beside each image, and `labels.txt` for LabelMe's --labels."""
    for item in items:
        path = folder / pathlib.PurePath(item.file).with_suffix(".json")
        value: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": [_shape(shape, formats.size_of(item)) for shape in item.shapes],
            "imagePath": pathlib.PurePath(item.file).name,
            "imageData": None,
            "imageHeight": formats.size_of(item)[0],
            "imageWidth": formats.size_of(item)[1],
        }
        files.write_json(path, value)
    names = "".join(f"{label.name}\n" for label in labels)
    files.write_atomic(folder / "labels.txt", names.encode())


def _shape(shape: Shape, size: tuple[int, int]) -> dict[str, Any]:
    common: dict[str, Any] = {
        "label": shape.label,
        "group_id": None,
        "description": "",
        "flags": {},
    }
    if shape.kind == "points":
        points = [list(formats.centre(shape.pixels[0], size))]
        return common | {"points": points, "shape_type": "point", "mask": None}
    left, top, across, down = formats.box_of(shape.pixels, size)
    inside = formats.to_mask(shape.pixels, size)[top : top + down, left : left + across]
    png = images.encode_png(255 * inside.astype(np.uint8))
    corners = [[left, top], [left + across - 1, top + down - 1]]
    mask = base64.b64encode(png).decode()
    return common | {"points": corners, "shape_type": "mask", "mask": mask}


def read(path: pathlib.Path) -> Iterator[ImageShapes]:
    """Reads one JSON file, or all in a folder and its subfolders.

    Raises:
      ValueError, KeyError, TypeError, OSError: a file is damaged.
    """
    found = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    root = path if path.is_dir() else path.parent
    for file in found:
        value = files.read_json(file)
        size = value["imageHeight"], value["imageWidth"]
        shapes = [_read(shape, size) for shape in value["shapes"]]
        name = file.relative_to(root).as_posix()
        yield ImageShapes(name, size, [shape for shape in shapes if shape])


def _read(shape: dict[str, Any], size: tuple[int, int]) -> Shape | None:
    kind, points, label = shape["shape_type"], shape["points"], shape["label"]
    if kind == "point":
        (x, y), *_ = points
        return Shape(label, formats.pixel_of(x, y, size), "points")
    if kind == "polygon":
        return Shape(label, formats.inside_of(np.array(points), size), "segments")
    if kind != "mask":
        return None
    with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as picture:
        rows, columns = np.nonzero(np.array(picture.convert("L")))
    rows, columns = rows + int(points[0][1]), columns + int(points[0][0])
    if rows.size and (rows.max() >= size[0] or columns.max() >= size[1]):
        raise ValueError(f"a mask of {label} leaves the image")
    return Shape(label, rows * size[1] + columns, "segments")
