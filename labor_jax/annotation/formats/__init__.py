"""Files of other annotation tools. Each module can `write` pages into a folder and `read` them."""

from typing import NamedTuple

import cv2
import numpy as np

OPEN, UNSURE = "?", "unsure"
"""The labels of what is still to be answered, and of what an annotator could not tell."""


class Shape(NamedTuple):
    """Pixels with one label; what a tool calls a point, a mask or a polygon.

    Attributes:
      label: a class's name, `OPEN` or `UNSURE`.
      pixels: flat row-major pixel numbers, [n] int64, sorted.
      kind: "points", "segments", or "" where the format does not tell.
    """

    label: str
    pixels: np.ndarray
    kind: str


class Page(NamedTuple):
    """One image's shapes.

    Attributes:
      file: the image's path, as the file names it.
      size: (H, W); None where the file does not tell.
      shapes: in order.
    """

    file: str
    size: tuple[int, int] | None
    shapes: list[Shape]


def size_of(page: Page) -> tuple[int, int]:
    """The size of a page that is to be written: those always have one."""
    if page.size is None:
        raise ValueError(f"{page.file}: no size")
    return page.size


class Label(NamedTuple):
    """A label that can be given, and its colour."""

    name: str
    color: tuple[int, int, int]


def pixel_of(x: float, y: float, size: tuple[int, int]) -> np.ndarray:
    """The pixel that a point lies in, [1] int64; [0] where it lies outside the image.

    Coordinates are of the image's plane: the first pixel's centre is (0.5, 0.5).
    """
    column, row = int(np.floor(x)), int(np.floor(y))
    inside = 0 <= column < size[1] and 0 <= row < size[0]
    return np.array([row * size[1] + column] if inside else [], np.int64)


def centre(pixel: int, size: tuple[int, int]) -> tuple[float, float]:
    """The coordinates (x, y) of a pixel's centre."""
    row, column = divmod(int(pixel), size[1])
    return column + 0.5, row + 0.5


def box_of(pixels: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(left, top, width, height) around pixels."""
    rows, columns = np.divmod(pixels, size[1])
    left, top = int(columns.min()), int(rows.min())
    return left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1


def to_mask(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels as [H, W] bool."""
    mask = np.zeros(size[0] * size[1], bool)
    mask[pixels] = True
    return mask.reshape(size)


def counts_of(flat: np.ndarray) -> list[int]:
    """The lengths of runs of a flat mask, [n] bool, the first of zeros."""
    change = np.flatnonzero(np.diff(np.concatenate([[False], flat])))
    return np.diff(np.concatenate([[0], change, [flat.size]])).astype(int).tolist()


def from_counts(counts: list[int], length: int) -> np.ndarray:
    """The flat mask, [length] bool, of lengths of runs, the first of zeros.

    Raises:
      ValueError: the lengths do not add up.
    """
    if min(counts, default=0) < 0 or sum(counts) > length:
        raise ValueError(f"runs of {sum(counts)} pixels in a mask of {length}")
    values = np.arange(len(counts)) % 2 == 1
    flat = np.repeat(values, counts)
    return np.concatenate([flat, np.zeros(length - flat.size, bool)])


def inside_of(corners: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The flat pixels, int64, whose centres lie in a polygon of corners [n, 2] (x, y)."""
    mask = np.zeros(size, np.uint8)
    fixed = np.rint((corners - 0.5) * 16).astype(np.int32)
    cv2.fillPoly(mask, [fixed], 1, shift=4)
    return np.flatnonzero(mask)
