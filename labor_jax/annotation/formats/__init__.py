"""Files of other annotation tools: each module can `write` images' shapes and `read` them.

What their files share stands here: shapes, their labels, and boxes and centres of pixels. What a
drawn shape covers is in `regions`, run lengths are in `runs`, opening files in `sources`.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from labor_jax.annotation.formats import regions
from labor_jax.util.tally import LeftOut, one_line

OPEN, UNSURE = "?", "unsure"
"""The labels of shapes that are still to be answered, and of those that are unsure."""


def no_area(kind: object) -> LeftOut:
    """The error for lines, tags and all else that covers no pixels."""
    return LeftOut(f"without an area ({one_line(kind, 40)})")


class Shape(NamedTuple):
    """Pixels with one label, to be written: a point or a mask of the tool.

    Attributes:
      label: a class's name, `OPEN` or `UNSURE`.
      pixels: [N] int64, flat pixel numbers (row-major), ascending.
      kind: "points" or "segments", as of a query; "whole": all of an image's pixels of a class.
    """

    label: str
    pixels: np.ndarray
    kind: str


class ImageShapes(NamedTuple):
    """An image's shapes, to be written.

    Attributes:
      file: the image's path in the tool's files.
      size: (H, W).
      shapes: in the order in which they are written.
    """

    file: str
    size: tuple[int, int]
    shapes: list[Shape]


class Drawn(NamedTuple):
    """A shape that was read.

    Attributes:
      name: how a person finds it among its image's shapes: "annotation 9".
      label: as the file has it.
      kind: "points", or "areas" of which the last that is drawn lies on top.
      pixels: (H, W) -> [N] int64, the flat numbers of its pixels; it raises `LeftOut` where the
        shape does not fit an image of that size.
      layer: shapes with larger numbers lie on top of others, whatever their order.
    """

    name: str
    label: str
    kind: str
    pixels: Callable[[tuple[int, int]], np.ndarray]
    layer: int = 0


class DrawnImage(NamedTuple):
    """An image's shapes that were read.

    Attributes:
      files: what the file calls the image; the first name that fits counts.
      size: (H, W); None where the file has no size.
      shapes: in the file's order; may be drawn once only.
    """

    files: tuple[str, ...]
    size: tuple[int, int] | None
    shapes: Iterable[Drawn]


class Label(NamedTuple):
    """A label that a shape can be given, and its RGB colour, 0 to 255."""

    name: str
    color: tuple[int, int, int]


def text_of(value: object, reason: str) -> str:
    """A text that a file must have. Raises LeftOut with the reason where it is none."""
    if not isinstance(value, str) or not value.strip():
        raise LeftOut(reason)
    return value


def size_of(height: object, width: object) -> tuple[int, int] | None:
    """The size (H, W) that a file gives; None where it gives none.

    Raises:
      LeftOut: it is no size.
    """
    if height is None or width is None:
        return None
    try:
        size = regions.whole(height), regions.whole(width)
    except LeftOut:
        size = 0, 0
    if not all(0 < length < 2**20 for length in size):
        raise LeftOut("without a size", f"{width!r:.20}x{height!r:.20}")
    return size


def centre(pixel: int, size: tuple[int, int]) -> tuple[float, float]:
    """The coordinates (x, y) of a pixel's centre."""
    row, column = divmod(int(pixel), size[1])
    return column + 0.5, row + 0.5


def box_of(pixels: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The bounding box (left, top, width, height) of flat pixel numbers."""
    rows, columns = np.divmod(pixels, size[1])
    left, top = int(columns.min()), int(rows.min())
    return left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1


def to_mask(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The mask, [H, W] bool, of flat pixel numbers."""
    mask = np.zeros(size[0] * size[1], bool)
    mask[pixels] = True
    return mask.reshape(size)
