"""How well people answer, and whether a guess in sight helps them or leads them astray.

Every interval holds 90 %. Answers count as independent of each other.
"""

import collections
import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from scipy import stats

from labor_jax.annotation import journal
from labor_jax.annotation.journal import Answer
from labor_jax.annotation.ledger import IDLE
from labor_jax.annotation.queries import Query
from labor_jax.data.labels import IGNORE

__all__ = ["Known", "checked", "describe", "difference", "median", "right_by", "share", "verified"]

LEVEL = 0.9
"""The share of the cases in which an interval holds the truth."""

Known = Callable[[Answer], int | None]
"""An answer -> the class that is right; None where it is not known."""
Estimate = dict[str, Any]
"""{"value", "low", "high"}; all None where there is nothing to estimate from."""


def share(number: int, of: int) -> Estimate:
    """The share of some that have a property, from 0 to 1, with its interval (Wilson, 1927)."""
    if not of:
        return {"value": None, "low": None, "high": None}
    found = stats.binomtest(number, of).proportion_ci(LEVEL, "wilson")
    return {"value": number / of, "low": float(found.low), "high": float(found.high)}


def difference(first: Estimate, second: Estimate) -> Estimate:
    """The first of two independent shares minus the second (Newcombe, 1998, method 10)."""
    if first["value"] is None or second["value"] is None:
        return {"value": None, "low": None, "high": None}
    value = first["value"] - second["value"]
    down = first["value"] - first["low"], second["high"] - second["value"]
    up = first["high"] - first["value"], second["value"] - second["low"]
    return {"value": value, "low": value - math.hypot(*down), "high": value + math.hypot(*up)}


def median(values: list[float]) -> Estimate:
    """The median of some values; the interval lies between order statistics, None of too few."""
    if not values:
        return {"value": None, "low": None, "high": None}
    found = stats.quantile_test(values, p=0.5).confidence_interval(LEVEL)
    low, high = (float(x) if math.isfinite(x) else None for x in (found.low, found.high))
    return {"value": statistics.median(values), "low": low, "high": high}


def verified(queries: Iterable[Iterable[Answer]], known: Known) -> list[dict[str, Any]]:
    """How each person answers with a model's guess in sight, and without.

    Args:
      queries: the journal's lines query by query; only one query's are held at a time.
      known: what is right.
    Returns:
      A row for each annotator who verified guesses, sorted by name: {"annotator", "shown", "blind",
      "error"}. "shown" and "blind" have
        "answers": how many there are, unsure ones too;
        "agree": the share of them that are the guess;
        "seconds": the median of what they took, each at most `IDLE`;
        "known": how many gave a class where it is known which is right;
        "wrong": the share of these that gave another;
        "misled": the share of those about a wrong guess that gave this guess.
      "error" is the difference of "wrong", shown minus blind. Shares and times are estimates.
    """
    found: dict[str, dict[bool, list[tuple[Answer, int | None]]]] = {}
    for lines in queries:
        for entry in journal.standing(lines):
            if "confidence" in entry and not entry.get("second"):
                own = found.setdefault(entry["annotator"], {True: [], False: []})
                own[entry["shown"]].append((entry, known(entry)))
    rows = []
    for name in sorted(found):
        shown, blind = (_condition(found[name][kind]) for kind in (True, False))
        error = difference(shown["wrong"], blind["wrong"])
        rows.append({"annotator": name, "shown": shown, "blind": blind, "error": error})
    return rows


def _condition(answers: list[tuple[Answer, int | None]]) -> dict[str, Any]:
    sure = [(e, right) for e, right in answers if right is not None and e["class"] != IGNORE]
    led = [entry for entry, right in sure if entry["guess"] != right]
    return {
        "answers": len(answers),
        "agree": share(sum(e["class"] == e["guess"] for e, _ in answers), len(answers)),
        "seconds": median(
            [min(e["seconds"], IDLE) for e, _ in answers if e["seconds"] is not None]
        ),
        "known": len(sure),
        "wrong": share(sum(entry["class"] != right for entry, right in sure), len(sure)),
        "misled": share(sum(e["class"] == e["guess"] for e in led), len(led)),
    }


def checked(
    lines: Iterable[Answer], made: Mapping[str, Query], classes: int
) -> list[dict[str, Any]]:
    """How many of the checks each person answered rightly.

    Args:
      lines: the journal's.
      made: all checks by id, see `checks`.
      classes: how many there are.
    Returns:
      A row for each annotator who answered some and each "by", whose answers count as right (None:
      labels), sorted: {"annotator", "by", "answers", "unsure", "right", "classes"}. "answers" gave
      a class, and "right" is the share of these that gave the known one; "classes" has that share,
      and "answers", for each class that is the known one.
    """
    counts: dict[tuple[str, str], np.ndarray] = {}
    unsure: collections.Counter[tuple[str, str]] = collections.Counter()
    for entry in journal.standing(entry for entry in lines if entry.get("check")):
        check = made.get(entry["query"])
        if check is None:
            continue
        right, key = check["known"][entry["piece"]], (entry["annotator"], check["by"] or "")
        if right is None:
            continue
        own = counts.setdefault(key, np.zeros((classes, 2), int))
        if entry["class"] == IGNORE:
            unsure[key] += 1
        else:
            own[right] += 1, entry["class"] == right
    return [
        {
            "annotator": name,
            "by": by or None,
            "answers": int(own[:, 0].sum()),
            "unsure": unsure[name, by],
            "right": share(int(own[:, 1].sum()), int(own[:, 0].sum())),
            "classes": [{"answers": int(of), "right": share(int(k), int(of))} for of, k in own],
        }
        for (name, by), own in sorted(counts.items())
    ]


def describe(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Lines of text about rows of `checked`."""
    told = []
    for row in rows:
        known, right = f"known from {row['by'] or 'labels'}", row["right"]
        if row["answers"]:
            told.append(
                f"{row['annotator']}: {right['value']:.1%} of {row['answers']:,} answers {known} "
                f"are right (90 %: {right['low']:.1%} to {right['high']:.1%})"
            )
    return told


def right_by(label: np.ndarray, entry: Answer) -> int | None:
    """The class that most of an answer's pixels have in a label map; None where that is void.

    Args:
      label: [H, W] uint8 train ids, 255 = void.
    """
    counts = np.bincount(label.ravel()[journal.pixels(entry, label.shape)], minlength=IGNORE + 1)
    most = int(counts.argmax())
    return None if most == IGNORE else most
