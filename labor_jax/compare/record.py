"""A comparison's figures as JSON, `compare.json`: small enough to keep, for tables elsewhere."""

import json
from collections.abc import Sequence
from typing import Any

from labor_jax.compare.results import Result, groups
from labor_jax.compare.tables import About, findings
from labor_jax.util import outputs

__all__ = ["text"]


def text(about: About, done: Sequence[Result]) -> str:
    """The file: what was compared, what it says, and a line for each run.

    "config" and "val" are names, "images" how many were scored, "classes" the order of "ious",
    "costs" the seconds of an answer by kind and where these are from, "findings" sentences. A run
    has "mIoU" and "ious" in percent, what was asked about an image ("clicks", "points", and
    "pixels", a share), shares ("border", "void" and "wrong", as `Result` has them) and its
    computing time in seconds.
    """
    head = {
        "made": outputs.MARK,
        "config": about.config,
        "val": about.val,
        "images": len(done[0].confusions) if done else 0,
        "classes": list(done[0].per_class_iou) if done else [],
        "methods": list(about.methods),
        "budgets": [budget.text for budget in about.budgets],
        "errors": list(about.errors),
        "costs": {"seconds": dict(about.costs.seconds), "source": about.costs.source},
        "findings": findings(about, groups(done), done),
    }
    lines = [f'"{key}": {json.dumps(value, ensure_ascii=False)}' for key, value in head.items()]
    runs = ",\n".join(f"  {json.dumps(_run(result))}" for result in done)
    return "{\n" + ",\n".join(lines) + f',\n"runs": [\n{runs}\n]\n}}\n'


def _run(result: Result) -> dict[str, Any]:
    cell, budget = result.cell, result.budget
    return {
        "method": cell.method,
        "budget": cell.budget.text if cell.budget else None,
        "seed": cell.seed,
        "error": cell.error,
        "mIoU": result.miou,
        "ious": [_rounded(iou, 1) for iou in result.per_class_iou.values()],
        "clicks": _rounded(budget["clicks_per_image"], 2),
        "points": _rounded(budget["points_per_image"], 2),
        "pixels": _rounded(budget["fraction"], 6),
        "border": _rounded(result.border, 3),
        "void": _rounded(result.void, 4),
        "wrong": _rounded(result.wrong, 4),
        "seconds": result.wall_seconds,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
