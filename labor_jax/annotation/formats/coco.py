"""COCO: one `annotations.json`; a mask as column-major run lengths, a point as one key point."""

import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from labor_jax.annotation import formats
from labor_jax.annotation.formats import ImageShapes, Label, Shape
from labor_jax.util import files

NAME = "annotations.json"


def write(folder: pathlib.Path, items: Iterable[ImageShapes], labels: Iterable[Label]) -> None:
    """Writes `annotations.json`."""
    categories = [
        {"id": i, "name": label.name, "supercategory": "", "keypoints": ["point"], "skeleton": []}
        for i, label in enumerate(labels, start=1)
    ]
    ids = {category["name"]: category["id"] for category in categories}
    pictures: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, item in enumerate(items, start=1):
        height, width = formats.size_of(item)
        pictures.append({"id": number, "file_name": item.file, "height": height, "width": width})
        for shape in item.shapes:
            entry = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": ids[shape.label],
                "bbox": list(formats.box_of(shape.pixels, formats.size_of(item))),
                "area": len(shape.pixels),
            }
            if shape.kind == "points":
                x, y = formats.centre(shape.pixels[0], formats.size_of(item))
                entry |= {"iscrowd": 0, "keypoints": [x, y, 2], "num_keypoints": 1}
            else:
                mask = formats.to_mask(shape.pixels, formats.size_of(item))
                counts = formats.counts_of(mask.ravel(order="F"))
                entry |= {"iscrowd": 1, "segmentation": {"size": [height, width], "counts": counts}}
            annotations.append(entry)
    value = {"images": pictures, "categories": categories, "annotations": annotations}
    files.write_json(folder / NAME, value)


def read(path: pathlib.Path) -> Iterator[ImageShapes]:
    """Reads run lengths, compressed run lengths, polygons and key points.

    Args:
      path: an `annotations.json`, or the folder that holds it.

    Raises:
      ValueError, KeyError, TypeError: the file is damaged.
    """
    value = files.read_json(path / NAME if path.is_dir() else path)
    names = {category["id"]: category["name"] for category in value["categories"]}
    by_image: dict[int, list[dict[str, Any]]] = {}
    for entry in value["annotations"]:
        by_image.setdefault(entry["image_id"], []).append(entry)
    for picture in value["images"]:
        size = picture["height"], picture["width"]
        shapes = [
            shape
            for entry in by_image.get(picture["id"], [])
            for shape in _shapes(entry, names[entry["category_id"]], size)
        ]
        yield ImageShapes(picture["file_name"], size, shapes)


def _shapes(entry: dict[str, Any], label: str, size: tuple[int, int]) -> Iterator[Shape]:
    segmentation = entry.get("segmentation")
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        counts = unpack(counts) if isinstance(counts, str) else counts
        height, width = segmentation["size"]
        flat = formats.from_counts(counts, height * width)
        if (height, width) != tuple(size):
            raise ValueError(f"a mask of {width}x{height} in an image of {size[1]}x{size[0]}")
        mask = flat.reshape(width, height).T
        yield Shape(label, np.flatnonzero(mask), "segments")
    elif segmentation:
        parts = [formats.inside_of(np.array(part).reshape(-1, 2), size) for part in segmentation]
        yield Shape(label, np.unique(np.concatenate(parts)), "segments")
    else:
        points = entry.get("keypoints") or []
        for x, y, visible in zip(points[::3], points[1::3], points[2::3], strict=True):
            if visible:
                yield Shape(label, formats.pixel_of(x, y, size), "points")


def unpack(text: str) -> list[int]:
    """The run lengths of COCO's compressed string [cited: cocoapi, maskApi.c].

    A character holds five bits, and a sixth that tells whether the number goes on. From the fourth
    run on the string holds the difference to the length two runs before.
    """
    counts: list[int] = []
    at = 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            code = ord(text[at]) - 48
            value |= (code & 0x1F) << shift
            more = bool(code & 0x20)
            shift += 5
            at += 1
            if not more and code & 0x10:
                value |= -1 << shift
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
    return counts
