"""The ledger: what was asked and what it cost, an image and stage a row; derived, never kept."""

from collections.abc import Iterable, Mapping
from typing import Any

from labor_jax.annotation.journal import Answer
from labor_jax.annotation.query import Query, asked_pixels
from labor_jax.data.labels import IGNORE

COUNTS = ("pixels", "points", "segments", "clicks", "void")
Row = dict[str, Any]


def rows(queries: Iterable[Query], answers: Iterable[Answer]) -> list[Row]:
    """One row a query: {"image", "stage", "pixels", "points", "segments", "clicks", "void",
    "seconds"}.

    Pixels, points and segments are as asked, at the label's own resolution. Clicks are answers:
    one a point, one a part of a segment. Void answers cost a click and give no label. Seconds are
    null when no person answered.
    """
    by_query: dict[str, list[Answer]] = {}
    for entry in answers:
        by_query.setdefault(entry["query"], []).append(entry)
    return [_row(query, by_query.get(query["id"], [])) for query in queries]


def _row(query: Query, answers: list[Answer]) -> Row:
    seconds = [entry["seconds"] for entry in answers if entry["seconds"] is not None]
    return {
        "image": query["image"],
        "stage": query["stage"],
        "pixels": len(asked_pixels(query)),
        "points": len(query.get("points", ())),
        "segments": len(query.get("segments", ())),
        "clicks": len(answers),
        "void": sum(entry["class"] == IGNORE for entry in answers),
        "seconds": sum(seconds) if seconds else None,
    }


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
