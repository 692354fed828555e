"""Reads every file of a data set once, and counts what is in it."""

import os
from typing import NamedTuple

import numpy as np

from labor_jax.data import dataset, labels
from labor_jax.data.domain import Domain, Headers
from labor_jax.data.labels import ClassTable
from labor_jax.util import errors
from labor_jax.util.ahead import ahead, tried
from labor_jax.util.errors import UserError
from labor_jax.util.progress import show_progress
from labor_jax.util.tally import Tally, counted

UNUSABLE = "that cannot be used"
THREADS = os.cpu_count() or 1
"""How many threads read and check files."""


class Split(NamedTuple):
    """What is in a split.

    Attributes:
      images: how many.
      pixels: [C + 1] int64, how many of each class, void last; None without labels.
      told: lines about what was left out or changed.
      broken: the fault of each image that cannot be used.
    """

    images: int
    pixels: np.ndarray | None
    told: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


def table_of_shares(splits: dict[str, Split], table: ClassTable) -> str:
    """A text table of each split's images and percent of pixels by class; "-" without labels."""
    shares = {
        name: None if split.pixels is None else 100 * split.pixels / max(split.pixels.sum(), 1)
        for name, split in splits.items()
    }
    width = max(13, *(len(name) + 2 for name in splits))
    rows = [("", *splits), ("images", *(str(split.images) for split in splits.values()))]
    labelled = any(share is not None for share in shares.values())
    for k, name in enumerate([*table.names, "void"] if labelled else []):
        cells = ("-" if share is None else f"{share[k]:.2f} %" for share in shares.values())
        rows.append((name, *cells))
    return "\n".join(row[0].ljust(16) + "".join(f"{v:>{width}}" for v in row[1:]) for row in rows)


def checked(domain: Domain, table: ClassTable) -> Split:
    """Reads every file of a split once and counts images and pixels.

    An image does not count if one of its files is broken, its label has another size, or a value
    in it is not in the table: it is told with its fault.
    """

    def count(index: int) -> tuple[np.ndarray, Headers | None]:
        domain.read_image(index)
        label = domain.read_label(index) if domain.read_label else np.empty(0, np.uint8)
        return labels.count(label, len(table)), domain.headers(index) if domain.headers else None

    number, pixels = len(domain.ids), np.zeros(len(table) + 1, np.int64)
    tally, broken = Tally("image"), list[str]()
    if domain.tally:
        tally.merge(domain.tally)
    with show_progress(f"read {domain.name}", 0, number, "image") as progress:
        every = ahead(tried(count), range(number), THREADS, 4 * THREADS)
        for index, found in enumerate(every):
            progress.advance(index + 1)
            if isinstance(found, Exception):
                broken.append(errors.told_of(domain.ids[index], found))
                tally.leave_out("image", UNUSABLE, broken[-1])
                continue
            counts, of_files = found
            pixels += counts
            tally.take()
            for verb, noun, reason in of_files.changes if of_files else ():
                tally.change(verb, noun, reason, domain.ids[index])
    shares = pixels if domain.read_label else None
    return Split(tally.taken, shares, tuple(tally.told()), tuple(broken))


def headers(domain: Domain) -> tuple[dict[int, Headers], Tally]:
    """What the first bytes of a domain's files say, by index, and what was left out or is changed.

    Where headers cannot be had at little cost, they are those of the first image alone.

    Raises:
      UserError: files are no images; the error names the first of them.
    """
    tally, found = Tally("image"), dict[int, Headers]()
    if domain.tally:
        tally.merge(domain.tally)
    number = len(domain.ids)
    tally.take(number)
    if domain.headers is None:
        if number:
            height, width = domain.read_image(0).shape[:2]
            found[0] = Headers((height, width))
        return found, tally
    broken: list[Exception] = []
    every = ahead(tried(domain.headers), range(number), THREADS, 4 * THREADS)
    for index, one in enumerate(dataset.track(every, number, f"looking at {domain.name}")):
        if isinstance(one, Exception):
            broken.append(one)
            continue
        found[index] = one
        for verb, noun, reason in one.changes:
            tally.change(verb, noun, reason, domain.ids[index])
    if broken and not isinstance(broken[0], UserError):
        raise broken[0]
    if broken:
        more = f" (and {counted(len(broken) - 1, 'image')} more)" if broken[1:] else ""
        raise UserError(f"{broken[0]}{more}")
    return found, tally
