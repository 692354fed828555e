"""Made-up cells of a comparison: scores that grow with the budget, queries that can be drawn."""

import dataclasses
import json
import pathlib
import zlib
from collections.abc import Sequence

import numpy as np
from support import fabricate

from labor_jax.annotation import ledger
from labor_jax.compare import cells, intervals, tables
from labor_jax.compare.results import Result
from labor_jax.config.protocol import one_cost
from labor_jax.data.domain import Domain
from labor_jax.infer import metrics
from labor_jax.util import files

C = len(fabricate.TABLE)


def target(size: tuple[int, int]) -> Domain:
    """Streets and their truth."""
    return dataclasses.replace(
        fabricate.domain(*size), read_label=lambda i: fabricate.street(i, *size)
    )


def confusions(seed: int, share: float, images: int = 12) -> np.ndarray:
    """Of images on which about `share` of the pixels are right: [images, C, C] int64."""
    draw = np.random.default_rng(seed)
    found = draw.integers(0, 40, (images, C, C))
    right = draw.normal(share, 0.04, (images, 1))
    found[:, range(C), range(C)] = 400 * C * np.clip(right, 0.1, 0.95)
    return found


def write_cells(
    workdir: pathlib.Path,
    methods: Sequence[str],
    budgets: Sequence[str],
    seeds: int,
    errors: Sequence[float] = (0.0,),
    size: tuple[int, int] = (24, 32),
) -> tuple[tables.About, list[Result]]:
    """Writes the queries of each cell; returns what the page needs besides the images."""
    parsed = [cells.parse_budget(text) for text in budgets]
    plan, skipped = cells.plan(methods, parsed, seeds, errors)
    about = tables.About(
        "configs/streets.py",
        "streets val",
        methods,
        parsed,
        errors,
        one_cost(2.0),
        skipped,
        len(plan),
    )
    return about, [_result(workdir, cell, methods, size) for cell in plan]


def _result(
    workdir: pathlib.Path, cell: cells.Cell, methods: Sequence[str], size: tuple[int, int]
) -> Result:
    images = target(size)
    queries, journal = [], []
    kind = "segments" if cell.method == "labor_spl" else "points"
    number = 9
    if cell.budget:
        number = int(cell.budget.amount * (1 if cell.budget.unit != "pixels" else 300)) or 1
        for i, image in enumerate(images.ids):
            truth = images.read_label(i)
            predicted = fabricate.guess(truth, 1, zlib.crc32(cell.method.encode()) % 97 + i)
            query, answers = fabricate.ask(kind, image, 1, truth, predicted, i)
            queries.append(query)
            journal += answers
        text = "".join(json.dumps(query) + "\n" for query in queries)
        files.write_atomic(workdir / cell.name / "queries" / "stage_1.jsonl", text.encode())
    budget = ledger.budget(
        ledger.rows(queries, journal), dict.fromkeys(images.ids, size[0] * size[1])
    )
    budget |= {"clicks_per_image": float(number) if cell.budget else 0.0}
    budget |= {"points_per_image": float(number) if kind == "points" and cell.budget else 0.0}
    budget |= {"fraction": budget["clicks_per_image"] / 4000}
    gain = {"source_only": 0.0, "uda": 0.1, "full": 1.0}.get(cell.method)
    if gain is None:
        gain = 0.35 + 0.12 * np.log10(number) + 0.03 * methods.index(cell.method) - cell.error
    noise = np.random.default_rng(zlib.crc32(cell.name.encode())).normal(0, 0.02)
    found = confusions(cell.seed, 0.3 + 0.4 * gain + noise)
    ious = metrics.per_class_iou(found.sum(0))
    names = dict(zip(fabricate.TABLE.names, ious.tolist(), strict=True))
    border = None if not cell.budget else 0.7
    wrong = cell.error if cell.budget else None
    samples = intervals.resampled_mious(found, intervals.resamples(len(found)))
    return Result(
        cell, metrics.mean_of(ious), names, budget, 100.0 + number, border, wrong, found, samples
    )
