"""The report: a page for people about one run, made from the run's files at any time."""

import collections
import functools
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from labor_jax.annotation import ledger, quality, trust
from labor_jax.annotation.journal import Answer
from labor_jax.data import images
from labor_jax.data.domain import Domain
from labor_jax.data.labels import IGNORE, ClassTable
from labor_jax.report import charts, pictures
from labor_jax.report.run_files import RunFiles, checked_lines, read_run_files
from labor_jax.report.template import percent, plural, render
from labor_jax.selection import strategies
from labor_jax.util import files

LEDGER_ROWS = 50
"""How many images the ledger shows at most."""


def write_report(workdir: str | os.PathLike, target: Domain, table: ClassTable) -> pathlib.Path:
    """Writes `report.html` from the files in a run's DIR.

    Args:
      workdir: the run's DIR.
      target: the domain that was asked about; only its previewed images are read.
      table: the classes.
    Returns:
      The page's path. The page needs no other file and no network.
    """
    run = read_run_files(workdir)
    classes = class_rows(run, table)
    page = render(
        "report/report.html.j2",
        headline=headline(run),
        stages=stage_rows(run),
        curves=result_curves(run),
        classes=classes,
        scored=any(iou is not None for row in classes for iou in (row["final"], *row["stages"])),
        examples=examples(run, target, table),
        disagreements=bool(run.masks),
        ledger=ledger_rows(run),
        annotators=run.annotators,
        trust=trust.weights(run.config.get("trust", ())),
        agreement=run.agreement,
        verified=quality.verified(run.written.values(), _known(run, target)),
        checked=quality.checked(checked_lines(run), run.checks, len(table)),
        names=table.names,
        losses=training_curves(run),
        settings=settings(run),
    )
    path = pathlib.Path(workdir, "report.html")
    files.write_atomic(path, page.encode())
    return path


def _known(run: RunFiles, target: Domain) -> quality.Known:
    """What is right: of checks what is known, of others the target's labels, where it has some."""
    index = {image: i for i, image in enumerate(target.ids)}

    @functools.lru_cache(maxsize=1)
    def label(image: str) -> np.ndarray | None:
        read = target.read_label
        return read(index[image]) if read is not None and image in index else None

    def known(entry: Answer) -> int | None:
        if entry["query"] in run.checks:
            return run.checks[entry["query"]]["known"][entry["piece"]]
        truth = label(entry["image"])
        return None if truth is None else quality.right_by(truth, entry)

    return known


# ------------------------------------------------------------------ what the sections say


def headline(run: RunFiles) -> dict[str, Any]:
    """The method, the domains, the latest mIoU and what it cost."""
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
        "method": strategies.title(method) or "A run",
        "domains": " → ".join(name for name in (source, target) if name),
        "status": run.summary.get("status") or "running",
        "mIoU": score,
        "subsets": run.summary.get("subsets") or {},
        "gain": score - scores[0] if score is not None and scores else None,
        "budget": budget,
        "asked": [plural(budget[k], k) for k in ("points", "segments", "clicks") if budget[k]],
        "wall_seconds": run.summary.get("wall_seconds"),
    }


def stage_rows(run: RunFiles) -> list[dict[str, Any]]:
    """A row for each stage: mIoU in percent, the budget so far, pseudo answers, the mask's score.

    The mask's score has its share of the pixels, its precision and recall for the segmenter's
    errors, and the share of pixels that are such errors, each from 0 to 1.
    """
    return [
        {
            "stage": stage["stage"],
            "mIoU": stage.get("mIoU"),
            "budget": stage["budget"],
            "pseudo": stage.get("pseudo", 0),
            "mask": stage.get("mask") or {},
        }
        for stage in _stages(run)
    ]


def result_curves(run: RunFiles) -> list[dict[str, Any]]:
    """Charts of mIoU against the labelled share and clicks, or stages where nothing was asked."""
    scored = [s for s in stage_rows(run) if s["mIoU"] is not None]
    if len(scored) < 2:
        return []
    ious = [s["mIoU"] for s in scored]
    if not any(s["budget"]["clicks"] for s in scored):
        return [_iou_chart("mIoU by stage, %", "stage", [s["stage"] for s in scored], ious)]
    shares = [100 * s["budget"]["fraction"] for s in scored]
    clicks = [s["budget"]["clicks"] for s in scored]
    return [
        _iou_chart("mIoU against labelled share", "labelled share of pixels, %", shares, ious),
        _iou_chart("mIoU against clicks", "clicks, all images", clicks, ious),
    ]


def _iou_chart(
    title: str, x_title: str, xs: Sequence[float], ious: Sequence[float]
) -> dict[str, Any]:
    points = list(zip(xs, ious, strict=True))
    labels = [f"{iou:.1f}" for iou in ious]
    series = charts.Series("mIoU", points, labels=labels, dots=True)
    return {"title": title, "svg": charts.line_chart([series], x_title, title)}


def class_rows(run: RunFiles, table: ClassTable) -> list[dict[str, Any]]:
    """A row for each class: its colour, and its IoU at the end and by stage, in percent or None."""
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


def examples(run: RunFiles, target: Domain, table: ClassTable) -> list[dict[str, Any]]:
    """The previewed images: photograph, what was learnt of it, and the pictures of each stage."""
    index = {id_: n for n, id_ in enumerate(target.ids)}
    shown = [(image, index[image]) for image in run.images if image in index]
    found = []
    for n, (image, at) in enumerate(shown):
        photo, pixels = f"photo-{n}", target.read_image(at)
        size = (pixels.shape[0], pixels.shape[1])
        stages = [stage for stage, paths in run.previews.items() if image in paths]
        # Of images that people answer, nothing may tell them the truth before the end.
        truth = target.read_label(at) if target.read_label and "final" in stages else None
        found.append(
            {
                "name": image,
                "photo": pictures.photo(pixels, photo),
                "overview": _overview(run, image, photo, size, stages, truth, table),
                "stages": [
                    (f"Stage {stage}", _stage(run, image, photo, size, stage, table))
                    for stage in stages
                    if stage != "final"
                ],
            }
        )
    return found


Cells = list[tuple[str, Markup]]
"""Pictures side by side, each with what it shows."""


def _overview(
    run: RunFiles,
    image: str,
    photo: str,
    size: tuple[int, int],
    stages: Sequence[int | str],
    truth: np.ndarray | None,
    table: ClassTable,
) -> Cells:
    """An image, its prediction before the first answer and after the last, answers, truth."""
    labels = {stage: images.read_label_png(run.previews[stage][image]) for stage in stages}
    answers = [a for (_, name), own in run.answers.items() if name == image for a in own]
    cells = [("Image", pictures.picture(size, photo, [], f"{image}: the image"))]

    def show(title: str, label: np.ndarray) -> None:
        layer = pictures.prediction_layer(label, table)
        cells.append((title, pictures.picture(size, photo, [layer], f"{image}: {title}")))

    if stages[0] != "final":
        show("Before any answer", labels[stages[0]])
    if answers:
        title = f"All answers: {plural(len(answers), 'clicks')}"
        layers = pictures.answer_layers(answers, size, table)
        cells.append((title, pictures.picture(size, f"{photo}-dim", layers, title)))
    if "final" in stages:
        show("End of the run", labels["final"])
    if truth is not None:
        show("Truth", truth)
    return cells


def _stage(
    run: RunFiles,
    image: str,
    photo: str,
    size: tuple[int, int],
    stage: int | str,
    table: ClassTable,
) -> Cells:
    """The prediction before a stage's answers, where the heads disagree, questions and answers."""
    layer = pictures.prediction_layer(images.read_label_png(run.previews[stage][image]), table)
    cells = [("Prediction", pictures.picture(size, photo, [layer], f"{image}: prediction"))]
    if path := run.masks.get((stage, image)):
        mask = images.read_label_png(path) > 0
        title = f"The heads disagree: {percent(mask.mean())} % of pixels"
        cells.append(
            (title, pictures.picture(size, f"{photo}-dim", [pictures.mask_layer(mask)], title))
        )
    if query := run.queries.get((stage, image)):
        title = pictures.what_was_asked(query)
        layers = pictures.asked_layers(query)
        cells.append((title, pictures.picture(size, f"{photo}-dim", layers, title)))
    if answers := run.answers.get((stage, image), []):
        unsure = sum(a["class"] == IGNORE for a in answers)
        title = f"Answered: {plural(len(answers), 'clicks')}"
        title += f", {unsure} unsure" if unsure else ""
        layers = pictures.answer_layers(answers, size, table)
        cells.append((title, pictures.picture(size, f"{photo}-dim", layers, title)))
    return cells


def ledger_rows(run: RunFiles) -> dict[str, Any]:
    """What was asked and what it cost, by stage and by image, the most pixels first."""
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
    """The sum of some rows; its fraction is of the pixels of these rows' images."""
    pool = {row["image"]: run.sizes[row["image"]] for row in rows}
    return {"queries": len(rows), **ledger.budget(rows, pool)}


def training_curves(run: RunFiles) -> list[dict[str, Any]]:
    """A chart for each metric: a line for every phase of a stage that recorded it twice or more."""
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
    """What the run ran on, and its config as indented JSON: (title, text)."""
    device = run.summary.get("device")
    data = (run.summary.get("data") or {}).items()
    told = "\n".join(f"{name}: {line}" for name, lines in data for line in lines)
    versions = run.summary.get("versions") or {}
    return [
        (title, value if isinstance(value, str) else json.dumps(value, indent=2))
        for title, value in (
            ("Images left out or changed", told),
            ("Device", device),
            ("Versions", versions),
            ("Config", run.config),
        )
        if value
    ]


_NOT_CURVES = {"step", "stage", "phase", "steps_per_second"}


def _stages(run: RunFiles) -> list[dict[str, Any]]:
    return run.summary.get("stages") or []
