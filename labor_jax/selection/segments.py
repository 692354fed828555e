"""Segments of an image: how they are written as runs, found, cut and numbered.

A map of segments is [H, W] int32: 0 is outside of all segments, and their numbers count from 1.
In files a segment is a list of row-major run lengths, [start, length, start, length, ...]. A start
is a flat pixel number, row * W + column. A run ends with its row: it can be drawn as a line.
"""

import cv2
import numpy as np

__all__ = [
    "components",
    "cut_segments",
    "majority",
    "pixel_runs",
    "renumbered",
    "run_pixels",
    "segment_runs",
    "windows",
]


def segment_runs(segments: np.ndarray) -> list[list[int]]:
    """The runs [start, length, ...] of each segment, an empty list for a number without pixels.

    Args:
      segments: [H, W] int32, 0 = outside, segments from 1.
    """
    flat = segments.ravel()
    change = np.flatnonzero(np.diff(flat)) + 1
    row_starts = np.arange(0, flat.size, segments.shape[1])
    starts = np.union1d(np.concatenate([[0], change]), row_starts)
    lengths = np.diff(np.append(starts, flat.size))
    owner = flat[starts]
    runs: list[list[int]] = [[] for _ in range(int(flat.max(initial=0)))]
    for segment, start, length in zip(owner, starts, lengths, strict=True):
        if segment:
            runs[segment - 1] += [int(start), int(length)]
    return runs


def run_pixels(runs: list[int]) -> np.ndarray:
    """The flat pixel numbers of runs [start, length, ...], in their order: [N] int64."""
    if not runs:
        return np.zeros(0, np.int64)
    return np.concatenate([np.arange(a, a + n) for a, n in zip(runs[::2], runs[1::2], strict=True)])


def pixel_runs(pixels: np.ndarray, width: int) -> list[int]:
    """The runs [start, length, ...] of pixels.

    Args:
      pixels: [N] int, flat pixel numbers, ascending.
      width: the image's, in pixels.
    """
    if not pixels.size:
        return []
    begins = np.append(True, (np.diff(pixels) > 1) | (pixels[1:] % width == 0))
    starts = np.flatnonzero(begins)
    lengths = np.diff(np.append(starts, pixels.size))
    return np.stack([pixels[starts], lengths], 1).ravel().tolist()


def components(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Numbers the 8-connected regions of equal value inside a mask.

    Args:
      values: [H, W] uint8.
      mask: [H, W] bool.
    Returns:
      [H, W] int32, 0 outside the mask, regions from 1.
    """
    regions, count = np.zeros(values.shape, np.int32), 0
    for value in np.unique(values[mask]):
        inside = mask & (values == value)
        found, labels = cv2.connectedComponents(inside.astype(np.uint8), connectivity=8)
        regions[inside] = labels[inside] + count
        count += found - 1
    return regions


def cut_segments(mask: np.ndarray, cell: int) -> np.ndarray:
    """A mask's 8-connected components, cut along a grid of squares [ours].

    The pixels on which two heads disagree form a net along the boundaries of all classes. Without
    the cuts that net would be one segment, to be asked wholly or not at all.

    Args:
      mask: [H, W] bool.
      cell: the side of the grid's squares in pixels; no segment is wider or higher.
    Returns:
      [H, W] int32, 0 outside the mask, segments from 1.
    """
    rows, columns = (np.arange(n) // cell % 2 for n in mask.shape)
    # Squares are coloured with four colours so that no two of one colour touch: a component of one
    # colour then lies in one square.
    return components((2 * rows[:, None] + columns).astype(np.uint8), mask)


def majority(segments: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The most frequent class of each segment, the lowest of equally frequent ones: [N] int64.

    Args:
      segments: [H, W] int32, 0 = outside, segments from 1 to N.
      classes: [H, W] uint8.
    """
    number = int(classes.max()) + 1
    pairs = segments.astype(np.int64) * number + classes
    counts = np.bincount(pairs.ravel(), minlength=(int(segments.max()) + 1) * number)
    return counts.reshape(-1, number)[1:].argmax(1)


def renumbered(segments: np.ndarray) -> np.ndarray:
    """The same segments, numbered from 1 without gaps and in the same order: [H, W] int32.

    Args:
      segments: [H, W] int, 0 = outside.
    """
    there = np.bincount(segments.ravel()) > 0
    there[0] = False
    return (np.cumsum(there) * there)[segments].astype(np.int32)


def windows(
    centres: np.ndarray, radius: int, size: tuple[int, int], limit: int, in_pixels: bool
) -> np.ndarray:
    """Squares around the first centres, as many as a limit allows, cut at the image's border.

    Args:
      centres: [N, 2] int, (row, column), more than twice the radius apart: squares do not overlap.
      radius: pixels on each side of a centre.
      size: (H, W) of the image.
      limit: how many pixels, or how many squares, there may be in all.
      in_pixels: whether `limit` counts pixels.
    Returns:
      [H, W] int32, 0 = outside, squares from 1.
    """
    found = np.zeros(size, np.int32)
    for number, (row, column) in enumerate(centres, start=1):
        top, left = max(0, row - radius), max(0, column - radius)
        window = found[top : row + radius + 1, left : column + radius + 1]
        limit -= window.size if in_pixels else 1
        if limit < 0:
            break
        window[:] = number
    return found
