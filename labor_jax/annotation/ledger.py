"""The ledger: what was asked and what it cost; and who answered how. Derived, never kept."""

import collections
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from labor_jax.annotation import journal
from labor_jax.annotation.journal import Answer
from labor_jax.annotation.queries import Query, asked_pixels
from labor_jax.data.labels import IGNORE
from labor_jax.selection.segments import run_pixels

__all__ = [
    "COUNTS",
    "IDLE",
    "Row",
    "agreement",
    "agreement_by_query",
    "annotators",
    "budget",
    "describe",
    "is_click",
    "row",
    "rows",
]


IDLE = 60.0
"""Seconds after which a person who has not answered is taken to be doing something else."""
COUNTS = ("pixels", "points", "segments", "clicks", "void")
Row = dict[str, Any]


def rows(queries: Iterable[Query], lines: Iterable[Answer]) -> list[Row]:
    """One row a query: {"image", "stage", "pixels", "points", "segments", "clicks", "void",
    "seconds"}.

    Pixels, points and segments are as asked, at the label's own resolution. Clicks are answers:
    one a point, one a part of a segment; one that was taken back was a click all the same. Void
    answers cost a click and give no label. Seconds are null when no person answered.

    Args:
      lines: of the journal. Second opinions cost nothing here: they serve to measure agreement.
    """
    found = journal.by_query(lines)
    return [row(query, found.get(query["id"], [])) for query in queries]


def row(query: Query, lines: Iterable[Answer]) -> Row:
    """A query's row, as in `rows`, of its own lines."""
    lines = [entry for entry in lines if not entry.get("second")]
    seconds = _seconds(lines)
    return {
        "image": query["image"],
        "stage": query["stage"],
        "pixels": len(asked_pixels(query)),
        "points": len(query.get("points", ())),
        "segments": len(query.get("segments", ())),
        "clicks": sum(map(is_click, lines)),
        "void": sum(entry["class"] == IGNORE for entry in journal.standing(lines)),
        "seconds": sum(seconds) if seconds else None,
    }


def is_click(entry: Answer) -> bool:
    """Whether a line is an answer, and neither takes one back nor skips."""
    return not entry.get("undo") and entry["class"] is not None


def _seconds(lines: Iterable[Answer]) -> list[float]:
    """What each line took, idle time cut."""
    return [min(entry["seconds"], IDLE) for entry in lines if entry["seconds"] is not None]


def budget(ledger: Iterable[Row], pool: Mapping[str, int]) -> dict[str, Any]:
    """The sum of a ledger, as `summary.json` has it.

    Args:
      ledger: rows of the stages that count.
      pool: the number of pixels of every image that could have been asked.
    """
    ledger = list(ledger)
    total: dict[str, Any] = {name: sum(row[name] for row in ledger) for name in COUNTS}
    seconds = [row["seconds"] for row in ledger if row["seconds"] is not None]
    return {
        "images": len({row["image"] for row in ledger if row["pixels"]}),
        **total,
        "fraction": total["pixels"] / max(1, sum(pool.values())),
        "seconds": sum(seconds) if seconds else None,
        "points_per_image": total["points"] / max(1, len(pool)),
        "clicks_per_image": total["clicks"] / max(1, len(pool)),
    }


def annotators(lines: Iterable[Answer]) -> list[dict[str, Any]]:
    """One row an annotator, by name: {"annotator", "clicks", "unsure", "skipped", "undone",
    "seconds"}; second opinions count."""
    by_name: dict[str, Row] = {}
    for entry in lines:
        own = by_name.setdefault(
            entry["annotator"],
            {"clicks": 0, "unsure": 0, "skipped": 0, "undone": 0, "seconds": None},
        )
        own["clicks"] += is_click(entry)
        own["unsure"] += is_click(entry) and entry["class"] == IGNORE
        own["skipped"] += not entry.get("undo") and entry["class"] is None
        own["undone"] += bool(entry.get("undo"))
        for seconds in _seconds([entry]):
            own["seconds"] = (own["seconds"] or 0) + seconds
    return [{"annotator": name, **own} for name, own in sorted(by_name.items())]


def agreement(lines: Iterable[Answer]) -> list[dict[str, Any]]:
    """How two annotators agree where both gave a class: {"annotators": [a, b], "images",
    "pixels", "agree" (a share), "kappa"}, one row a pair that shares a pixel.

    Kappa is the agreement beyond chance (Cohen, 1960); None where both gave one and the same class.
    """
    return agreement_by_query(journal.by_query(lines).values())


def agreement_by_query(queries: Iterable[Iterable[Answer]]) -> list[dict[str, Any]]:
    """`agreement` of the lines of one query after another."""
    images: collections.Counter[tuple[str, str]] = collections.Counter()
    confusions: dict[tuple[str, str], np.ndarray] = {}
    for lines in queries:
        given: dict[str, list[np.ndarray]] = {}
        for entry in journal.standing(lines):
            if entry["class"] != IGNORE:
                given.setdefault(entry["annotator"], []).append(_labelled(entry))
        for pair in itertools.combinations(sorted(given), 2):
            both = _pairs(*(given[name] for name in pair))
            if len(both):
                images[pair] += 1
                counts = confusions.setdefault(pair, np.zeros((IGNORE, IGNORE), np.int64))
                np.add.at(counts, (both[:, 0], both[:, 1]), 1)
    return [
        {"annotators": list(pair), "images": images[pair]} | _kappa(confusions[pair])
        for pair in sorted(confusions)
    ]


def _labelled(entry: Answer) -> np.ndarray:
    """A number for each pixel, the same in answers to the same query, and its class: [n, 2]."""
    if entry["kind"] == "points":
        x, y = entry["point"]
        pixels = np.array([(y << 32) + x])
    else:
        pixels = run_pixels(entry["runs"])
    return np.stack([pixels, np.full(len(pixels), entry["class"])], 1)


def _pairs(first: list[np.ndarray], second: list[np.ndarray]) -> np.ndarray:
    """The classes that two annotators gave the pixels that both labelled, [N, 2] int64."""
    a, b = np.concatenate(first), np.concatenate(second)
    _, i, j = np.intersect1d(a[:, 0], b[:, 0], return_indices=True)
    return np.stack([a[i, 1], b[j, 1]], 1)


def _kappa(counts: np.ndarray) -> dict[str, Any]:
    """Agreement by how often each two classes met, [255, 255] int64."""
    pixels = int(counts.sum())
    confusion = counts / pixels
    agree = float(np.trace(confusion))
    chance = float(confusion.sum(0) @ confusion.sum(1))
    kappa = (agree - chance) / (1 - chance) if chance < 1 else None
    return {"pixels": pixels, "agree": agree, "kappa": kappa}


def describe(lines: Iterable[Answer]) -> list[str]:
    """Who answered how much, and how they agree, a line each."""
    lines = list(lines)
    told = []
    for row in annotators(lines):
        time = "" if row["seconds"] is None else f" in {row['seconds'] / 60:.1f} min"
        told.append(
            f"{row['annotator']}: {row['clicks']:,} clicks{time}, {row['unsure']:,} unsure, "
            f"{row['skipped']:,} skipped, {row['undone']:,} taken back"
        )
    for row in agreement(lines):
        kappa = "" if row["kappa"] is None else f", Cohen's kappa {row['kappa']:.2f}"
        told.append(
            f"{' and '.join(row['annotators'])} agree on {row['agree']:.1%} of {row['pixels']:,} "
            f"shared pixels in {row['images']:,} images{kappa}"
        )
    return told
