"""Files of other annotation tools: each module can `write` images' shapes and `read` them.

What their files share stands here: shapes, and masks as coordinates, boxes and run lengths.
"""

from typing import NamedTuple

import cv2
import numpy as np

OPEN, UNSURE = "?", "unsure"
"""The labels of shapes that are still to be answered, and of those that are unsure."""


class Shape(NamedTuple):
    """Pixels with one label: a point, a mask or a polygon of the tool.

    Attributes:
      label: a class's name, `OPEN` or `UNSURE`.
      pixels: [N] int64, flat pixel numbers (row-major), ascending.
      kind: "points" or "segments", as of a query; "" where the format does not tell them apart.
    """

    label: str
    pixels: np.ndarray
    kind: str


class ImageShapes(NamedTuple):
    """An image's shapes.

    Attributes:
      file: the image's path, as the tool's file names it.
      size: (H, W); None where the file has no size.
      shapes: in the file's order.
    """

    file: str
    size: tuple[int, int] | None
    shapes: list[Shape]


def size_of(item: ImageShapes) -> tuple[int, int]:
    """The size (H, W) of an image that is to be written.

    Raises:
      ValueError: it has none.
    """
    if item.size is None:
        raise ValueError(f"{item.file}: no size")
    return item.size


class Label(NamedTuple):
    """A label that a shape can be given, and its RGB colour, 0 to 255."""

    name: str
    color: tuple[int, int, int]


def pixel_of(x: float, y: float, size: tuple[int, int]) -> np.ndarray:
    """The flat number of the pixel that a point lies in: [1] int64, or [0] outside the image.

    The first pixel's centre has the coordinates (0.5, 0.5).
    """
    column, row = int(np.floor(x)), int(np.floor(y))
    inside = 0 <= column < size[1] and 0 <= row < size[0]
    return np.array([row * size[1] + column] if inside else [], np.int64)


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


def counts_of(flat: np.ndarray) -> list[int]:
    """The run lengths of a flat mask, [N] bool: of zeros and ones in turn, zeros first."""
    change = np.flatnonzero(np.diff(np.concatenate([[False], flat])))
    return np.diff(np.concatenate([[0], change, [flat.size]])).astype(int).tolist()


def from_counts(counts: list[int], length: int) -> np.ndarray:
    """The flat mask, [length] bool, of run lengths as `counts_of` gives them.

    Raises:
      ValueError: they are negative or longer than the mask.
    """
    if min(counts, default=0) < 0 or sum(counts) > length:
        raise ValueError(f"runs of {sum(counts)} pixels in a mask of {length}")
    values = np.arange(len(counts)) % 2 == 1
    flat = np.repeat(values, counts)
    return np.concatenate([flat, np.zeros(length - flat.size, bool)])


def inside_of(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The flat numbers, [N] int64, of the pixels whose centres lie in a polygon.

    Args:
      corners: [n, 2] float (x, y).
      size: (H, W).
    """
    mask = np.zeros(size, np.uint8)
    fixed = np.rint((corners - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 1, shift=4)
    return np.flatnonzero(mask)
