"""Checks: questions whose answer is known, mixed in with others to tell how well people answer.

`queries/checks.jsonl` has a line for each check, added when it is given to somebody. It is a query,
see `queries`, whose id is "check/NUMBER", and has besides

    "for"    the annotator who gets it; nobody else does
    "known"  the right class of each piece, a train id; null where none is known
    "by"     whose answers these are: an annotator's name, or null where they are labels

The image of a check on `config.val` is "val:" and its id. No answer to a check gives a label, and
no person gets the same one twice.
"""

import collections
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from labor_jax.annotation import journal
from labor_jax.annotation import queries as q
from labor_jax.annotation.journal import Answer
from labor_jax.data.domain import Domain
from labor_jax.data.labels import IGNORE
from labor_jax.util import files, rng
from labor_jax.util.errors import UserError

__all__ = [
    "VAL",
    "Checks",
    "Maker",
    "append",
    "from_labels",
    "from_people",
    "is_check",
    "path",
    "read",
]

VAL = "val:"
"""What the name of a check's image begins with if it is one of `config.val`."""
MARGIN = 2
"""A check's pixel has no other class within so many pixels, in each direction [ours]."""

Answered = Iterable[tuple[q.Query, list[Answer]]]
"""Queries that are no checks, and the answers to each that stand."""
Maker = Callable[[str, str, Sequence[q.Query], Answered], q.Query | None]
"""(its id, an annotator, the checks that were made for them, what was answered) -> a new check;
None where none can be made."""


class Checks(NamedTuple):
    """How a run checks people.

    Attributes:
      make: makes a check.
      share: of the tasks that somebody begins, how many are checks, `config.checks.share`.
      seed: `config.seed`.
    """

    make: Maker
    share: float
    seed: int

    def is_next(self, annotator: str, begun: int) -> bool:
        """Whether a person who has begun so many tasks, checks among them, gets a check next."""
        return rng.generator(self.seed, f"checks/{annotator}", begun).random() < self.share


def is_check(query: q.Query) -> bool:
    """Whether a query is one."""
    return "known" in query


def path(workdir: str | os.PathLike) -> pathlib.Path:
    """The file of a run's checks."""
    return pathlib.Path(workdir, "queries", "checks.jsonl")


def read(workdir: str | os.PathLike) -> list[q.Query]:
    """A run's checks, in order; half a line at the end is left out: it is being written.

    Raises:
      UserError: the file is damaged.
    """
    file = path(workdir)
    try:
        return [check for _, check in files.json_lines(file, growing=True)]
    except ValueError:
        raise UserError(f"{file}: damaged; restore it from a copy") from None


def append(workdir: str | os.PathLike, check: q.Query) -> None:
    """Adds a check to the file, and returns when it is on disk.

    Raises:
      OSError: it cannot be written; the file is as it was.
    """
    files.append_lines(path(workdir), f"{json.dumps(check)}\n".encode())


def from_labels(val: Domain, number: int, seed: int) -> Maker:
    """Makes checks of points of labelled images, of each of an image's classes as often.

    A person sees each image once before one comes again, with other points.

    Args:
      val: with labels.
      number: the points of a check.
      seed: `config.seed`.
    """
    assert val.read_label is not None
    label_of = val.read_label

    def make(name: str, annotator: str, before: Sequence[q.Query], _: Answered) -> q.Query | None:
        random = rng.generator(seed, f"checks/points/{annotator}", len(before))
        times = collections.Counter(check["image"] for check in before)
        order = random.permutation(len(val.ids)).tolist()
        order.sort(key=lambda i: times[VAL + val.ids[i]])
        for index in order:
            image, label = VAL + val.ids[index], label_of(index)
            free = _clear(label)
            for check in before:
                if check["image"] == image:
                    free.ravel()[q.asked_pixels(check)] = False
            if points := _by_class(label, free, number, random):
                known = [int(label[at]) for at in points]
                query = q.point_query(image, 1, label.shape, points)
                return query | {"id": name, "for": annotator, "known": known, "by": None}
        return None

    return make


def _clear(label: np.ndarray) -> np.ndarray:
    """[H, W] bool: the pixels of a class that have no other class, or void, within `MARGIN`."""
    window = np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8)
    same = cv2.erode(label, window) == cv2.dilate(label, window)
    return same & (label != IGNORE)


def _by_class(
    label: np.ndarray, free: np.ndarray, number: int, random: np.random.Generator
) -> list[tuple[int, int]]:
    """Up to `number` free pixels (row, column), the classes drawn as often as each other."""
    left = {
        int(k): random.permutation(np.flatnonzero(free & (label == k))).tolist()
        for k in np.unique(label[free])
    }
    found: list[tuple[int, int]] = []
    while left and len(found) < number:
        some = random.choice(sorted(left))
        row, column = divmod(left[some].pop(), label.shape[1])
        found.append((row, column))
        left = {k: pixels for k, pixels in left.items() if pixels}
    return found


def from_people(number: int, seed: int) -> Maker:
    """Makes checks of pieces that somebody else has answered, of one query each.

    Args:
      number: the most pieces of a check.
      seed: `config.seed`.
    """

    def make(
        name: str, annotator: str, before: Sequence[q.Query], answered: Answered
    ) -> q.Query | None:
        had = {(check["image"], json.dumps(p)) for check in before for p in q.pieces(check)}
        found = []
        for query, answers in answered:
            by = {entry["annotator"] for entry in answers}
            known = {e["piece"]: e["class"] for e in answers if _is_whole(query, e)}
            known = {
                piece: label
                for piece, label in known.items()
                if (query["image"], json.dumps(q.pieces(query)[piece])) not in had
            }
            if len(by) == 1 and annotator not in by and known:
                found.append((query, min(by), known))
        if not found:
            return None
        random = rng.generator(seed, f"checks/pieces/{annotator}", len(before))
        query, other, known = found[random.integers(len(found))]
        some = sorted(random.permutation(sorted(known))[:number].tolist())
        same = {key: query[key] for key in ("image", "stage", "kind", "size")}
        pieces = {query["kind"]: [q.pieces(query)[piece] for piece in some]}
        known_ones = {"known": [known[piece] for piece in some], "by": other}
        return {"id": name} | same | pieces | {"for": annotator} | known_ones

    return make


def _is_whole(query: q.Query, entry: Answer) -> bool:
    """Whether an answer gives a whole piece one class."""
    if entry["class"] == IGNORE:
        return False
    size = tuple(query["size"])
    pixels = len(journal.pixels(entry, size))
    return pixels == len(q.piece_pixels(query, entry["piece"]))
