"""The report's page: what the run's files hold, arranged for a reader."""

import collections
import json
import os
import pathlib
from typing import Any

from labor_jax.annotation import ledger
from labor_jax.data import images
from labor_jax.data.domain import Domain
from labor_jax.data.labels import IGNORE, ClassTable
from labor_jax.report import charts, pictures
from labor_jax.report.run_files import RunFiles, read_run_files
from labor_jax.report.template import plural, render
from labor_jax.util import files

METHODS = {
    "source_only": "Source only",
    "uda": "Unsupervised adaptation",
    "random": "Random pixels",
    "labor_ppl": "LabOR, points (PPL)",
    "labor_spl": "LabOR, segments (SPL)",
    "full": "Every target pixel",
    "ripu_points": "RIPU, points",
    "ripu_regions": "RIPU, regions",
    "pixelpick": "PixelPick",
}
LEDGER_ROWS = 50


def write_report(workdir: str | os.PathLike, target: Domain, table: ClassTable) -> pathlib.Path:
    """Writes `report.html` from the files in DIR, at any stage of a run.

    Args:
      workdir: the run's DIR.
      target: the domain that was asked about; only its previewed images are read.
      table: the classes.
    Returns:
      The path of the page, which needs no other file and no network.
    """
    run = read_run_files(workdir)
    classes = class_rows(run, table)
    page = render(
        "report",
        "report.html.j2",
        headline=headline(run),
        stages=stage_rows(run),
        curves=result_curves(run),
        classes=classes,
        scored=any(iou is not None for row in classes for iou in (row["final"], *row["stages"])),
        specimens=specimens(run, target, table),
        ledger=ledger_rows(run),
        annotators=run.annotators,
        agreement=run.agreement,
        losses=training_curves(run),
        settings=settings(run),
    )
    path = pathlib.Path(workdir, "report.html")
    files.write_atomic(path, page.encode())
    return path


# ------------------------------------------------------------------ what the sections say


def headline(run: RunFiles) -> dict[str, Any]:
    """The method, the domains, the final score and what it cost."""
    method = run.config.get("method", "")
    source, target = (
        run.config.get(f"{key}.images") or run.config.get(f"{key}.domain", "")
        for key in ("source", "target")
    )
    scores = [s["mIoU"] for s in _stages(run) if s.get("mIoU") is not None]
    budget = run.summary.get("budget") or ledger.budget(run.ledger, run.sizes)
    score = run.summary.get("mIoU")
    score = scores[-1] if score is None and scores else score
    return {
        "method": METHODS.get(method, method.replace("_", " ").capitalize() or "A run"),
        "domains": f"{source} → {target}" if source and target else "",
        "status": run.summary.get("status") or "running",
        "mIoU": score,
        "subsets": run.summary.get("subsets") or {},
        "gain": score - scores[0] if score is not None and scores else None,
        "budget": budget,
        "asked": [plural(budget[k], k) for k in ("points", "segments", "clicks") if budget[k]],
        "wall_seconds": run.summary.get("wall_seconds"),
    }


def stage_rows(run: RunFiles) -> list[dict[str, Any]]:
    """One row a stage: mIoU in percent, cumulative budget, and what was logged of the mask.

    The mask's share of pixels, the share of pixels asked, and its precision and recall for the
    segmenter's errors are from 0 to 1.
    """
    return [
        {
            "stage": stage["stage"],
            "mIoU": stage.get("mIoU"),
            "budget": stage["budget"],
            "mask": stage.get("mask") or {},
        }
        for stage in _stages(run)
    ]


def result_curves(run: RunFiles) -> list[dict[str, Any]]:
    """mIoU against the labelled share and against clicks; against stages where nothing is asked."""
    scored = [s for s in stage_rows(run) if s["mIoU"] is not None]
    if len(scored) < 2:
        return []
    if any(s["budget"]["clicks"] for s in scored):
        axes = [
            ("mIoU against labelled share", "labelled share of pixels, %", "fraction", 100),
            ("mIoU against clicks", "clicks, all images", "clicks", 1),
        ]
        lines = [
            (title, x_title, [factor * s["budget"][key] for s in scored])
            for title, x_title, key, factor in axes
        ]
    else:
        lines = [("mIoU by stage", "stage", [s["stage"] for s in scored])]
    labels = [f"{s['mIoU']:.1f}" for s in scored]
    return [
        {
            "title": f"{title}, %" if title.endswith("stage") else title,
            "svg": charts.line_chart(
                [
                    charts.Series(
                        "mIoU",
                        [(x, s["mIoU"]) for x, s in zip(xs, scored, strict=True)],
                        labels=labels,
                        dots=True,
                    )
                ],
                x_title,
                title,
            ),
        }
        for title, x_title, xs in lines
    ]


def class_rows(run: RunFiles, table: ClassTable) -> list[dict[str, Any]]:
    """One row a class: its colour, final IoU and IoU by stage, in percent or None."""
    stages = _stages(run)
    final = run.summary.get("per_class_iou") or (stages[-1].get("per_class_iou") if stages else {})
    return [
        {
            "name": name,
            "color": pictures.css(color),
            "final": (final or {}).get(name),
            "stages": [(s.get("per_class_iou") or {}).get(name) for s in stages],
        }
        for name, color in zip(table.names, table.palette, strict=True)
    ]


def specimens(run: RunFiles, target: Domain, table: ClassTable) -> list[dict[str, Any]]:
    """The previewed images: each with its photograph and, for each stage, the pictures."""
    index = {id_: n for n, id_ in enumerate(target.ids)}
    shown = [image for image in run.images if image in index]
    return [
        _specimen(run, image, f"photo-{n}", target.read_image(index[image]), table)
        for n, image in enumerate(shown)
    ]


def _specimen(
    run: RunFiles, image: str, name: str, pixels: Any, table: ClassTable
) -> dict[str, Any]:
    size = pixels.shape[:2]
    rows: list[dict[str, Any]] = []
    so_far: list[dict[str, Any]] = []
    for stage, paths in run.previews.items():
        if image not in paths:
            continue
        label = images.read_label_png(paths[image])
        query = run.queries.get((stage, image))
        answers = run.answers.get((stage, image), [])
        so_far = so_far + answers
        prediction = pictures.prediction_layer(label, table)
        cells = [
            ("Image", pictures.picture(size, name, [], f"{image}: the image")),
            ("Prediction", pictures.picture(size, name, [prediction], f"{image}: prediction")),
        ]
        if query is not None:
            asked = pictures.what_was_asked(query)
            layers = pictures.asked_layers(query)
            cells.append((asked, pictures.picture(size, f"{name}-dim", layers, asked)))
        if stage == "final" and so_far:
            text = f"All answers: {plural(len(so_far), 'clicks')}"
            layers = pictures.answer_layers(so_far, size, table)
            cells.append((text, pictures.picture(size, f"{name}-dim", layers, text)))
        elif answers:
            unsure = sum(a["class"] == IGNORE for a in answers)
            text = f"Answered: {plural(len(answers), 'clicks')}"
            text += f", {unsure} unsure" if unsure else ""
            layers = pictures.answer_layers(answers, size, table)
            cells.append((text, pictures.picture(size, f"{name}-dim", layers, text)))
        title = "End of the run" if stage == "final" else f"Stage {stage}"
        rows.append({"title": title, "cells": cells})
    return {"name": image, "photo": pictures.photo(pixels, name), "rows": rows}


def ledger_rows(run: RunFiles) -> dict[str, Any]:
    """What was asked and what it cost: by stage, and by image with the largest first."""
    stages, by_image = collections.defaultdict(list), collections.defaultdict(list)
    for row in run.ledger:
        stages[row["stage"]].append(row)
        by_image[row["image"]].append(row)
    totals = {image: _total(rows, run) for image, rows in by_image.items()}
    largest = sorted(totals, key=lambda i: (-totals[i]["pixels"], -totals[i]["clicks"], i))
    return {
        "stages": [(f"Stage {stage}", _total(stages[stage], run)) for stage in sorted(stages)],
        "images": [(image, totals[image]) for image in largest[:LEDGER_ROWS]],
        "left_out": max(0, len(largest) - LEDGER_ROWS),
    }


def _total(rows: list[ledger.Row], run: RunFiles) -> dict[str, Any]:
    """The sum of some rows; the share is of their images' pixels."""
    pool = {row["image"]: run.sizes[row["image"]] for row in rows}
    return {"queries": len(rows), **ledger.budget(rows, pool)}


def training_curves(run: RunFiles) -> list[dict[str, Any]]:
    """One chart a metric: a line for each phase of each stage that logged it more than once."""
    lines: dict[str, dict[Any, list]] = collections.defaultdict(
        lambda: collections.defaultdict(list)
    )
    for record in run.records:
        for name, value in record.items():
            if name not in _NOT_CURVES and isinstance(value, int | float):
                key = (record.get("phase", ""), record.get("stage", 0))
                lines[name][key].append((record["step"], value))
    colors: dict[str, int] = {}
    curves = []
    for name, phases in lines.items():
        series = [
            charts.Series(
                f"{phase}, stage {stage}",
                charts.thin(points),
                color=colors.setdefault(phase, len(colors) + 1),
            )
            for (phase, stage), points in phases.items()
            if len(points) > 1
        ]
        if series:
            used = {s.color for s in series}
            legend = [(phase, color) for phase, color in colors.items() if color in used]
            svg = charts.line_chart(series, "step", name, size=(340, 200))
            curves.append({"name": name.replace("_", " "), "svg": svg, "legend": legend})
    return curves


def settings(run: RunFiles) -> list[tuple[str, Any]]:
    """The config as indented JSON, and what the run ran on."""
    device = run.summary.get("device")
    versions = run.summary.get("versions") or {}
    return [
        (title, value if isinstance(value, str) else json.dumps(value, indent=2))
        for title, value in (("Device", device), ("Versions", versions), ("Config", run.config))
        if value
    ]


_NOT_CURVES = {"step", "stage", "phase", "steps_per_second"}


def _stages(run: RunFiles) -> list[dict[str, Any]]:
    return run.summary.get("stages") or []
