"""COCO: one `annotations.json`; a mask as column-major run lengths, a point as one key point.

An annotation's area is its segmentation: run lengths, or polygons that together cover it. One
without a segmentation and key points is its box. Later annotations lie on top.
"""

import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from labor_jax.annotation import formats
from labor_jax.annotation.formats import Drawn, DrawnImage, ImageShapes, Label, regions, runs
from labor_jax.annotation.formats.sources import Member, json_of
from labor_jax.util import files
from labor_jax.util.tally import LeftOut, Tally

NAME = "annotations.json"
SUFFIX = ".json"


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
        height, width = item.size
        pictures.append({"id": number, "file_name": item.file, "height": height, "width": width})
        for shape in item.shapes:
            entry = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": ids[shape.label],
                "bbox": list(formats.box_of(shape.pixels, item.size)),
                "area": len(shape.pixels),
            }
            if shape.kind == "points":
                x, y = formats.centre(shape.pixels[0], item.size)
                entry |= {"iscrowd": 0, "keypoints": [x, y, 2], "num_keypoints": 1}
            else:
                mask = formats.to_mask(shape.pixels, item.size)
                counts = runs.counts_of(mask.ravel(order="F"))
                entry |= {"iscrowd": 1, "segmentation": {"size": [height, width], "counts": counts}}
            annotations.append(entry)
    value = {"images": pictures, "categories": categories, "annotations": annotations}
    files.write_json(folder / NAME, value)


def read(member: Member, tally: Tally) -> Iterator[DrawnImage]:
    """Reads run lengths, compressed run lengths, polygons, boxes and key points.

    Raises:
      LeftOut: the file is damaged, or is none of this format.
    """
    value = json_of(member.read())
    if not isinstance(value, dict) or not all(
        isinstance(value.get(key), list) for key in ("images", "categories", "annotations")
    ):
        raise LeftOut("of another format", "it has no images, categories and annotations")
    categories = _by_id(value["categories"], "name")
    pictures = _by_id(value["images"], "file_name")
    shapes: dict[str, list[Drawn]] = {}
    for position, entry in enumerate(value["annotations"], start=1):
        name = f"annotation {_key(entry) or f'number {position}'}"
        with tally.spare("annotation", name):
            image, category = _key(entry, "image_id"), _key(entry, "category_id")
            _one(pictures, image, "an image")
            label = _one(categories, category, "a category")
            shapes.setdefault(image, []).extend(_shapes(name, label, entry))
    for picture in value["images"]:
        with tally.spare("image", f"{member.name}: image {_key(picture)}"):
            if not _key(picture):
                raise LeftOut("without an id")
            if len(pictures[_key(picture)]) > 1:
                raise LeftOut("whose id stands twice")
            file = formats.text_of(picture.get("file_name"), "without a name")
            size = formats.size_of(picture.get("height"), picture.get("width"))
            yield DrawnImage((file,), size, shapes.pop(_key(picture), []))


def _key(entry: dict[str, Any], key: str = "id") -> str:
    """An id as text: some programs write a number as text or as a fraction."""
    value = entry.get(key) if isinstance(entry, dict) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value).strip()


def _by_id(entries: list[Any], key: str) -> dict[str, set[str]]:
    """What the entries of each id have under a key."""
    found: dict[str, set[str]] = {}
    for entry in entries:
        if isinstance(entry, dict) and _key(entry):
            found.setdefault(_key(entry), set()).add(_key(entry, key))
    return found


def _one(found: dict[str, set[str]], key: str, what: str) -> str:
    """What an id stands for. Raises LeftOut if that is nothing, or not one thing."""
    if key not in found:
        raise LeftOut(f"of {what} that the file does not have", f"id {key or 'missing'}")
    if len(found[key]) > 1:
        raise LeftOut(f"of {what} whose id stands twice", f"id {key}")
    (name,) = found[key]
    return formats.text_of(name, f"of {what} without a name")


def _shapes(name: str, label: str, entry: dict[str, Any]) -> Iterator[Drawn]:
    segmentation, points, box = (entry.get(k) for k in ("segmentation", "keypoints", "bbox"))
    if isinstance(segmentation, dict):
        yield Drawn(name, label, "areas", _mask(segmentation["counts"], segmentation["size"]))
    elif parts := [part for part in _parts(segmentation) if part]:
        yield Drawn(name, label, "areas", functools.partial(regions.polygons, parts))
    elif segmentation:
        raise LeftOut(regions.MISFIT, "polygons without corners")
    elif points:
        for x, y, visible in zip(points[::3], points[1::3], points[2::3], strict=True):
            if visible:
                yield Drawn(name, label, "points", functools.partial(regions.pixel, (x, y)))
    elif box:
        x, y, width, height = map(regions.number, box)
        corners = (x, y), (x + width, y + height)
        yield Drawn(name, label, "areas", lambda size: regions.box(*corners, 0, None, size))
    else:
        raise formats.no_area("no segmentation, key points or box")


def _parts(segmentation: Any) -> Iterator[Sequence[Any]]:
    """The corners of each polygon: [x, y, x, y, …], or [[x, y], …], or one of these alone."""
    if not isinstance(segmentation, list):
        if segmentation is not None:
            raise LeftOut(regions.MISFIT, "a segmentation that is no list")
        return
    if segmentation and not isinstance(segmentation[0], list):
        segmentation = [segmentation]
    for part in segmentation:
        if not isinstance(part, list):
            raise LeftOut(regions.MISFIT, "a polygon that is no list")
        if part and isinstance(part[0], list):
            yield part
        elif len(part) % 2:
            raise LeftOut(regions.MISFIT, f"a polygon of {len(part)} numbers")
        else:
            yield list(zip(part[::2], part[1::2], strict=True))


def _mask(counts: Any, stated: Any) -> Callable:
    def pixels(size: tuple[int, int]) -> np.ndarray:
        if tuple(map(regions.whole, stated)) != size:
            raise LeftOut(
                regions.MISFIT, f"a mask of size {stated!r:.40} in an image of size {list(size)}"
            )
        numbers = runs.unpack_text(counts) if isinstance(counts, str) else counts
        flat = runs.from_counts(numbers, size[0] * size[1])
        return np.flatnonzero(flat.reshape(size[::-1]).T)

    return pixels
