"""Predicts images that are too large for a network at once, by overlapping tiles.

Beyond a tile's edges the network sees zeros where the whole image would go on. Only a tile's middle
is therefore used. If it is farther from the edges than the network's receptive field reaches, tiles
give exactly the result of the whole image. This needs two conditions. Tiles start at multiples of
the output stride s, and tiles and the padded image are k s + 1 pixels long. Then a tile's features
are at the positions of the image's features, since padding is equal on both sides at every stride,
and upsampling with aligned corners interpolates both between the same pixels.
"""

import itertools
from typing import NamedTuple

import numpy as np

from labor_jax.infer.batches import Infer
from labor_jax.util.errors import UserError

__all__ = [
    "Span",
    "by_tiles",
    "padded",
    "spans",
]


class Span(NamedTuple):
    """A tile along one axis, in pixels: where it starts, and from where to where it is used."""

    start: int
    first: int
    last: int


def padded(length: int, stride: int) -> int:
    """The smallest k stride + 1 that is not smaller."""
    return -(-(length - 1) // stride) * stride + 1


def spans(length: int, tile: int, overlap: int, stride: int) -> tuple[int, list[Span]]:
    """Tiles along an axis.

    Args:
      length: of the padded image, k stride + 1 pixels.
      tile: the wanted length in pixels.
      overlap: the fewest pixels that a tile shares with the next one.
      stride: the network's output stride.
    Returns:
      The tiles' length, k stride + 1 and at most the image's; the tiles, which cover the image.
      A tile is used up to the middle of an overlap, which is `overlap // 2` pixels or more from its
      edge. It is used up to its edge if that is the image's edge.
    """
    size = min(padded(tile, stride), length)
    step = max(stride, (size - overlap) // stride * stride)
    starts = [*range(0, length - size, step), length - size]
    cuts = [(a + size + b) // 2 for a, b in itertools.pairwise(starts)]
    edges = zip(starts, [0, *cuts], [*cuts, length], strict=True)
    return size, [Span(*edge) for edge in edges]


def by_tiles(
    infer: Infer,
    image: np.ndarray,
    tile: tuple[int, int],
    overlap: int,
    stride: int,
    batch_size: int,
) -> np.ndarray:
    """Applies `infer` to an image tile by tile.

    Args:
      infer: (tiles [B, h, w, 3] uint8, (h, w)) -> [B, h, w, …].
      image: [H, W, 3] uint8.
      tile: (height, width) in pixels of the image; rounded up to k stride + 1.
      overlap: the fewest pixels that neighbouring tiles share.
      stride: the network's output stride.
      batch_size: tiles at once.
    Returns:
      [H, W, …].
    Raises:
      UserError: the tiles are too small for the stride or for their overlap.
    """
    height, width = image.shape[:2]
    filled = [(0, padded(n, stride) - n) for n in (height, width)]
    image = np.pad(image, [*filled, (0, 0)], mode="edge")
    parted = [t for t, n in zip(tile, image.shape[:2], strict=True) if padded(t, stride) < n]
    smallest = stride + max(stride, overlap)
    if min(tile) < 1 or overlap < 0 or any(length < smallest for length in parted):
        raise UserError(
            f"tile {tile[0]}x{tile[1]}, overlap {overlap}: give tiles of {2 * stride} pixels or "
            f"more, and an overlap that is {stride} pixels smaller than they are"
        )
    (high, rows), (wide, columns) = (
        spans(n, t, overlap, stride) for n, t in zip(image.shape[:2], tile, strict=True)
    )
    places = [(row, column) for row in rows for column in columns]
    # All batches have one size, which is compiled once. The last tile fills up the last batch.
    at_once = -(-len(places) // -(-len(places) // batch_size))
    places += places[-1:] * (-len(places) % at_once)
    out = None
    for some in zip(*[iter(places)] * at_once, strict=True):
        tiles = [image[r.start : r.start + high, c.start : c.start + wide] for r, c in some]
        for (r, c), found in zip(some, infer(np.stack(tiles), (high, wide)), strict=True):
            if out is None:
                out = np.empty((*image.shape[:2], *found.shape[2:]), found.dtype)
            out[r.first : r.last, c.first : c.last] = found[
                r.first - r.start : r.last - r.start, c.first - c.start : c.last - c.start
            ]
    assert out is not None  # there is at least one tile
    return out[:height, :width]
