"""The journal: every answer in the order it was given. Label maps are derived from it.

It is one file, `annotations/journal.jsonl`, whose lines are only ever added. A line is a JSON
object:

    "query", "image", "stage", "kind"   of the query that it answers
    "piece"      the number of the query's point or segment
    "point"      [x, y], where the kind is "points"
    "runs"       [start, length, ...], where the kind is "segments": the pixels that get the class.
                 A segment of several classes has a line for each part
    "class"      a train id; 255 = unsure or void; null = skipped
    "seconds"    that the answer took a person; null where no person answered
    "annotator"  a name
    "version"    of labor_jax
    "classes"    the digest of the class table
    "id"         of a person's answer: one that is sent twice is written once
    "undo"       true takes back the answer that stands at the same place
    "second"     true marks a second opinion: it is compared with the first and gives no label
    "check"      true where the answer is known (see `checks`): it gives no label
    "shown"      true where a model's prediction was in sight; with "model" and "guess". False where
                 answers verify guesses and this one was not shown
    "model"      the version of the model whose guess the line has
    "guess"      the class, a train id, that this version predicted there
    "confidence" where answers verify guesses: the probability that it gave to its guess
    "together"   how many pieces were confirmed at once, this one among them

An answer stands if no later line took it back or replaced it. Its place is its piece, and within a
segment the first pixel of its runs.
"""

import json
import math
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

import labor_jax
from labor_jax.annotation.queries import Query, fixes, pieces
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
    "fitting",
    "label_map",
    "labelling",
    "labels_path",
    "lines",
    "on_disk",
    "open_pieces",
    "path",
    "pixels",
    "place",
    "read",
    "standing",
    "standing_fixes",
    "write_labels",
]


Answer = dict[str, Any]


def answer(query: Query, piece: int, label: int | None, annotator: str, **where: Any) -> Answer:
    """A line of the journal that answers a piece of a query.

    Args:
      label: the class, a train id; 255 = unsure or void; None = skipped.
      where: point=[x, y] or runs=[start, length, ...]; optional keys of a line, too.
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
    """The journal's file."""
    return pathlib.Path(workdir, "annotations", "journal.jsonl")


def append(workdir: str | os.PathLike, answers: Iterable[Answer], table: ClassTable) -> None:
    """Adds answers, and returns when they are on disk.

    A last line without its end was left by a killed program, which had not confirmed it. It is cut
    off before. Only the holder of `lock.ANSWERS` adds answers; threads and programs that are not
    asked to hold it take turns.

    Raises:
      OSError: they cannot be written, for example because the disk is full; none was added.
    """
    digest = table.digest()
    lines = "".join(json.dumps(a | {"classes": digest}) + "\n" for a in answers).encode()
    files.append_lines(path(workdir), lines)


def lines(workdir: str | os.PathLike, table: ClassTable) -> list[Answer]:
    """All lines of the journal, in order: undone, skipped and second answers too.

    A last line without its end is left out: it is being written, or a killed program left it.

    Raises:
      UserError: a line is damaged, or was answered with another class table.
    """
    return [entry for _, entry in _placed(workdir, table)]


def _placed(workdir: str | os.PathLike, table: ClassTable) -> Iterator[tuple[int, Answer]]:
    """`lines` one at a time, each with the byte at which it begins."""
    file = path(workdir)
    if not file.exists():
        return
    end = files.whole_lines(file)
    place, digest = 0, table.digest()
    with open(file, "rb") as opened:
        for number, line in enumerate(opened, start=1):
            if place == end:  # the rest is half a line, or was added since
                return
            entry = _entry(line)
            own = entry is not None and entry["classes"] == digest
            if entry is None or (own and len(table) <= (entry["class"] or 0) < IGNORE):
                raise UserError(f"{file}: line {number} is damaged; restore it from a copy")
            if not own:
                raise UserError(
                    f"{file}: line {number} was answered with another class table; "
                    f"give config.classes as it was, or another --workdir"
                )
            yield place, entry
            place += len(line)


def _entry(line: bytes) -> Answer | None:
    """A line's object; None where it is none that this program has written."""
    try:
        entry = json.loads(line)
        given = entry["class"] is not None and not entry.get("undo")
        whole = (
            all(isinstance(entry[key], str) for key in ("query", "image", "annotator", "classes"))
            and all(_is_count(entry[key]) for key in ("stage", "piece"))
            and (entry["class"] is None or _is_count(entry["class"], IGNORE))
            and (entry["seconds"] is None or _is_time(entry["seconds"]))
            and isinstance(entry.get("id", ""), str)
            and _is_count(entry.get("guess", 0), IGNORE)
            and _is_time(entry.get("confidence", 0))
            and KINDS[entry["kind"]](entry, given)
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return entry if whole else None


def _is_count(value: Any, most: int = 2**40) -> bool:
    return type(value) is int and 0 <= value <= most


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf


def _has_point(entry: Answer, given: bool) -> bool:
    point = entry["point"] if given else entry.get("point", [0, 0])
    return len(point) == 2 and all(map(_is_count, point)) and "runs" not in entry


def _has_runs(entry: Answer, given: bool) -> bool:
    runs = entry["runs"] if given else entry.get("runs", [0, 1])
    whole = len(runs) > 0 and len(runs) % 2 == 0 and all(map(_is_count, runs))
    return whole and 0 < sum(runs[1::2]) <= MOST_PIXELS and "point" not in entry


KINDS = {"points": _has_point, "segments": _has_runs}
"""By kind: (line, whether it gives a class) -> whether its place is one of that kind."""
MOST_PIXELS = 2**26
"""More pixels than an answer to a segment has."""


def fitting(query: Query, answers: Iterable[Answer]) -> list[Answer]:
    """The answers to a query, after a check that they are about its pieces and lie in its image.

    Raises:
      UserError: one does not; the journal or the queries were changed.
    """
    found, (height, width), number = list(answers), query["size"], len(pieces(query))
    for entry in found:
        x, y = entry.get("point", (0, 0))
        starts, lengths = entry.get("runs", ())[::2], entry.get("runs", ())[1::2]
        last = max((a + n for a, n in zip(starts, lengths, strict=True)), default=0)
        same = all(entry[key] == query[key] for key in ("image", "kind"))
        same &= entry["piece"] < number
        if not same or x >= width or y >= height or last > height * width:
            raise UserError(
                f"annotations/journal.jsonl: an answer to {query['id']!r} is about something else "
                f"than queries/stage_{query['stage']}.jsonl asks; restore both files from a copy"
            )
    return found


def read(workdir: str | os.PathLike, table: ClassTable) -> list[Answer]:
    """The answers that stand and give labels, in order.

    Raises:
      UserError: as `lines`.
    """
    return labelling(lines(workdir, table))


def labelling(entries: Iterable[Answer]) -> list[Answer]:
    """The answers that stand and give labels, in order: second opinions and checks give none.

    Args:
      entries: lines of the journal, in its order.
    """
    return standing(e for e in entries if not (e.get("second") or e.get("check")))


def on_disk(workdir: str | os.PathLike, table: ClassTable) -> files.Index:
    """`lines` by their query's id; they are read from disk at each access.

    The answers to all segments of a large data set can be more than memory holds.

    Raises:
      UserError: as `lines`.
    """
    file = path(workdir)
    return files.Index((file, place, a["query"]) for place, a in _placed(workdir, table))


def answers_to(query: Query, written: Mapping[str, list[Answer]]) -> list[Answer]:
    """The answers to a query that stand and give labels.

    Args:
      written: the journal's lines by query, as `on_disk` gives them.
    Raises:
      UserError: as `fitting`.
    """
    return fitting(query, labelling(written.get(query["id"], [])))


def standing_fixes(workdir: str | os.PathLike, table: ClassTable) -> dict[str, list[Query]]:
    """`queries.fixes` without those that were taken back.

    Raises:
      UserError: as `lines`, or the file of the fixes is damaged.
    """
    if not (found := fixes(workdir)):
        return found
    written = on_disk(workdir, table)
    return {image: [x for x in own if answers_to(x, written)] for image, own in found.items()}


def standing(entries: Iterable[Answer]) -> list[Answer]:
    """The answers that stand, in order: neither taken back nor replaced; skipped ones are left out.

    Args:
      entries: lines of the journal, in its order.
    """
    stand: dict[tuple, Answer] = {}
    for entry in entries:
        key = (entry["query"], entry.get("second") and entry["annotator"], place(entry))
        if entry.get("undo"):
            stand.pop(key, None)
        elif entry["class"] is not None:
            stand[key] = entry
    return list(stand.values())


def by_query(answers: Iterable[Answer]) -> dict[str, list[Answer]]:
    """Answers by their query's id, in order."""
    found: dict[str, list[Answer]] = {}
    for entry in answers:
        found.setdefault(entry["query"], []).append(entry)
    return found


def open_pieces(query: Query, answers: Iterable[Answer]) -> list[int]:
    """The numbers of the pieces that have a pixel without an answer.

    Args:
      answers: those to this query that stand; parts of a segment do not overlap.
    """
    points = query["kind"] == "points"
    left = [1 if points else sum(piece[1::2]) for piece in pieces(query)]
    for entry in answers:
        left[entry["piece"]] -= 1 if points else sum(entry["runs"][1::2])
    return [piece for piece, pixels in enumerate(left) if pixels > 0]


def label_map(answers: Iterable[Answer], size: tuple[int, int]) -> np.ndarray:
    """The label map that an image's answers give: [H, W] uint8 train ids, 255 = no label.

    Args:
      answers: those to the image's queries that stand.
      size: (H, W).
    """
    label = np.full(size[0] * size[1], IGNORE, np.uint8)
    for entry in answers:
        label[pixels(entry, size)] = entry["class"]
    return label.reshape(size)


def pixels(entry: Answer, size: tuple[int, int]) -> np.ndarray:
    """The flat pixel numbers that an answer is about, in an image of size (H, W): [N] int64."""
    if entry["kind"] == "segments":
        return run_pixels(entry["runs"])
    x, y = entry["point"]
    return np.array([y * size[1] + x])


def labels_path(workdir: str | os.PathLike, image: str) -> pathlib.Path:
    """The file of an image's label map; there is none where nothing was answered."""
    return pathlib.Path(workdir, "annotations", "labels", f"{image}.png")


def write_labels(
    workdir: str | os.PathLike,
    answers: Iterable[Answer],
    sizes: dict[str, tuple[int, int]],
    table: ClassTable,
) -> None:
    """Writes the label map of every image that has answers, `annotations/labels/IMAGE.png`.

    The files may be deleted at any time: they can be made again. That of an image without answers
    is deleted: they were taken back, or do not count any more.

    Args:
      answers: those that stand, of all stages that count.
      sizes: (H, W) by image, of all images that this is about.
      table: its palette colours the files.
    """
    by_image: dict[str, list[Answer]] = {}
    for entry in answers:
        by_image.setdefault(entry["image"], []).append(entry)
    for image in sizes.keys() - by_image.keys():
        labels_path(workdir, image).unlink(missing_ok=True)
    for image, entries in by_image.items():
        images.write_label_png(labels_path(workdir, image), label_map(entries, sizes[image]), table)


def place(entry: Answer) -> tuple:
    """An answer's place in its query: the piece and, of a point or of its runs, the first pixel."""
    return (entry["piece"], *entry.get("point", ()), *entry.get("runs", ())[:1])
