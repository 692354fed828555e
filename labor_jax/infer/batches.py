"""Inference on a domain: images are read, batched and inferred side by side, and come in order.

A program is compiled for each shape. What the networks see has one shape, and only their answer has
the image's native size. In a domain of many sizes, each image's answer is therefore at the top left
of one of a few *canvases*, and is cut out of it on the host.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from labor_jax.data import transforms
from labor_jax.data.domain import Domain
from labor_jax.util.ahead import ahead

__all__ = [
    "CANVASES",
    "THREADS",
    "Batch",
    "Infer",
    "Size",
    "canvases",
    "inferred",
    "native_sizes",
    "natives_of",
    "placed",
    "together",
]

Size = tuple[int, int]
"""(height, width) in pixels."""

Infer = Callable[..., Sequence[np.ndarray]]
"""(images [B, h, w, 3] uint8 as large as the network sees them, (H, W), natives = None) -> B of
[H, W] uint8 train ids, or of [H, W, C] float32 probabilities.

With natives [B, 2] int32, at most (H, W), each image's answer has its own (height, width).
"""

CANVASES = 4
"""The most canvases of a domain."""

THREADS = max(2, min(16, (os.cpu_count() or 1) // 2))
"""How many threads read images."""

Item = TypeVar("Item")
Row = TypeVar("Row")


class Batch(NamedTuple):
    """Some images of a domain, as the networks take them.

    Attributes:
      indices: of the N images.
      sizes: the native size of each.
      canvas: (H, W), at least as large as each of them.
      natives: [B, 2] int32, the sizes of all rows; None: all are the canvas's.
      images: [B, h, w, 3] uint8 with B >= N, or a tuple of their levels where the domain has
        features. Copies of the last image fill up the batch.
    """

    indices: list[int]
    sizes: list[Size]
    canvas: Size
    natives: np.ndarray | None
    images: Any

    def filled(self, rows: Sequence[Any]) -> np.ndarray:
        """An array of as many rows as `images` has, from one for each image."""
        number = jax.tree.leaves(self.images)[0].shape[0]
        return np.stack([*rows, *rows[-1:] * (number - len(rows))])


def inferred(
    domain: Domain,
    size: Size,
    batch_size: int,
    infer: Callable[[Batch], Sequence[Row]],
    fits: Mapping[Size, Size] | None = None,
) -> Iterator[tuple[int, Row]]:
    """Each image's index and what `infer` makes of it, in order.

    Threads read ahead, and one more waits for the device.

    Args:
      size: (h, w) the network sees.
      batch_size: images at once.
      infer: called in a thread; gives a row for each image, or for each row of the batch.
      fits: the canvas of each size; None = `canvases` of this domain's.
    """
    fits = canvases(native_sizes(domain)) if fits is None else fits

    def read(index: int) -> tuple[int, Size, Any]:
        return index, *_seen(domain, index, size)

    def run(batch: Batch) -> list[tuple[int, Row]]:
        return list(zip(batch.indices, infer(batch), strict=False))

    found = ahead(read, range(len(domain.ids)), THREADS, 4 * THREADS)
    batches = together(found, lambda one: fits.get(one[1], one[1]), batch_size)
    made = (_batch(some, rows, fits) for some, rows in batches)
    waiting: dict[int, Row] = {}
    following = 0
    for rows in ahead(run, made, threads=1, limit=2):
        waiting.update(rows)
        while following in waiting:
            yield following, waiting.pop(following)
            following += 1


def together(
    items: Iterable[Item], canvas_of: Callable[[Item], Size], batch_size: int
) -> Iterator[tuple[list[Item], int]]:
    """Batches of items of one canvas; at most a few batches' items wait to be filled up.

    Yields:
      Some items, in order; how many rows their batch should have, since filling it up with copies
      takes less time than compiling for fewer.
    """
    waiting: dict[Size, list[Item]] = {}  # by the first one's age
    known = set[Size]()
    for item in items:
        canvas = canvas_of(item)
        waiting.setdefault(canvas, []).append(item)
        if len(waiting[canvas]) < batch_size:
            if sum(map(len, waiting.values())) < 4 * batch_size:
                continue
            canvas = next(iter(waiting))
        known.add(canvas)
        yield waiting.pop(canvas), batch_size
    for canvas, some in waiting.items():
        yield some, batch_size if canvas in known else len(some)


def canvases(sizes: Iterable[Size]) -> Mapping[Size, Size]:
    """The canvas of each size of a domain.

    Up to `CANVASES` different sizes are their own canvases. More of them are parted, one cut after
    the other, by height, by width or by their ratio, where it saves the most pixels. A part's
    canvas is as high as its highest image and as wide as its widest.

    Args:
      sizes: (H, W) of each image.
    """
    distinct, counts = np.unique(np.array([*sizes]).reshape(-1, 2), axis=0, return_counts=True)
    if len(distinct) <= CANVASES:
        parts = list(np.arange(len(distinct))[:, None])
    else:
        parts = [np.arange(len(distinct))]
        while len(parts) < CANVASES:
            cuts = [(*_best_cut(distinct[part], counts[part]), n) for n, part in enumerate(parts)]
            _, order, at, n = max(cuts, key=lambda cut: cut[0])
            part = parts.pop(n)[order]
            parts += [part[:at], part[at:]]
    found: dict[Size, Size] = {}
    for part in parts:
        height, width = distinct[part].max(0).tolist()
        found |= dict.fromkeys(map(tuple, distinct[part].tolist()), (height, width))
    return found


def placed(values: np.ndarray, canvas: Size) -> np.ndarray:
    """An array [h, w] at the top left of a canvas [H, W], which is 0 elsewhere."""
    return np.pad(values, [(0, n - own) for own, n in zip(values.shape, canvas, strict=True)])


def native_sizes(domain: Domain) -> list[Size]:
    """The size of each image; [] where they cannot be had without reading all pixels."""
    if domain.features is not None:
        return [(height, width) for height, width in domain.features.sizes.tolist()]
    if domain.headers is None:
        return []
    headers = ahead(domain.headers, range(len(domain.ids)), THREADS, 4 * THREADS)
    return [header.size for header in headers]


def natives_of(sizes: list[Size], rows: int, fits: Mapping[Size, Size]) -> np.ndarray | None:
    """The argument of `Infer`: [rows, 2] int32, the last size repeated.

    It is None, since shapes tell as much, in a domain whose sizes are their own canvases.
    """
    if len(fits) <= CANVASES:
        return None
    return np.array(sizes + sizes[-1:] * (rows - len(sizes)), np.int32)


def _best_cut(sizes: np.ndarray, counts: np.ndarray) -> tuple[int, np.ndarray, int]:
    """How many pixels the best cut into two canvases saves; the order of sizes, where it is cut."""

    def pixels(order: np.ndarray) -> np.ndarray:
        """Of the canvases of the first 1, 2, … sizes in this order."""
        return np.maximum.accumulate(sizes[order]).prod(1) * np.cumsum(counts[order])

    best = (0, np.arange(len(sizes)), len(sizes))
    for value in (sizes[:, 0], sizes[:, 1], sizes[:, 0] / sizes[:, 1]):
        order = np.argsort(value, kind="stable")
        whole = pixels(order)
        saved = whole[-1] - whole[:-1] - pixels(order[::-1])[::-1][1:]
        if saved.size and saved.max() > best[0]:
            best = (int(saved.max()), order, int(saved.argmax()) + 1)
    return best


def _batch(some: list[tuple[int, Size, Any]], rows: int, fits: Mapping[Size, Size]) -> Batch:
    indices, sizes, seen = map(list, zip(*some, strict=True))
    canvas = fits.get(sizes[0], sizes[0])
    copies = rows - len(some)
    images = jax.tree.map(lambda *each: np.stack(each), *seen, *seen[-1:] * copies)
    return Batch(indices, sizes, canvas, natives_of(sizes, rows, fits), images)


def _seen(domain: Domain, index: int, size: Size) -> tuple[Size, Any]:
    """An image's native (H, W), and what the network sees of it."""
    if domain.features is not None:
        height, width = domain.features.sizes[index]
        return (int(height), int(width)), domain.features.read(index)
    image = domain.read_image(index)
    return (image.shape[0], image.shape[1]), transforms.resize_image(image, size)
