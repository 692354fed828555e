"""What a drawn shape covers: the pixels whose centres lie in it.

The first pixel's centre is (0.5, 0.5). A centre on a border belongs to the shape on its right, or
below it, so that shapes that share a border share no pixel. What leaves the image is cut off.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import shapely

from labor_jax.util.tally import LeftOut

MISFIT = "whose geometry does not add up"
"""The reason for a shape whose numbers cannot be those of a shape in this image."""
NUDGE = (2.0**-20, 2.0**-30)
"""How far, in pixels, right and down of a centre the point lies that is tested."""

NEAR = 5
"""How wide the band around a border is, in pixels, in which each centre is tested."""

Size = tuple[int, int]
Number = Any
"""A number as a file has it: 3, 3.5 or "3.5"; every function here checks those that it gets."""
Point = Sequence[Number]
"""(x, y)."""


def pixel(point: Point, size: Size) -> np.ndarray:
    """The pixel that a point lies in: [1] int64, or [0] outside of the image.

    Raises:
      LeftOut: a coordinate is not finite.
    """
    x, y = _finite([point])[0]
    column, row = math.floor(x), math.floor(y)
    inside = 0 <= column < size[1] and 0 <= row < size[0]
    return np.array([row * size[1] + column] if inside else [], np.int64)


def polygon(corners: Sequence[Point], size: Size) -> np.ndarray:
    """The pixels in a polygon: [N] int64, ascending.

    Where the polygon crosses itself, a pixel is inside if an odd number of borders lies between it
    and the outside. A hole can thus be drawn as a bay whose two banks touch.

    Args:
      corners: (x, y) in order; the last is joined to the first.
      size: (H, W).
    Raises:
      LeftOut: there are fewer than three corners, one is not finite or lies outside of the image.
    """
    return _inside(_within(corners, size), size)


def polygons(parts: Sequence[Sequence[Point]], size: Size) -> np.ndarray:
    """The pixels in any of several polygons, as of `polygon`."""
    if len(parts) == 1:
        return polygon(parts[0], size)
    found = np.zeros(size, bool)
    for part in parts:
        found.flat[polygon(part, size)] = True
    return np.flatnonzero(found)


def box(one: Point, other: Point, degrees: Number, pivot: Point | None, size: Size) -> np.ndarray:
    """The pixels in a rectangle, as of `polygon`.

    Args:
      one, other: its upper left and its lower right corner, before it is turned.
      degrees: by how much it is turned, clockwise.
      pivot: what it is turned about; None: its middle.
    """
    (left, top), (right, bottom) = _finite([one, other])
    if left >= right or top >= bottom:
        raise LeftOut(MISFIT, f"a box from ({left:g}, {top:g}) to ({right:g}, {bottom:g})")
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    if not number(degrees) % 360:
        return polygon(corners, size)
    middle = (left + right) / 2, (top + bottom) / 2
    _within([pivot or middle], size, 1)
    if max(right - left, bottom - top) > sum(size):
        raise LeftOut(MISFIT, f"a box of {right - left:g}x{bottom - top:g}")
    return _inside(_turned(np.array(corners), degrees, pivot or middle), size)


def ellipse(middle: Point, radii: Point, degrees: Number, size: Size) -> np.ndarray:
    """The pixels in an ellipse: [N] int64, ascending.

    Args:
      middle: (x, y), in the image.
      radii: along x and y, before it is turned about its middle.
      degrees: by how much it is turned, clockwise.
    Raises:
      LeftOut: a number is not finite or positive, the middle lies outside of the image, or a radius
        is longer than its width and height together.
    """
    (x, y), (across, down) = _finite([middle, radii])
    _within([middle], size, 1)
    if not 0 < min(across, down) <= max(across, down) <= sum(size):
        raise LeftOut(MISFIT, f"radii of {across:g} and {down:g}")
    reach = max(across, down)
    columns, rows = _centres((x - reach, y - reach, x + reach, y + reach), size)
    points = np.stack(np.meshgrid(columns + NUDGE[0], rows + NUDGE[1]), axis=-1)
    moved = (_turned(points, -number(degrees), (x, y)) - (x, y)) / (across, down)
    return _flat((moved**2).sum(axis=-1) < 1, columns, rows, size)


def mask(pixels: np.ndarray, left: Number, top: Number, size: Size) -> np.ndarray:
    """The pixels of a mask that lies in the image with its upper left corner at (left, top).

    Args:
      pixels: [h, w] bool.
    Raises:
      LeftOut: the mask leaves the image.
    """
    rows, columns = np.nonzero(pixels)
    corner, shape = (whole(left), whole(top)), pixels.shape
    if min(corner) < 0 or corner[0] + shape[1] > size[1] or corner[1] + shape[0] > size[0]:
        raise LeftOut(MISFIT, f"a mask of {shape[1]}x{shape[0]} at {corner} leaves the image")
    return (rows + corner[1]) * size[1] + columns + corner[0]


def whole(value: Number) -> int:
    """A number that must be whole: 3, 3.0 or "3".

    Raises:
      LeftOut: it is no whole number.
    """
    found = number(value)
    if found != int(found):
        raise LeftOut(MISFIT, f"{value!r:.40} is no whole number")
    return int(found)


def number(value: Number) -> float:
    """A finite number: 3, 3.5 or "3.5".

    Raises:
      LeftOut: it is none.
    """
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise LeftOut(MISFIT, f"{value!r:.40} is no finite number")
    return found


def _finite(points: Iterable[Point]) -> np.ndarray:
    """Points as [n, 2] float64. Raises LeftOut where a number is not finite, or a pair is none."""
    pairs = [(number(x), number(y)) for x, y in map(_pair, points)]
    return np.array(pairs, np.float64).reshape(-1, 2)


def _pair(point: Point) -> tuple[Number, Number]:
    if isinstance(point, str | bytes) or not hasattr(point, "__len__") or len(point) != 2:
        raise LeftOut(MISFIT, f"{point!r:.40} is no pair of numbers")
    return point[0], point[1]


def _within(points: Iterable[Point], size: Size, least: int = 3) -> np.ndarray:
    """Points as [n, 2] float64 that lie in the image, or less than a pixel outside as by rounding.

    Raises:
      LeftOut: one does not, or there are fewer than `least`.
    """
    found = _finite(points)
    if len(found) < least:
        raise LeftOut(MISFIT, f"a polygon of {len(found)} corners")
    outside = ((found < -1) | (found > (size[1] + 1, size[0] + 1))).any(axis=1)
    if outside.any():
        x, y = found[outside][0]
        raise LeftOut(MISFIT, f"({x:g}, {y:g}) is outside of an image of {size[1]}x{size[0]}")
    return found


def _turned(points: np.ndarray, degrees: Number, pivot: Point) -> np.ndarray:
    """Points [..., 2], turned clockwise about a pivot (y points down)."""
    # The sine and cosine of a right angle are exact, so that its borders stay on the grid.
    turns, rest = divmod(number(degrees), 90)
    cos, sin = math.cos(math.radians(rest)), math.sin(math.radians(rest))
    for _ in range(int(turns) % 4):
        cos, sin = -sin, cos
    x, y = points[..., 0] - pivot[0], points[..., 1] - pivot[1]
    return np.stack([pivot[0] + cos * x - sin * y, pivot[1] + sin * x + cos * y], axis=-1)


def _inside(corners: np.ndarray, size: Size) -> np.ndarray:
    """The flat numbers of the pixels in a polygon; corners [n, 2] float64 may lie anywhere.

    Shapely says on which side of the border a centre near it lies. All others are filled by OpenCV,
    which is fast and right but for the border: that it counts in.
    """
    columns, rows = _centres((*corners.min(axis=0), *corners.max(axis=0)), size)
    found = np.zeros((rows.size, columns.size), np.uint8)
    if found.size:
        fixed = np.rint((corners - (columns[0], rows[0])) * 16).astype(np.int32)
        cv2.fillPoly(found, [fixed], 1, shift=4)
        cv2.polylines(found, [fixed], True, 2, NEAR, shift=4)
        down, across = np.nonzero(found == 2)
        area = shapely.Polygon(corners)
        shapely.prepare(area)
        x, y = columns[across] + NUDGE[0], rows[down] + NUDGE[1]
        found[down, across] = shapely.contains_xy(area, x, y)
    return _flat(found.astype(bool), columns, rows, size)


def _centres(bounds: Sequence[float], size: Size) -> tuple[np.ndarray, np.ndarray]:
    """The centres of the columns and rows of the image that a box (x, y, x, y) may touch."""
    left, top, right, bottom = bounds
    return _span(left, right, size[1]), _span(top, bottom, size[0])


def _span(low: float, high: float, length: int) -> np.ndarray:
    low, high = max(0, min(low - 1, length)), max(0, min(high + 1, length))
    return np.arange(math.floor(low), math.ceil(high)) + 0.5


def _flat(inside: np.ndarray, columns: np.ndarray, rows: np.ndarray, size: Size) -> np.ndarray:
    """The flat numbers, in an image, of the pixels of a window that are inside: [N] int64."""
    down, across = np.nonzero(inside)
    return (rows[down].astype(np.int64)) * size[1] + columns[across].astype(np.int64)
