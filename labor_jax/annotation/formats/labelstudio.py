"""Label Studio's JSON: key points in percent of the image, brush masks as compressed runs.

A brush mask is an RGBA picture, flattened, whose alpha channel is the mask. Its bytes hold bits:

    32 bits        how many values there are
    5 bits         the width of a value in bits, less 1
    4 x 4 bits     four widths that a run's length can have, less 1
    then runs:
      1 bit        1: one value, repeated; 0: as many values as the length says
      2 bits       which of the four widths the length has
      that many    the length, less 1
      the rest     the value, or the values
"""

import html
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from labor_jax.annotation import formats
from labor_jax.annotation.formats import ImageShapes, Label, Shape
from labor_jax.util import files

NAME = "tasks.json"
SIZES = (3, 4, 8, 16)
"""The widths of run lengths, in bits, in files that are written here."""


def write(folder: pathlib.Path, items: Iterable[ImageShapes], labels: Iterable[Label]) -> None:
    """Writes `tasks.json`, and `labels.xml` for the project's labelling interface."""
    tasks = [
        {
            "data": {"image": f"/data/local-files/?d={item.file}"},
            "annotations": [
                {"result": [_result(shape, formats.size_of(item)) for shape in item.shapes]}
            ],
        }
        for item in items
    ]
    files.write_json(folder / NAME, tasks)
    choices = "".join(
        '    <Label value="{}" background="#{:02x}{:02x}{:02x}"/>\n'.format(
            html.escape(label.name), *label.color
        )
        for label in labels
    )
    blocks = "".join(
        f'  <{tag} name="{kind}" toName="image">\n{choices}  </{tag}>\n'
        for tag, kind in (("KeyPointLabels", "points"), ("BrushLabels", "segments"))
    )
    text = f'<View>\n  <Image name="image" value="$image"/>\n{blocks}</View>\n'
    files.write_atomic(folder / "labels.xml", text.encode())


def _result(shape: Shape, size: tuple[int, int]) -> dict[str, Any]:
    height, width = size
    common = {"from_name": shape.kind, "to_name": "image", "image_rotation": 0}
    common |= {"original_width": width, "original_height": height}
    if shape.kind == "points":
        x, y = formats.centre(shape.pixels[0], size)
        value: dict[str, Any] = {"x": 100 * x / width, "y": 100 * y / height, "width": 100 / width}
        return common | {
            "type": "keypointlabels",
            "value": value | {"keypointlabels": [shape.label]},
        }
    mask = 255 * formats.to_mask(shape.pixels, size).astype(np.uint8)
    value = {"format": "rle", "rle": pack(np.repeat(mask.ravel(), 4))}
    return common | {"type": "brushlabels", "value": value | {"brushlabels": [shape.label]}}


def read(path: pathlib.Path) -> Iterator[ImageShapes]:
    """Reads key points and brush masks.

    Args:
      path: a JSON export of Label Studio, or the folder that holds `tasks.json`.

    Raises:
      ValueError, KeyError, TypeError: the file is damaged.
    """
    for task in files.read_json(path / NAME if path.is_dir() else path):
        shapes, size = [], None
        for annotation in task.get("annotations", []):
            for result in annotation["result"]:
                if result["type"] not in ("keypointlabels", "brushlabels"):
                    continue
                size = result["original_height"], result["original_width"]
                value = result["value"]
                (label,) = value[result["type"]]
                if result["type"] == "keypointlabels":
                    x, y = value["x"] * size[1] / 100, value["y"] * size[0] / 100
                    shapes.append(Shape(label, formats.pixel_of(x, y, size), "points"))
                else:
                    alpha = unpack(value["rle"])[3::4]
                    if len(alpha) != size[0] * size[1]:
                        raise ValueError(f"a mask of {len(alpha)} pixels in an image of {size}")
                    shapes.append(Shape(label, np.flatnonzero(alpha), "segments"))
        name = task["data"]["image"].rpartition("?d=")[2]
        yield ImageShapes(name, size, shapes)


def pack(values: np.ndarray) -> list[int]:
    """Compresses values, [N] uint8, into bytes as Label Studio has them."""
    bits = [f"{values.size:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    starts = np.flatnonzero(np.append(True, np.diff(values) != 0)[: values.size])
    for start, length in zip(starts, np.diff(np.append(starts, values.size)), strict=True):
        value = int(values[start])
        while length > 0:
            part = min(int(length), 1 << SIZES[-1])
            choice = next(i for i, size in enumerate(SIZES) if part <= 1 << size)
            bits.append(f"1{choice:02b}{part - 1:0{SIZES[choice]}b}{value:08b}")
            length -= part
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def unpack(data: list[int]) -> np.ndarray:
    """The values, [N] uint8, of compressed bytes.

    Raises:
      ValueError: the runs have too few or too many values, or a mask is absurdly large.
    """
    text = "".join(f"{byte:08b}" for byte in bytes(data))
    at = 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        return int(text[at - count : at], 2)

    number, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    if number > 1 << 30:
        raise ValueError(f"a mask of {number} values")
    values, i = np.zeros(number, np.uint8), 0
    while i < number:
        repeats = take(1)
        length = 1 + take(sizes[take(2)])
        if at >= len(text) or i + length > number:
            raise ValueError("damaged runs of a mask")
        values[i : i + length] = take(word) if repeats else [take(word) for _ in range(length)]
        i += length
    return values
