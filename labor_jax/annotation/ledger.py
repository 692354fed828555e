"""The ledger: what queries asked and cost, and how annotators answered.

It is computed from the queries and the journal whenever it is needed, and is not stored.
"""

import collections
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from labor_jax.annotation import journal
from labor_jax.annotation.journal import Answer
from labor_jax.annotation.queries import VOLUNTEERED, Query, asked_pixels
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
"""Seconds; an answer that took longer counts as this many: the person did something else."""
COUNTS = ("pixels", "points", "segments", "clicks", "volunteered", "void")
"""The keys of a row that are summed up."""
Row = dict[str, Any]


def rows(queries: Iterable[Query], lines: Iterable[Answer]) -> list[Row]:
    """What each query asked and cost.

    Args:
      lines: the journal's. Second opinions are not counted: they serve to measure agreement.
    Returns:
      A row for each query, {"image", "stage"} and
        "pixels", "points", "segments": how many were asked, at the label's own resolution;
        "clicks": how many answers were given, one for a point and one for each part of a segment;
          an answer that was taken back is counted;
        "volunteered": how many of these are about points and regions that people chose; these are
          not among those asked; their pixels are, until all answers to them are taken back;
        "void": how many answers that stand are unsure or void; they give no label;
        "seconds": what the answers took; None where no person answered.
    """
    found = journal.by_query(lines)
    return [row(query, found.get(query["id"], [])) for query in queries]


def row(query: Query, lines: Iterable[Answer]) -> Row:
    """A query's row, as `rows` gives it; `lines` are those of this query."""
    lines = [entry for entry in lines if not entry.get("second")]
    seconds, clicks = _seconds(lines), sum(map(is_click, lines))
    chosen, stand = query.get("origin") == VOLUNTEERED, journal.standing(lines)
    return {
        "image": query["image"],
        "stage": query["stage"],
        "pixels": 0 if chosen and not stand else len(asked_pixels(query)),
        "points": 0 if chosen else len(query.get("points", ())),
        "segments": 0 if chosen else len(query.get("segments", ())),
        "clicks": clicks,
        "volunteered": clicks if chosen else 0,
        "void": sum(entry["class"] == IGNORE for entry in stand),
        "seconds": sum(seconds) if seconds else None,
    }


def is_click(entry: Answer) -> bool:
    """Whether a line of the journal gives an answer; others take one back or skip a piece."""
    return not entry.get("undo") and entry["class"] is not None


def _seconds(lines: Iterable[Answer]) -> list[float]:
    """What each answer of a person took, at most `IDLE`."""
    return [min(entry["seconds"], IDLE) for entry in lines if entry["seconds"] is not None]


def budget(ledger: Iterable[Row], pool: Mapping[str, int]) -> dict[str, Any]:
    """The sum of a ledger's rows, as `summary.json` has it.

    Args:
      ledger: the rows of the stages that count.
      pool: the number of pixels, by id, of every image that could have been asked.
    Returns:
      "images": how many were asked something; the sum of each of `COUNTS` and of "seconds";
      "fraction": the share of the pool's pixels that was asked, from 0 to 1; "points_per_image" and
      "clicks_per_image": means over the pool.
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
    """What each annotator did, second opinions included.

    Args:
      lines: the journal's.
    Returns:
      A row for each annotator, sorted by name: {"annotator", "clicks", "unsure", "skipped",
      "undone", "seconds"}, where "unsure" counts clicks and "seconds" is None without times.
    """
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
    """How annotators agree, in pairs.

    Args:
      lines: the journal's.
    Returns:
      A row for each pair of annotators who both gave a class to some pixel: {"annotators": [a, b],
      "images", "pixels", "agree", "kappa"}. The counts are of what both labelled; "agree" is the
      share of those pixels that got the same class from both, from 0 to 1; "kappa" is the agreement
      beyond chance (Cohen, 1960), None where both gave one and the same class everywhere.
    """
    return agreement_by_query(journal.by_query(lines).values())


def agreement_by_query(queries: Iterable[Iterable[Answer]]) -> list[dict[str, Any]]:
    """`agreement`, of lines that are given query by query: only one query's are held at a time."""
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
    """An answer's pixels and classes: [N, 2] int64.

    A pixel's number is the same in all answers to one query.
    """
    if entry["kind"] == "points":
        x, y = entry["point"]
        pixels = np.array([(y << 32) + x])
    else:
        pixels = run_pixels(entry["runs"])
    return np.stack([pixels, np.full(len(pixels), entry["class"])], 1)


def _pairs(first: list[np.ndarray], second: list[np.ndarray]) -> np.ndarray:
    """The classes that two annotators gave to each pixel that both labelled: [N, 2] int64."""
    a, b = np.concatenate(first), np.concatenate(second)
    _, i, j = np.intersect1d(a[:, 0], b[:, 0], return_indices=True)
    return np.stack([a[i, 1], b[j, 1]], 1)


def _kappa(counts: np.ndarray) -> dict[str, Any]:
    """The agreement of a confusion matrix, [255, 255] int64."""
    pixels = int(counts.sum())
    confusion = counts / pixels
    agree = float(np.trace(confusion))
    chance = float(confusion.sum(0) @ confusion.sum(1))
    kappa = (agree - chance) / (1 - chance) if chance < 1 else None
    return {"pixels": pixels, "agree": agree, "kappa": kappa}


def describe(lines: Iterable[Answer]) -> list[str]:
    """Lines of text: what each annotator did, then how each pair of them agrees."""
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
