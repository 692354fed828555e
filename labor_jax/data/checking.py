"""Reads every file of a data set once, and counts what is in it."""

import os
from typing import NamedTuple

import numpy as np

from labor_jax.data import labels
from labor_jax.data.domain import Domain
from labor_jax.data.labels import ClassTable
from labor_jax.util.ahead import ahead
from labor_jax.util.progress import show_progress

THREADS = os.cpu_count() or 1
"""How many threads read and check files."""


class Split(NamedTuple):
    """How many images a split has, and how many pixels of each class, void last."""

    images: int
    pixels: np.ndarray | None


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

    Raises:
      UserError: a file is broken, a label has another size than its image, or it has a value that
        is not in the table. The error is the first such file's.
    """

    def count(index: int) -> np.ndarray:
        domain.read_image(index)
        label = domain.read_label(index) if domain.read_label else np.empty(0, np.uint8)
        return labels.count(label, len(table))

    number, pixels = len(domain.ids), np.zeros(len(table) + 1, np.int64)
    with show_progress(f"read {domain.name}", 0, number, "image") as progress:
        for done, counts in enumerate(ahead(count, range(number), THREADS, 4 * THREADS), start=1):
            pixels += counts
            progress.advance(done)
    return Split(number, pixels if domain.read_label else None)
