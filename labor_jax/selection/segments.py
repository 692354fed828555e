"""Segments of an image: runs of row-major pixels, connected regions, cuts, windows."""

import cv2
import numpy as np

__all__ = [
    "components",
    "cut_segments",
    "label_runs",
    "majority",
    "pixel_runs",
    "renumbered",
    "run_pixels",
    "windows",
]


def label_runs(labels: np.ndarray) -> list[list[int]]:
    """The runs [start, length, ...] of each of the labels 1, 2, ... in [H, W] int32."""
    flat = labels.ravel()
    # A run also ends with its row: a segment's runs can then be drawn row by row.
    change = np.flatnonzero(np.diff(flat)) + 1
    starts = np.union1d(np.concatenate([[0], change]), np.arange(0, flat.size, labels.shape[1]))
    lengths = np.diff(np.append(starts, flat.size))
    owner = flat[starts]
    runs: list[list[int]] = [[] for _ in range(int(flat.max(initial=0)))]
    for segment, start, length in zip(owner, starts, lengths, strict=True):
        if segment:
            runs[segment - 1] += [int(start), int(length)]
    return runs


def run_pixels(runs: list[int]) -> np.ndarray:
    """The flat pixel numbers, int64, of runs [start, length, start, length, ...]."""
    if not runs:
        return np.zeros(0, np.int64)
    return np.concatenate([np.arange(a, a + n) for a, n in zip(runs[::2], runs[1::2], strict=True)])


def pixel_runs(pixels: np.ndarray, width: int) -> list[int]:
    """Runs [start, length, ...] of sorted flat pixel numbers; a run ends with its row."""
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
    """The mask's connected components, cut along a grid [ours].

    A mask of disagreement is one net along all boundaries: uncut, it could be asked only whole.

    Args:
      mask: [H, W] bool.
      cell: pixels of the grid; no segment is wider or higher.
    Returns:
      [H, W] int32, 0 outside the mask, segments from 1.
    """
    rows, columns = (np.arange(n) // cell % 2 for n in mask.shape)
    # Cells of one colour touch no other of it, so four colours cut along every line.
    return components((2 * rows[:, None] + columns).astype(np.uint8), mask)


def majority(segments: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """The class that most pixels of each segment have: [segments] int64.

    Args:
      segments: [H, W] int32, 0 = outside, segments from 1.
      selected: [H, W] uint8.
    """
    classes = int(selected.max()) + 1
    pairs = segments.astype(np.int64) * classes + selected
    counts = np.bincount(pairs.ravel(), minlength=(int(segments.max()) + 1) * classes)
    return counts.reshape(-1, classes)[1:].argmax(1)


def renumbered(pieces: np.ndarray) -> np.ndarray:
    """The pieces that are left, [H, W] int32, with numbers from 1 in the same order; 0 stays 0."""
    there = np.bincount(pieces.ravel()) > 0
    there[0] = False
    return (np.cumsum(there) * there)[pieces].astype(np.int32)


def windows(
    centres: np.ndarray, radius: int, size: tuple[int, int], limit: int, in_pixels: bool
) -> np.ndarray:
    """Squares around the first centres, cut at the image's border: [H, W] int32, from 1.

    Args:
      centres: [N, 2] int, (row, column), more than twice the radius apart.
      radius: pixels on each side of a centre.
      limit: of pixels or of squares.
      in_pixels: which of both.
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
