"""The journal: every answer, in order, one JSON line each. The truth that labels derive from.

A line: {"query", "piece", "image", "stage", "kind", "class" (255 = unsure or void, null = skipped),
"point": [x, y] or "runs": [start, length, ...], "seconds", "annotator", "version", "classes"}.
"piece" numbers the query's points or segments; a segment that holds several classes has a line for
each part. Lines of a person have an "id" besides, so that one sent twice is written once.

Nothing is ever taken out. "undo": true takes back the standing answer of the same place. A
"second": true is a second opinion: it is compared with the first and gives no label.
"""

import contextlib
import fcntl
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

import labor_jax
from labor_jax.annotation.queries import Query
from labor_jax.data import images
from labor_jax.data.labels import IGNORE, ClassTable
from labor_jax.selection.segments import run_pixels
from labor_jax.util import files
from labor_jax.util.errors import UserError

__all__ = [
    "Answer",
    "answer",
    "answers_to",
    "append",
    "by_query",
    "label_map",
    "labels_path",
    "lines",
    "on_disk",
    "open_pieces",
    "path",
    "place",
    "read",
    "standing",
    "write_labels",
]


Answer = dict[str, Any]


def answer(query: Query, piece: int, label: int | None, annotator: str, **where: Any) -> Answer:
    """An answer to a piece of a query; `where` is point=[x, y] or runs=[start, length, ...].

    `where` may also have the optional keys of a line.
    """
    return {
        "query": query["id"],
        "piece": piece,
        "image": query["image"],
        "stage": query["stage"],
        "kind": query["kind"],
        "class": None if label is None else int(label),
        "seconds": None,
        "annotator": annotator,
        "version": labor_jax.__version__,
        **where,
    }


def path(workdir: str | os.PathLike) -> pathlib.Path:
    """Where the journal is."""
    return pathlib.Path(workdir, "annotations", "journal.jsonl")


def append(workdir: str | os.PathLike, answers: Iterable[Answer], table: ClassTable) -> None:
    """Adds answers and returns when they are on disk; all of them, or on an error none.

    Raises:
      OSError: the disk is full, say.
    """
    digest = table.digest()
    lines = "".join(json.dumps(a | {"classes": digest}) + "\n" for a in answers).encode()
    path(workdir).parent.mkdir(parents=True, exist_ok=True)
    with _locked(workdir), open(path(workdir), "ab", buffering=0) as file:
        end = file.tell()
        try:
            while lines:
                lines = lines[file.write(lines) :]
            os.fsync(file.fileno())
        except BaseException:
            file.truncate(end)  # half a line would spoil the next one
            raise


def lines(workdir: str | os.PathLike, table: ClassTable) -> list[Answer]:
    """All that was ever written, in order: undone, skipped and second answers too.

    A last line that a killed program left half-written was never confirmed: it is cut off the file.

    Raises:
      UserError: a line in the middle is damaged, or was answered with another class table.
    """
    return [entry for _, entry in _placed(workdir, table)]


def _placed(workdir: str | os.PathLike, table: ClassTable) -> Iterator[tuple[int, Answer]]:
    """`lines`, read one at a time, each with its place in the file."""
    file = path(workdir)
    if not file.exists():
        return
    with _locked(workdir):
        end = _whole_lines(file)
        if end < file.stat().st_size:
            os.truncate(file, end)
    place, digest = 0, table.digest()
    with open(file, "rb") as opened:
        for number, line in enumerate(opened, start=1):
            if place == end:  # what follows was written since
                return
            try:
                entry = json.loads(line)
                other = entry["classes"] != digest
            except (ValueError, KeyError, TypeError):
                raise UserError(
                    f"{file}: line {number} is damaged; restore it from a copy"
                ) from None
            if other:
                raise UserError(
                    f"{file}: line {number} was answered with another class table; "
                    f"give config.classes as it was, or another --workdir"
                )
            yield place, entry
            place += len(line)


def _whole_lines(file: pathlib.Path, block: int = 2**16) -> int:
    """Where a file's last whole line ends, in bytes."""
    with open(file, "rb") as opened:
        left = opened.seek(0, os.SEEK_END)
        while left:
            start = max(0, left - block)
            opened.seek(start)
            found = opened.read(left - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            left = start
    return 0


def read(workdir: str | os.PathLike, table: ClassTable) -> list[Answer]:
    """The answers that stand and give labels, in order.

    Raises:
      UserError: as `lines`.
    """
    return standing(entry for entry in lines(workdir, table) if not entry.get("second"))


def on_disk(workdir: str | os.PathLike, table: ClassTable) -> files.Index:
    """`lines` by query, left on disk: all answers to segments may be more than memory holds.

    Raises:
      UserError: as `lines`.
    """
    file = path(workdir)
    return files.Index((file, place, a["query"]) for place, a in _placed(workdir, table))


def answers_to(query: Query, written: Mapping[str, list[Answer]]) -> list[Answer]:
    """The answers to a query that stand and give labels, of a journal's lines by query."""
    return standing(entry for entry in written.get(query["id"], []) if not entry.get("second"))


@contextlib.contextmanager
def _locked(workdir: str | os.PathLike) -> Iterator[None]:
    """No other program reads or writes the journal meanwhile."""
    folder = os.open(path(workdir).parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def standing(entries: Iterable[Answer]) -> list[Answer]:
    """The answers that were not taken back, in order; a skipped piece has none."""
    stand: dict[tuple, Answer] = {}
    for entry in entries:
        key = (entry["query"], entry.get("second") and entry["annotator"], place(entry))
        if entry.get("undo"):
            stand.pop(key, None)
        elif entry["class"] is not None:
            stand[key] = entry
    return list(stand.values())


def by_query(answers: Iterable[Answer]) -> dict[str, list[Answer]]:
    """Answers by their query's id."""
    found: dict[str, list[Answer]] = {}
    for entry in answers:
        found.setdefault(entry["query"], []).append(entry)
    return found


def open_pieces(query: Query, answers: Iterable[Answer]) -> list[int]:
    """The numbers of the pieces that are not, or not wholly, answered.

    Args:
      answers: that stand, of this query; parts of a segment do not overlap.
    """
    points = query["kind"] == "points"
    left = [1 if points else sum(piece[1::2]) for piece in query[query["kind"]]]
    for entry in answers:
        left[entry["piece"]] -= 1 if points else sum(entry["runs"][1::2])
    return [piece for piece, pixels in enumerate(left) if pixels > 0]


def label_map(answers: Iterable[Answer], size: tuple[int, int]) -> np.ndarray:
    """The labels [H, W] uint8 that an image's answers give, 255 where there is none."""
    label = np.full(size[0] * size[1], IGNORE, np.uint8)
    for entry in answers:
        if entry["kind"] == "points":
            column, row = entry["point"]
            label[row * size[1] + column] = entry["class"]
        else:
            label[run_pixels(entry["runs"])] = entry["class"]
    return label.reshape(size)


def labels_path(workdir: str | os.PathLike, image: str) -> pathlib.Path:
    """Where an image's labels are; no file where it has none."""
    return pathlib.Path(workdir, "annotations", "labels", f"{image}.png")


def write_labels(
    workdir: str | os.PathLike,
    answers: Iterable[Answer],
    sizes: dict[str, tuple[int, int]],
    table: ClassTable,
) -> None:
    """Derives `annotations/labels/IMAGE.png` from the answers; files may be deleted any time.

    Args:
      answers: of all stages that count.
      sizes: (H, W) of each image that was asked.
    """
    by_image: dict[str, list[Answer]] = {}
    for entry in answers:
        by_image.setdefault(entry["image"], []).append(entry)
    for image, entries in by_image.items():
        images.write_label_png(labels_path(workdir, image), label_map(entries, sizes[image]), table)


def place(entry: Answer) -> tuple:
    """What tells an answer's pixels apart from the others of its query."""
    return (entry["piece"], *entry.get("point", ()), *entry.get("runs", ())[:1])
