"""The comparison's page, `compare.html`, and the same tables as Markdown, `compare.md`."""

import dataclasses
import itertools
import os
import pathlib
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from labor_jax.annotation import oracle
from labor_jax.compare import intervals, results
from labor_jax.compare.cells import Budget, Cell
from labor_jax.compare.results import Result
from labor_jax.data.domain import Domain
from labor_jax.data.labels import ClassTable
from labor_jax.report import charts, pictures
from labor_jax.report.template import ABSENT, duration, percent, render
from labor_jax.util import files

MINUS = "\N{MINUS SIGN}"
DECADE = 10.0
"""Costs that differ by more than this factor are drawn on a logarithmic axis."""


class About(NamedTuple):
    """What is compared.

    Attributes:
      config: its name.
      val: the name of the domain that is scored.
      methods: those that ask; the first is the baseline.
      skipped: what is left out, in words.
      runs: how many there are to be.
    """

    config: str
    val: str
    methods: Sequence[str]
    budgets: Sequence[Budget]
    errors: Sequence[float]
    seconds_per_click: float
    skipped: Sequence[str]
    runs: int


class Table(NamedTuple):
    """A table as text, for either page."""

    title: str
    head: list[str]
    rows: list[list[str]]


Key = tuple[str, Budget | None, float]
Groups = dict[Key, list[Result]]


def write(
    workdir: str | os.PathLike,
    about: About,
    done: Sequence[Result],
    shown: Domain,
    table: ClassTable,
) -> pathlib.Path:
    """Writes `compare.html` and `compare.md` of the runs that are finished; returns the former.

    Args:
      done: the finished runs' figures.
      shown: the target's images on which the queries are shown.
      table: the classes.
    """
    workdir = pathlib.Path(workdir)
    groups = results.groups(done)
    sections = {
        "results": [results_table(about, groups, done, error) for error in about.errors],
        "differences": difference_tables(about, groups, done),
        "errors": errors_tables(about, groups),
        "classes": class_tables(about, groups, table),
    }
    sections = {name: [t for t in tables if t.rows] for name, tables in sections.items()}
    page = render(
        "compare/compare.html.j2",
        about=about,
        near=oracle.NEAR,
        done=len(done),
        images=len(done[0].confusions) if done else 0,
        references=_reference_scores(groups),
        findings=findings(about, groups, done),
        legend=[(name, charts.key(n)) for n, name in enumerate(about.methods, start=1)],
        charts=cost_charts(about, groups),
        error_charts=error_charts(about, groups),
        error_legend=[(_errors_name(e), charts.key(0, n)) for n, e in enumerate(about.errors)],
        examples=examples(workdir, about, done, shown, table),
        colors=[
            (name, pictures.css(color))
            for name, color in zip(table.names, table.palette, strict=True)
        ],
        runs=_runs(done),
        **{f"{name}_tables": tables for name, tables in sections.items()},
    )
    files.write_atomic(workdir / "compare.md", markdown(about, done, sections).encode())
    files.write_atomic(workdir / "compare.html", page.encode())
    return workdir / "compare.html"


# ------------------------------------------------------------------------------------------ tables


def results_table(about: About, groups: Groups, done: Sequence[Result], error: float) -> Table:
    """One row a method and budget: scores and costs, means over seeds."""
    closed = results.gap_closed(done)
    first = about.errors[0] == error
    keys: list[Key] = [("source_only", None, 0.0), ("uda", None, 0.0)] if first else []
    keys += [(method, budget, error) for budget in about.budgets for method in about.methods]
    keys += [("full", None, 0.0)] if first else []
    head = ["method", "budget", "mIoU", "runs", "gap closed, %", "points", "clicks", "pixels, %"]
    head += ["time", "near a border, %", "void, %", "wrong, %"]
    rows = []
    for key in keys:
        if not (group := groups.get(key)):
            continue
        method, budget, _ = key
        gaps = [100 * closed[r.cell] for r in group if r.cell in closed]
        asked = any(r.budget["clicks"] for r in group)
        seconds = _mean(r.seconds_per_image(about.seconds_per_click) for r in group)
        rows.append(
            [
                method,
                budget.title if budget else ABSENT,
                spread([r.miou for r in group]),
                str(len(group)),
                _whole(gaps) if method in ("source_only", "full") else spread(gaps, digits=0),
                _cost(_mean(r.budget["points_per_image"] for r in group)),
                _cost(_mean(r.budget["clicks_per_image"] for r in group)),
                str(percent(_mean(r.budget["fraction"] for r in group))) if asked else ABSENT,
                duration(seconds) if method != "full" else ABSENT,
                _share([r.border for r in group]),
                _share([r.void for r in group]),
                _share([r.wrong for r in group]),
            ]
        )
    return Table(_errors_title(about, error), head, rows)


def difference_tables(about: About, groups: Groups, done: Sequence[Result]) -> list[Table]:
    """At each budget, every two methods: those with the baseline first."""
    samples = _samples(done)
    tables = []
    for error, budget in itertools.product(about.errors, about.budgets):
        rows = []
        for first, second in itertools.combinations(about.methods, 2):
            pair = _paired(groups, (first, budget, error), (second, budget, error))
            if pair:
                rows.append([f"{second} {MINUS} {first}", *_difference(*pair, samples)])
        title = f"{budget.title} an image{_and_errors(about, error)}"
        head = ["difference", "mIoU", "seeds", "95 % over seeds", "95 % over images"]
        tables.append(Table(title, head, rows))
    return tables


def errors_tables(about: About, groups: Groups) -> list[Table]:
    """What each method loses to wrong answers, paired by seed; none where there is one kind."""
    if len(about.errors) < 2:
        return []
    base, *more = about.errors
    head = ["method", "budget", *map(_errors_name, about.errors)]
    for error in more:
        head += [f"change, {_errors_name(error)}", "95 % over seeds"]
    rows = []
    for budget, method in itertools.product(about.budgets, about.methods):
        if (method, budget, base) not in groups:
            continue
        row = [method, budget.title]
        row += [spread([r.miou for r in groups.get((method, budget, e), [])]) for e in about.errors]
        for error in more:
            pair = _paired(groups, (method, budget, base), (method, budget, error))
            changes = [b.miou - a.miou for a, b in zip(*pair, strict=True)] if pair else []
            row += [signed(float(np.mean(changes))) if changes else ABSENT]
            row += [between(intervals.over_seeds(changes))]
        rows.append(row)
    return [Table("", head, rows)]


def class_tables(about: About, groups: Groups, table: ClassTable) -> list[Table]:
    """At each budget, the IoU of each class by method, means over seeds."""
    tables = []
    for error, budget in itertools.product(about.errors, about.budgets):
        keys: list[Key] = [(method, budget, error) for method in about.methods]
        if not any(key in groups for key in keys):
            continue
        keys = [("source_only", None, 0.0), ("uda", None, 0.0), *keys, ("full", None, 0.0)]
        keys = [key for key in keys if key in groups]
        rows = [
            [name, *(_iou([r.per_class_iou.get(name) for r in groups[key]]) for key in keys)]
            for name in table.names
        ]
        title = f"{budget.title} an image{_and_errors(about, error)}"
        tables.append(Table(title, ["class", *(method for method, _, _ in keys)], rows))
    return tables


def findings(about: About, groups: Groups, done: Sequence[Result]) -> list[str]:
    """A sentence a budget: which method has the highest mean, and by how much."""
    samples, closed = _samples(done), results.gap_closed(done)
    error, baseline = about.errors[0], about.methods[0]
    told = []
    for budget in about.budgets:
        there = [m for m in about.methods if (m, budget, error) in groups]
        if len(there) < 2:
            continue
        best = max(there, key=lambda m: _mean(r.miou for r in groups[m, budget, error]))
        group = groups[best, budget, error]
        text = f"{budget.title} an image: {best} has the highest mean, "
        text += f"{spread([r.miou for r in group])} mIoU"
        if gaps := [100 * closed[r.cell] for r in group if r.cell in closed]:
            text += f", {np.mean(gaps):.0f} % of the way from source_only to full"
        pair = _paired(groups, (baseline, budget, error), (best, budget, error))
        if pair and best != baseline:
            mean, _, seeds, images = _difference(*pair, samples)
            over_seeds = f"{seeds} over seeds, " if seeds != ABSENT else ""
            text += f"; {mean} on {baseline} (95 %: {over_seeds}{images} over images)"
        told.append(f"{text}.")
    return told


# ------------------------------------------------------------------------------------------ charts


def cost_charts(about: About, groups: Groups) -> list[dict[str, Any]]:
    """mIoU against points, clicks, pixels and time, a line a method, spread as error bars."""
    costs: list[tuple[str, Callable[[Result], float]]] = [
        ("clicks an image", lambda r: r.budget["clicks_per_image"]),
        ("time an image, s (estimated)", lambda r: r.seconds_per_image(about.seconds_per_click)),
        ("pixels, %", lambda r: 100 * r.budget["fraction"]),
        ("points an image", lambda r: r.budget["points_per_image"]),
    ]
    levels = _reference_scores(groups)
    drawn = []
    for x_title, cost in costs:
        series = [
            _series(groups, method, about.errors[0], cost, n)
            for n, method in enumerate(about.methods, start=1)
        ]
        if chart := _chart([s for s in series if s.points], x_title, levels):
            drawn.append({"title": f"mIoU against {x_title.split(',')[0]}", "svg": chart})
    return drawn


def error_charts(about: About, groups: Groups) -> list[dict[str, Any]]:
    """mIoU against clicks with and without errors, a chart a method, all on one scale."""
    if len(about.errors) < 2:
        return []
    drawn = []
    every = [r.miou for key, group in groups.items() if key[1] for r in group]
    for n, method in enumerate(about.methods, start=1):
        series = [
            _series(groups, method, error, lambda r: r.budget["clicks_per_image"], n, dash=i)
            for i, error in enumerate(about.errors)
        ]
        series = [
            dataclasses.replace(s, name=f"{method}, {_errors_name(error)}")
            for s, error in zip(series, about.errors, strict=True)
            if s.points
        ]
        if chart := _chart(series, "clicks an image", [], (340, 220), every):
            drawn.append({"title": method, "svg": chart})
    return drawn


def _series(
    groups: Groups,
    method: str,
    error: float,
    cost: Callable[[Result], float],
    color: int,
    dash: int = 0,
) -> charts.Series:
    """A method's budgets, cheapest first; those that cost nothing in this unit are left out."""
    points = []
    for (name, budget, share), group in groups.items():
        if name == method and budget and share == error and (x := _mean(map(cost, group))):
            mean, deviation = intervals.mean_and_spread([r.miou for r in group])
            points.append((x, mean, deviation or 0.0))
    points.sort()
    return charts.Series(
        method,
        [(x, y) for x, y, _ in points],
        color=color,
        dots=True,
        errors=[e for _, _, e in points],
        dash=dash,
    )


def _chart(
    series: Sequence[charts.Series],
    x_title: str,
    levels: Sequence[tuple[str, float]],
    size: tuple[int, int] = (460, 330),
    y_also: Sequence[float] = (),
) -> str | None:
    """A chart; None where there is nothing to draw. Levels far off would flatten the curves: only
    those no further from them than the curves are high are drawn."""
    xs = [x for s in series for x, _ in s.points]
    if not xs:
        return None
    ys = [
        y + sign * e
        for s in series
        for (_, y), e in zip(s.points, s.errors, strict=True)
        for sign in (-1, 1)
    ]
    low, high = min(ys), max(ys)
    levels = [level for level in levels if 2 * low - high <= level[1] <= 2 * high - low]
    return charts.line_chart(
        series,
        x_title,
        f"mIoU against {x_title}",
        size,
        log=max(xs) >= DECADE * min(xs),
        levels=levels,
        y_also=y_also,
    )


# ---------------------------------------------------------------------------------------- examples


def examples(
    workdir: pathlib.Path,
    about: About,
    done: Sequence[Result],
    shown: Domain,
    table: ClassTable,
) -> list[dict[str, Any]]:
    """On each image, for each budget, what every method asked over all stages; of one seed."""
    by_cell = {}
    for result in sorted(done, key=lambda r: -r.cell.seed):
        cell = result.cell
        if cell.budget and cell.error == about.errors[0]:
            by_cell[cell.method, cell.budget] = cell
    asked = {k: results.queries_of(workdir / c.name, shown.ids) for k, c in by_cell.items()}
    found = []
    read_label = shown.read_label
    assert read_label is not None  # comparing needs the truth
    for i, image in enumerate(shown.ids):
        pixels, name = shown.read_image(i), f"photo-{i}"
        size = pixels.shape[:2]
        truth = [pictures.prediction_layer(read_label(i), table)]
        rows = []
        for budget in about.budgets:
            cells = []
            for method in about.methods:
                if queries := asked.get((method, budget), {}).get(image):
                    text = f"{method}. {pictures.what_was_asked(_together(queries))}"
                    layers = [x for query in queries for x in pictures.asked_layers(query)]
                    svg = pictures.picture(size, f"{name}-dim", layers, f"{image}: {text}")
                    cells.append((text, svg))
            if cells:
                rows.append({"title": f"{budget.title} an image", "cells": cells})
        found.append(
            {
                "name": image,
                "photo": pictures.photo(pixels, name),
                "image": pictures.picture(size, name, [], f"{image}: the image"),
                "truth": pictures.picture(size, name, truth, f"{image}: the truth"),
                "rows": rows,
            }
        )
    return found if asked else []


def _together(queries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One image's queries of all stages as one."""
    kind = queries[0]["kind"]
    return queries[0] | {kind: [piece for query in queries for piece in query[kind]]}


# ---------------------------------------------------------------------------------------- markdown


def markdown(about: About, done: Sequence[Result], sections: dict[str, list[Table]]) -> str:
    """The tables as GitHub's Markdown."""
    images = len(done[0].confusions) if done else 0
    lines = [
        f"# {', '.join(about.methods)} on {about.config}",
        "",
        f"{len(done)} of {about.runs} runs. mIoU in percent: mean ± standard deviation over seeds, "
        f"scored on the {images} images of {about.val}. Points, clicks and time are an image's, "
        f"over all stages; time is {about.seconds_per_click:g} s a click, an assumption. "
        f"*Gap closed*: from `source_only` to `full` of the same seed. *Near a border*: the share "
        f"of the asked pixels within {oracle.NEAR} pixels of another class. *Void*: the share of "
        f"the clicks that gave no label. *Wrong*: the share of the labelled pixels whose label is "
        f"not the truth.",
        "",
    ]
    titles = {
        "results": "Results",
        "differences": "Paired differences",
        "errors": "Wrong answers",
        "classes": "Classes",
    }
    for name, tables in sections.items():
        if tables:
            lines += [f"## {titles[name]}", ""]
        if name == "differences" and tables:
            lines += [
                "Of runs with the same seed, budget and answers. *Over seeds*: Student's interval, "
                "how far training itself varies. *Over images*: paired bootstrap of the scored "
                "images, how far it matters which ones were scored.",
                "",
            ]
        for table in tables:
            lines += [f"**{table.title}**", ""] if table.title else []
            lines += [*_markdown_table(table), ""]
    lines += [f"{skip}." for skip in about.skipped]
    return "\n".join(lines).rstrip() + "\n"


def _markdown_table(table: Table) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    rule = ["---", *["--:"] * (len(table.head) - 1)]
    of_methods = table.head[0] in ("method", "difference")
    rows = [[_code(first) if of_methods else first, *rest] for first, *rest in table.rows]
    return [line(table.head), f"|{'|'.join(rule)}|", *map(line, rows)]


def _code(text: str) -> str:
    """The name of a method, or the two of a difference, as code."""
    return f" {MINUS} ".join(f"`{name}`" for name in text.split(f" {MINUS} "))


# ----------------------------------------------------------------------------- how it is written


def spread(values: Sequence[float], digits: int = 1) -> str:
    """ "45.1 ± 0.8"; a single value has no spread, and no value is a dash."""
    if not values:
        return ABSENT
    mean, deviation = intervals.mean_and_spread(values)
    after = "" if deviation is None else f" ± {deviation:.{digits}f}"
    return f"{mean:.{digits}f}{after}"


def signed(value: float) -> str:
    """ "+1.2" or "−0.3", with a real minus sign."""
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", MINUS)  # -0.0 + 0.0 is 0.0


def between(interval: intervals.Interval | None) -> str:
    """ "−0.4 to +2.8"; a dash where there is no interval."""
    return ABSENT if interval is None else f"{signed(interval[0])} to {signed(interval[1])}"


def _whole(values: Sequence[float]) -> str:
    return f"{_mean(values):.0f}" if values else ABSENT


def _cost(value: float) -> str:
    return f"{value:,.1f}" if value else ABSENT


def _share(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return str(percent(_mean(known))) if known else ABSENT


def _iou(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{_mean(known):.1f}" if known else ABSENT


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))


def _errors_name(error: float) -> str:
    return f"{100 * error:.4g} % wrong" if error else "no errors"


def _errors_title(about: About, error: float) -> str:
    return _errors_name(error).capitalize() if len(about.errors) > 1 or error else ""


def _and_errors(about: About, error: float) -> str:
    return f", {_errors_name(error)}" if len(about.errors) > 1 or error else ""


# ------------------------------------------------------------------------------- what is compared


def _paired(
    groups: Groups, first: tuple, second: tuple
) -> tuple[list[Result], list[Result]] | None:
    """The runs of two groups with the same seeds, in the same order."""
    a = {r.cell.seed: r for r in groups.get(first, [])}
    b = {r.cell.seed: r for r in groups.get(second, [])}
    seeds = sorted(a.keys() & b.keys())
    return ([a[s] for s in seeds], [b[s] for s in seeds]) if seeds else None


def _difference(
    first: Sequence[Result], second: Sequence[Result], samples: dict[Cell, np.ndarray]
) -> list[str]:
    """The mean difference second - first, how many seeds, and both intervals."""
    differences = [b.miou - a.miou for a, b in zip(first, second, strict=True)]
    over_images = intervals.over_images(
        [samples[r.cell] for r in first], [samples[r.cell] for r in second]
    )
    return [
        signed(float(np.mean(differences))),
        str(len(differences)),
        between(intervals.over_seeds(differences)),
        between(over_images),
    ]


def _samples(done: Sequence[Result]) -> dict[Cell, np.ndarray]:
    """Each run's mIoU on the resampled images."""
    if not done:
        return {}
    weights = intervals.resamples(len(done[0].confusions))
    return {r.cell: intervals.resampled_mious(r.confusions, weights) for r in done}


def _reference_scores(groups: Groups) -> list[tuple[str, float]]:
    keys = [(name, None, 0.0) for name in ("source_only", "uda", "full")]
    return [(key[0], _mean(r.miou for r in groups[key])) for key in keys if key in groups]


def _runs(done: Sequence[Result]) -> list[dict[str, Any]]:
    """Every run with its score and the address of its report."""
    return [
        {
            "name": r.cell.name,
            "href": f"{urllib.parse.quote(r.cell.name)}/report.html",
            "miou": r.miou,
            "seconds": r.wall_seconds,
        }
        for r in done
    ]
