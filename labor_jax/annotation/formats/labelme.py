"""LabelMe: a JSON file for each image; later shapes lie on top.

Files of version 3 and older have no size beside the image's data, and their shapes, all polygons,
no type.
"""

import base64
import functools
import io
import math
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from labor_jax.annotation import formats
from labor_jax.annotation.formats import Drawn, DrawnImage, ImageShapes, Label, Shape, regions
from labor_jax.annotation.formats.sources import Member, json_of
from labor_jax.data import images
from labor_jax.util import files
from labor_jax.util.tally import LeftOut, Tally

SUFFIX = ".json"


def write(folder: pathlib.Path, items: Iterable[ImageShapes], labels: Iterable[Label]) -> None:
    """Writes a JSON file beside each image, and `labels.txt` for LabelMe's --labels."""
    for item in items:
        path = folder / pathlib.PurePath(item.file).with_suffix(".json")
        value: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": [_shape(shape, item.size) for shape in item.shapes],
            "imagePath": pathlib.PurePath(item.file).name,
            "imageData": None,
            "imageHeight": item.size[0],
            "imageWidth": item.size[1],
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


def read(member: Member, tally: Tally) -> Iterator[DrawnImage]:
    """Reads points, masks, polygons, rectangles and circles; counts what has no area.

    Raises:
      LeftOut: the file is damaged, or is none of this format.
    """
    value = json_of(member.read())
    if not isinstance(value, dict) or not isinstance(value.get("shapes"), list):
        raise LeftOut("of another format", "it has no shapes")
    size = formats.size_of(value.get("imageHeight"), value.get("imageWidth")) or _size(value)
    shapes: list[Drawn] = []
    for number, shape in enumerate(value["shapes"], start=1):
        with tally.spare("shape", f"shape {number} in {member.name}"):
            shapes += _read(f"shape {number}", shape)
    yield DrawnImage((member.name, *_image(member, value)), size, shapes)


def _image(member: Member, value: dict[str, Any]) -> Iterator[str]:
    """The path of the image that a file names, if it does; a bare name is beside the file."""
    shown = value.get("imagePath")
    if isinstance(shown, str):
        beside = pathlib.PurePosixPath(member.name).parent / shown
        yield shown if re.search(r"[/\\]", shown) else beside.as_posix()


def _size(value: dict[str, Any]) -> tuple[int, int] | None:
    """The size (H, W) of the image in a file; None where there is no image."""
    if not isinstance(value.get("imageData"), str):
        return None
    with Image.open(io.BytesIO(base64.b64decode(value["imageData"]))) as picture:
        return picture.size[::-1]


def _read(name: str, shape: dict[str, Any]) -> Iterator[Drawn]:
    label = formats.text_of(shape.get("label"), "without a label")
    kind, points = shape.get("shape_type") or "polygon", shape["points"]
    if kind in ("point", "points"):
        for point in points:
            yield Drawn(name, label, "points", functools.partial(regions.pixel, point))
    elif kind in AREAS:
        yield Drawn(name, label, "areas", AREAS[kind](points, shape))
    else:
        raise formats.no_area(kind)


def _polygon(points: list[Any], _: dict[str, Any]) -> Callable:
    return functools.partial(regions.polygon, points)


def _rectangle(points: list[Any], shape: dict[str, Any]) -> Callable:
    if len(points) == 4:
        return _polygon(points, shape)
    columns, rows = (sorted(map(regions.number, pair)) for pair in zip(*points, strict=True))
    corners = (columns[0], rows[0]), (columns[1], rows[1])
    return lambda size: regions.box(*corners, 0, None, size)


def _circle(points: list[Any], _: dict[str, Any]) -> Callable:
    middle, rim = ([regions.number(value) for value in point] for point in points)
    radius = math.dist(middle, rim)
    return lambda size: regions.ellipse(middle, (radius, radius), 0, size)


def _mask(points: list[Any], shape: dict[str, Any]) -> Callable:
    data = base64.b64decode(shape["mask"])
    (left, top), (right, bottom) = (map(regions.whole, point) for point in points)

    def pixels(size: tuple[int, int]) -> np.ndarray:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.size != (right - left + 1, bottom - top + 1):
                told = f"a mask of {picture.size[0]}x{picture.size[1]} between corners {points}"
                raise LeftOut(regions.MISFIT, told)
            if picture.size[0] > size[1] or picture.size[1] > size[0]:
                raise LeftOut(regions.MISFIT, "a mask that is larger than the image")
            return regions.mask(np.array(picture.convert("L")) > 0, left, top, size)

    return pixels


AREAS = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "rotation": _polygon,  # of X-AnyLabeling
    "oriented_rectangle": _polygon,
    "circle": _circle,
    "mask": _mask,
}
"""The shapes that have an area: (points, shape) -> its `Drawn.pixels`."""
