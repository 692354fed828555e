"""Segments for people: a mask's connected components crossed with superpixels, crumbs merged.

A grid cuts through things; superpixels follow edges, so that most pieces are of one class.
"""

import cv2
import numpy as np


def superpixels(image: np.ndarray, cell: int) -> np.ndarray:
    """Waterpixels (Machairas et al., 2015): a watershed from the flattest pixel of each cell.

    Args:
      image: [H, W, 3] uint8 RGB.
      cell: pixels between the cells of the grid that the watershed starts from.
    Returns:
      [H, W] int32, from 1; 4-connected or nearly so.
    """
    height, width = image.shape[:2]
    smooth = cv2.GaussianBlur(image, (3, 3), 0)
    slope = np.zeros((height, width), np.float32)
    for axis in ((1, 0), (0, 1)):
        slope += np.abs(cv2.Sobel(smooth, cv2.CV_32F, *axis)).sum(2)
    # A little dearer away from the middle of its cell: flat cells start in the middle.
    rows, columns = (np.abs(np.arange(n) % cell - (cell - 1) / 2) for n in (height, width))
    slope += (rows[:, None] + columns) / cell
    numbers = np.arange(height)[:, None] // cell * -(-width // cell) + np.arange(width) // cell
    order = np.lexsort((slope.ravel(), numbers.ravel()))
    starts = order[np.unique(numbers.ravel()[order], return_index=True)[1]]
    markers = np.zeros(height * width, np.int32)
    markers[starts] = np.arange(1, len(starts) + 1)
    # OpenCV marks the lines between basins and the frame -1: a frame of our own is cut off again.
    framed = cv2.copyMakeBorder(smooth, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    basins = np.pad(markers.reshape(height, width), 1)
    found = cv2.watershed(framed, basins)[1:-1, 1:-1]
    while (found <= 0).any():
        grown = cv2.dilate(np.maximum(found, 0).astype(np.float32), np.ones((3, 3)))
        found = np.where(found > 0, found, grown.astype(np.int32))
    return found


def cores(pieces: np.ndarray, image: np.ndarray, share: float) -> np.ndarray:
    """Of each piece the pixels that are nearest in colour to its mean [ours].

    What else a piece holds, such as sky between leaves, is mostly of another class than the most
    of it.

    Args:
      pieces: [H, W] int32, 0 = outside.
      image: [H, W, 3] uint8 RGB.
      share: of a piece's pixels, in (0, 1]; never fewer than one.
    Returns:
      [H, W] int32, the same numbers, 0 at the pixels left out.
    """
    colour = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64)
    piece, sizes = pieces.ravel(), np.bincount(pieces.ravel())
    sums = np.stack([np.bincount(piece, channel) for channel in colour.T], 1)
    distance = np.linalg.norm(colour - (sums / np.maximum(sizes, 1)[:, None])[piece], axis=1)
    order = np.lexsort((distance, piece))
    rank = np.empty(piece.size, np.int64)
    rank[order] = np.arange(piece.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.where(rank < share * sizes[piece], piece, 0).reshape(pieces.shape).astype(np.int32)


def cut_by_superpixels(mask: np.ndarray, image: np.ndarray, cell: int, crumb: int) -> np.ndarray:
    """The mask's connected components, cut along the image's superpixels [ours].

    Args:
      mask: [H, W] bool.
      image: [H, W, 3] uint8 RGB.
      cell: pixels between superpixels.
      crumb: smaller pieces, in pixels, become part of a neighbour; those without one are left out:
        they would cost a click each and teach nothing.
    Returns:
      [H, W] int32, 0 outside the mask, segments from 1, the largest first.
    """
    pieces = merge_crumbs(regions(np.where(mask, superpixels(image, cell), 0)), crumb)
    ordered = largest_first(pieces)
    return np.where(np.bincount(ordered.ravel())[ordered] < crumb, 0, ordered)


def regions(values: np.ndarray) -> np.ndarray:
    """Numbers the 4-connected regions of equal value: [H, W] int32, 0 where the value is 0."""
    height, width = values.shape
    # Between two pixels that are connected stands a third, so that one call does it for all values.
    linked = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)
    linked[::2, ::2] = values > 0
    linked[1::2, ::2] = (values[1:] == values[:-1]) & (values[1:] > 0)
    linked[::2, 1::2] = (values[:, 1:] == values[:, :-1]) & (values[:, 1:] > 0)
    return cv2.connectedComponents(linked, connectivity=4)[1][::2, ::2]


def merge_crumbs(pieces: np.ndarray, crumb: int) -> np.ndarray:
    """Joins every piece of fewer than `crumb` pixels to the neighbour it touches most.

    A crumb that touches nothing stays as it is.

    Args:
      pieces: [H, W] int32, 0 = outside.
    Returns:
      [H, W] int32, dense numbers from 1.
    """
    while True:
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        owner, other, touching = _neighbours(pieces)
        # Only upwards in (size, number): so no two join each other, and every round merges some.
        upwards = (sizes[other] > sizes[owner]) | ((sizes[other] == sizes[owner]) & (other > owner))
        some = upwards & (sizes[owner] < crumb)
        if not some.any():
            break
        owner, other, touching = owner[some], other[some], touching[some]
        order = np.lexsort((other, sizes[other], touching, owner))  # the last of an owner is best
        last = np.append(np.diff(owner[order]) > 0, True)
        into = np.arange(len(sizes))
        into[owner[order][last]] = other[order][last]
        while (into != into[into]).any():
            into = into[into]
        pieces = into[pieces]
    return (
        np.unique(np.append(pieces.ravel(), 0), return_inverse=True)[1][:-1]
        .reshape(pieces.shape)
        .astype(np.int32)
    )


def _neighbours(pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of pieces that touch, both ways round, and by how many pixel pairs (8-connected)."""
    pairs = []
    for a, b in (
        (pieces[:, 1:], pieces[:, :-1]),
        (pieces[1:], pieces[:-1]),
        (pieces[1:, 1:], pieces[:-1, :-1]),
        (pieces[1:, :-1], pieces[:-1, 1:]),
    ):
        touch = (a != b) & (a > 0) & (b > 0)
        pairs += [np.stack([a[touch], b[touch]]), np.stack([b[touch], a[touch]])]
    joined = np.concatenate(pairs, 1).astype(np.int64)
    base = int(pieces.max()) + 1
    keys, counts = np.unique(joined[0] * base + joined[1], return_counts=True)
    return keys // base, keys % base, counts


def largest_first(pieces: np.ndarray) -> np.ndarray:
    """The same pieces, [H, W] int32, numbered by size; equal ones as they were."""
    sizes = np.bincount(pieces.ravel())[1:]
    number = np.zeros(len(sizes) + 1, np.int32)
    number[1 + np.argsort(-sizes, kind="stable")] = np.arange(1, len(sizes) + 1)
    return number[pieces]
