"""The journal: every answer, in order, one JSON line each. The truth that labels derive from.

A line: {"query", "piece", "image", "stage", "kind", "class" (255 = unsure or void), "point": [x, y]
or "runs": [start, length, ...], "seconds", "annotator", "version", "classes"}. "piece" numbers the
query's points or segments; a segment that holds several classes has a line for each part.
"""

import json
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

import labor_jax
from labor_jax import files, images
from labor_jax.annotation.query import run_pixels
from labor_jax.data.labels import IGNORE, ClassTable
from labor_jax.errors import UserError

Answer = dict[str, Any]


def answer(query: dict, piece: int, label: int, annotator: str, **where: Any) -> Answer:
    """An answer to a piece of a query; `where` is point=[x, y] or runs=[start, length, ...]."""
    return {
        "query": query["id"],
        "piece": piece,
        "image": query["image"],
        "stage": query["stage"],
        "kind": query["kind"],
        "class": int(label),
        **where,
        "seconds": None,
        "annotator": annotator,
        "version": labor_jax.__version__,
    }


def path(workdir: str | os.PathLike) -> pathlib.Path:
    """Where the journal is."""
    return pathlib.Path(workdir, "annotations", "journal.jsonl")


def append(workdir: str | os.PathLike, answers: Iterable[Answer], table: ClassTable) -> None:
    """Adds answers and returns when they are on disk."""
    digest = table.digest()
    lines = "".join(json.dumps(a | {"classes": digest}) + "\n" for a in answers)
    path(workdir).parent.mkdir(parents=True, exist_ok=True)
    with open(path(workdir), "ab") as file:
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())


def read(workdir: str | os.PathLike, table: ClassTable) -> list[Answer]:
    """All answers, in order.

    A last line that a killed run left half-written was never confirmed: it is cut off the file.

    Raises:
      UserError: a line in the middle is damaged, or was answered with another class table.
    """
    file = path(workdir)
    if not file.exists():
        return []
    data = file.read_bytes()
    if not data.endswith(b"\n"):
        data = data[: data.rfind(b"\n") + 1]
        files.write_atomic(file, data)
    answers = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            entry = json.loads(line)
            other = entry["classes"] != table.digest()
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{file}: line {number} is damaged; restore it from a copy") from None
        if other:
            raise UserError(
                f"{file}: line {number} was answered with another class table; "
                f"give config.classes as it was, or another --workdir"
            )
        answers.append(entry)
    return answers


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
