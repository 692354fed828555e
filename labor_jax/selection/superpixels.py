"""Superpixels, and segments that are cut along them.

A grid cuts through objects. Superpixels follow the image's edges, so that most segments that are
cut along them are of one class. A crumb is a segment of few pixels.
"""

import cv2
import numpy as np

from labor_jax.selection.segments import renumbered


def superpixels(image: np.ndarray, cell: int) -> np.ndarray:
    """Waterpixels (Machairas et al., 2015): a watershed of the gradient, a basin for each cell.

    A basin grows from the pixel of its cell where the gradient is smallest.

    Args:
      image: [H, W, 3] uint8 RGB.
      cell: the side of the grid's cells in pixels.
    Returns:
      [H, W] int32, superpixels from 1, nearly all of them 4-connected.
    """
    height, width = image.shape[:2]
    smooth = cv2.GaussianBlur(image, (3, 3), 0)
    slope = np.zeros((height, width), np.float32)
    for axis in ((1, 0), (0, 1)):
        slope += np.abs(cv2.Sobel(smooth, cv2.CV_32F, *axis)).sum(2)
    # Distance from the cell's middle counts a little: in a cell without a gradient it decides.
    rows, columns = (np.abs(np.arange(n) % cell - (cell - 1) / 2) for n in (height, width))
    slope += (rows[:, None] + columns) / cell
    numbers = np.arange(height)[:, None] // cell * -(-width // cell) + np.arange(width) // cell
    order = np.lexsort((slope.ravel(), numbers.ravel()))
    starts = order[np.unique(numbers.ravel()[order], return_index=True)[1]]
    markers = np.zeros(height * width, np.int32)
    markers[starts] = np.arange(1, len(starts) + 1)
    # OpenCV marks the image's outermost pixels and the lines between basins -1. A frame is added
    # for the first and cut off again; the dilation below gives the lines to their neighbours.
    framed = cv2.copyMakeBorder(smooth, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    basins = np.pad(markers.reshape(height, width), 1)
    found = cv2.watershed(framed, basins)[1:-1, 1:-1]
    while (found <= 0).any():
        grown = cv2.dilate(np.maximum(found, 0).astype(np.float32), np.ones((3, 3)))
        found = np.where(found > 0, found, grown.astype(np.int32))
    return found


def least_sure_first(pieces: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """The same pieces, numbered by the mean of how sure a model is of their pixels.

    Args:
      pieces: [H, W] int32, pieces from 1 that hold all pixels.
      sure: [H, W], the likeliest class's probability.
    Returns:
      [H, W] int32; 1 is the piece of which it is least sure.
    """
    sums = np.bincount(pieces.ravel(), sure.ravel())[1:]
    means = sums / np.bincount(pieces.ravel())[1:]
    rank = np.empty(len(means), np.int32)
    rank[np.argsort(means, kind="stable")] = np.arange(1, len(means) + 1)
    return rank[pieces - 1]


def cores(segments: np.ndarray, image: np.ndarray, share: float) -> np.ndarray:
    """Each segment's core: its pixels whose colours are nearest to the segment's mean [ours].

    Pixels of other colours, such as sky between leaves, mostly belong to another class than the
    segment's majority. Distances are Euclidean, in OpenCV's 8-bit L*a*b*.

    Args:
      segments: [H, W] int32, 0 = outside.
      image: [H, W, 3] uint8 RGB.
      share: the core's share of a segment's pixels, in (0, 1]; a core has at least one pixel.
    Returns:
      [H, W] int32, the same numbers, 0 at the pixels left out.
    """
    colour = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float64)
    flat, sizes = segments.ravel(), np.bincount(segments.ravel())
    sums = np.stack([np.bincount(flat, channel) for channel in colour.T], 1)
    distance = np.linalg.norm(colour - (sums / np.maximum(sizes, 1)[:, None])[flat], axis=1)
    order = np.lexsort((distance, flat))
    rank = np.empty(flat.size, np.int64)
    rank[order] = np.arange(flat.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.where(rank < share * sizes[flat], flat, 0).reshape(segments.shape).astype(np.int32)


def cut_by_superpixels(mask: np.ndarray, image: np.ndarray, cell: int, crumb: int) -> np.ndarray:
    """A mask's 4-connected components, cut along the image's superpixels [ours].

    Args:
      mask: [H, W] bool.
      image: [H, W, 3] uint8 RGB.
      cell: as of `superpixels`.
      crumb: segments of fewer pixels are merged into a neighbour. One without a neighbour is left
        out: it would cost a click and teach next to nothing.
    Returns:
      [H, W] int32, 0 outside the mask and at what is left out, segments from 1, the largest first.
    """
    merged = merge_crumbs(regions(np.where(mask, superpixels(image, cell), 0)), crumb)
    ordered = largest_first(merged)
    return np.where(np.bincount(ordered.ravel())[ordered] < crumb, 0, ordered)


def regions(values: np.ndarray) -> np.ndarray:
    """Numbers the 4-connected regions of equal value.

    Args:
      values: [H, W] int, 0 = outside.
    Returns:
      [H, W] int32, 0 = outside, regions from 1.
    """
    height, width = values.shape
    # The map is drawn at twice its size, and neighbours of equal value are linked by the pixel
    # between them. The components of that drawing are the regions of all values at once.
    linked = np.zeros((2 * height - 1, 2 * width - 1), np.uint8)
    linked[::2, ::2] = values > 0
    linked[1::2, ::2] = (values[1:] == values[:-1]) & (values[1:] > 0)
    linked[::2, 1::2] = (values[:, 1:] == values[:, :-1]) & (values[:, 1:] > 0)
    return cv2.connectedComponents(linked, connectivity=4)[1][::2, ::2]


def merge_crumbs(segments: np.ndarray, crumb: int) -> np.ndarray:
    """Merges every segment of fewer than `crumb` pixels into the neighbour that it touches most.

    A crumb that touches no other segment stays as it is.

    Args:
      segments: [H, W] int32, 0 = outside.
      crumb: pixels.
    Returns:
      [H, W] int32, 0 = outside, segments from 1 without gaps.
    """
    while True:
        sizes = np.bincount(segments.ravel())
        sizes[0] = 0
        owner, other, touching = _neighbours(segments)
        # A crumb only merges into a larger segment, or into one of its size with a higher number.
        # So no two merge into each other, and every round merges at least one.
        upwards = (sizes[other] > sizes[owner]) | ((sizes[other] == sizes[owner]) & (other > owner))
        some = upwards & (sizes[owner] < crumb)
        if not some.any():
            break
        owner, other, touching = owner[some], other[some], touching[some]
        order = np.lexsort((other, sizes[other], touching, owner))  # an owner's last is its best
        last = np.append(np.diff(owner[order]) > 0, True)
        into = np.arange(len(sizes))
        into[owner[order][last]] = other[order][last]
        while (into != into[into]).any():
            into = into[into]
        segments = into[segments]
    return renumbered(segments)


def _neighbours(segments: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs of 8-connected segments, each in both orders, and how many pixel pairs touch.

    Returns:
      Three arrays, [pairs] int64: one segment, the other, and the count.
    """
    pairs = []
    for a, b in (
        (segments[:, 1:], segments[:, :-1]),
        (segments[1:], segments[:-1]),
        (segments[1:, 1:], segments[:-1, :-1]),
        (segments[1:, :-1], segments[:-1, 1:]),
    ):
        touch = (a != b) & (a > 0) & (b > 0)
        pairs += [np.stack([a[touch], b[touch]]), np.stack([b[touch], a[touch]])]
    joined = np.concatenate(pairs, 1).astype(np.int64)
    base = int(segments.max()) + 1
    keys, counts = np.unique(joined[0] * base + joined[1], return_counts=True)
    return keys // base, keys % base, counts


def largest_first(segments: np.ndarray) -> np.ndarray:
    """The same segments, numbered from the largest; those of one size stay in their order.

    Args:
      segments: [H, W] int32, 0 = outside, segments from 1.
    Returns:
      [H, W] int32.
    """
    sizes = np.bincount(segments.ravel())[1:]
    number = np.zeros(len(sizes) + 1, np.int32)
    number[1 + np.argsort(-sizes, kind="stable")] = np.arange(1, len(sizes) + 1)
    return number[segments]
