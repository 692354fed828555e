"""CVAT for images 1.1: one `annotations.xml` with an element for each shape of an image.

A mask has a bounding box and, row-major inside it, run lengths that start with zeros. Boxes and
ellipses are turned clockwise about their middle. The z_order says which shape lies on top.
"""

import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator
from xml.etree import ElementTree

import numpy as np

from labor_jax.annotation import formats
from labor_jax.annotation.formats import Drawn, DrawnImage, ImageShapes, Label, regions, runs
from labor_jax.annotation.formats.sources import Member, xml_of
from labor_jax.util import files
from labor_jax.util.tally import LeftOut, Tally

NAME = "annotations.xml"
SUFFIX = ".xml"


def write(folder: pathlib.Path, items: Iterable[ImageShapes], labels: Iterable[Label]) -> None:
    """Writes `annotations.xml`."""
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    known = ElementTree.SubElement(
        ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task"), "labels"
    )
    for label in labels:
        entry = ElementTree.SubElement(known, "label")
        ElementTree.SubElement(entry, "name").text = label.name
        ElementTree.SubElement(entry, "color").text = "#{:02x}{:02x}{:02x}".format(*label.color)
        ElementTree.SubElement(entry, "attributes")
    for number, item in enumerate(items):
        height, width = item.size
        image = ElementTree.SubElement(
            root, "image", id=str(number), name=item.file, width=str(width), height=str(height)
        )
        for shape in item.shapes:
            common = {"label": shape.label, "source": "manual", "occluded": "0", "z_order": "0"}
            if shape.kind == "points":
                x, y = formats.centre(shape.pixels[0], item.size)
                ElementTree.SubElement(image, "points", common | {"points": f"{x:.2f},{y:.2f}"})
            else:
                left, top, across, down = formats.box_of(shape.pixels, item.size)
                mask = formats.to_mask(shape.pixels, item.size)
                inside = mask[top : top + down, left : left + across]
                box = {"left": left, "top": top, "width": across, "height": down}
                rle = ", ".join(map(str, runs.counts_of(inside.ravel())))
                more = {"rle": rle} | {key: str(value) for key, value in box.items()}
                ElementTree.SubElement(image, "mask", common | more)
    ElementTree.indent(root)
    data = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    files.write_atomic(folder / NAME, data + b"\n")


def read(member: Member, tally: Tally) -> Iterator[DrawnImage]:
    """Reads points, masks, polygons, boxes and ellipses; counts what has no area.

    Raises:
      LeftOut: the file is damaged, or has no images.
    """
    root = xml_of(member.read())
    if root.tag != "annotations":
        raise LeftOut("of another format", f"its first element is <{root.tag}>")
    for _ in root.iter("track"):
        tally.leave_out("track", "of a video; export as CVAT for images", member.name)
    for image in root.iter("image"):
        name = image.get("name") or f"image {image.get('id')}"
        with tally.spare("image", f"{member.name}: {name}"):
            file = formats.text_of(image.get("name"), "without a name")
            size = formats.size_of(image.get("height"), image.get("width"))
            yield DrawnImage((file,), size, list(_shapes(image, tally)))


def _shapes(image: ElementTree.Element, tally: Tally) -> Iterator[Drawn]:
    numbers: dict[str, int] = {}
    for element in image:
        kind = element.tag
        numbers[kind] = number = numbers.get(kind, 0) + 1
        name = f"{kind} {number}"
        with tally.spare("shape", f"{name} in {image.get('name')}"):
            if kind == "points":
                label = formats.text_of(element.get("label"), "without a label")
                for point in _pairs(element):
                    yield Drawn(name, label, "points", functools.partial(regions.pixel, point))
            elif kind in AREAS:
                label = formats.text_of(element.get("label"), "without a label")
                layer = regions.whole(element.get("z_order", "0"))
                yield Drawn(name, label, "areas", AREAS[kind](element), layer)
            else:
                raise formats.no_area(kind)


def _pairs(element: ElementTree.Element) -> list[tuple[str, ...]]:
    text = element.get("points", "")
    return [tuple(pair.split(",")) for pair in text.split(";") if pair.strip()]


def _values(element: ElementTree.Element, *keys: str) -> tuple[str, ...]:
    return tuple(element.attrib[key] for key in keys)


def _polygon(element: ElementTree.Element) -> Callable:
    return functools.partial(regions.polygon, _pairs(element))


def _box(element: ElementTree.Element) -> Callable:
    corners = _values(element, "xtl", "ytl"), _values(element, "xbr", "ybr")
    degrees = element.get("rotation", "0")
    return lambda size: regions.box(*corners, degrees, None, size)


def _ellipse(element: ElementTree.Element) -> Callable:
    middle, radii = _values(element, "cx", "cy"), _values(element, "rx", "ry")
    degrees = element.get("rotation", "0")
    return lambda size: regions.ellipse(middle, radii, degrees, size)


def _mask(element: ElementTree.Element) -> Callable:
    values = _values(element, "left", "top", "width", "height")
    counts = element.attrib["rle"].split(",")

    def pixels(size: tuple[int, int]) -> np.ndarray:
        left, top, width, height = map(regions.whole, values)
        if not 0 < width <= size[1] or not 0 < height <= size[0]:
            raise LeftOut(regions.MISFIT, f"a mask of {width}x{height}")
        inside = runs.from_counts(counts, width * height).reshape(height, width)
        return regions.mask(inside, left, top, size)

    return pixels


AREAS = {"polygon": _polygon, "box": _box, "ellipse": _ellipse, "mask": _mask}
"""The shapes that have an area: an element -> its `Drawn.pixels`."""
