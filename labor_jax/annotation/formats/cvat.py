"""CVAT for images 1.1: one `annotations.xml` with <points> and <mask> elements.

A mask has a bounding box and, row-major inside it, run lengths that start with zeros.
"""

import pathlib
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree

import numpy as np

from labor_jax.annotation import formats
from labor_jax.annotation.formats import ImageShapes, Label, Shape
from labor_jax.util import files

NAME = "annotations.xml"


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
        height, width = formats.size_of(item)
        image = ElementTree.SubElement(
            root, "image", id=str(number), name=item.file, width=str(width), height=str(height)
        )
        for shape in item.shapes:
            common = {"label": shape.label, "source": "manual", "occluded": "0", "z_order": "0"}
            if shape.kind == "points":
                x, y = formats.centre(shape.pixels[0], formats.size_of(item))
                ElementTree.SubElement(image, "points", common | {"points": f"{x:.2f},{y:.2f}"})
            else:
                left, top, across, down = formats.box_of(shape.pixels, formats.size_of(item))
                mask = formats.to_mask(shape.pixels, formats.size_of(item))
                inside = mask[top : top + down, left : left + across]
                box = {"left": left, "top": top, "width": across, "height": down}
                rle = ", ".join(map(str, formats.counts_of(inside.ravel())))
                more = {"rle": rle} | {key: str(value) for key, value in box.items()}
                ElementTree.SubElement(image, "mask", common | more)
    ElementTree.indent(root)
    data = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    files.write_atomic(folder / NAME, data + b"\n")


def read(path: pathlib.Path) -> Iterator[ImageShapes]:
    """Reads points, masks and polygons.

    Args:
      path: an `annotations.xml`, or the folder that holds it.

    Raises:
      ValueError, KeyError, SyntaxError: the file is damaged.
    """
    root = ElementTree.parse(path / NAME if path.is_dir() else path).getroot()
    for image in root.iter("image"):
        size = int(image.attrib["height"]), int(image.attrib["width"])
        yield ImageShapes(image.attrib["name"], size, list(_shapes(image, size)))


def _shapes(image: ElementTree.Element, size: tuple[int, int]) -> Iterator[Shape]:
    for element in image:
        if element.tag == "points":
            for x, y in _pairs(element.attrib["points"]):
                yield Shape(element.attrib["label"], formats.pixel_of(x, y, size), "points")
        elif element.tag == "mask":
            left, top, across, down = (
                int(element.attrib[key]) for key in ("left", "top", "width", "height")
            )
            counts = [int(value) for value in element.attrib["rle"].split(",")]
            inside = formats.from_counts(counts, across * down).reshape(down, across)
            rows, columns = np.nonzero(inside)
            if min(left, top) < 0 or left + across > size[1] or top + down > size[0]:
                raise ValueError(f"a mask of {image.attrib['name']} leaves the image")
            pixels = (rows + top) * size[1] + columns + left
            yield Shape(element.attrib["label"], pixels, "segments")
        elif element.tag == "polygon":
            corners = np.array(_pairs(element.attrib["points"]))
            yield Shape(element.attrib["label"], formats.inside_of(corners, size), "segments")


def _pairs(text: str) -> list[tuple[float, float]]:
    pairs = (pair.split(",") for pair in text.split(";"))
    return [(float(x), float(y)) for x, y in pairs]
