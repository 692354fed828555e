"""The comparison's page, `compare.html`, its tables as Markdown, and its figures as JSON."""

import os
import pathlib
import urllib.parse
from collections.abc import Sequence
from typing import Any

from labor_jax.annotation import oracle
from labor_jax.compare import record, results
from labor_jax.compare.cost_charts import cost_charts, error_charts
from labor_jax.compare.results import Result
from labor_jax.compare.tables import (
    MINUS,
    About,
    Table,
    class_tables,
    difference_tables,
    errors_name,
    errors_tables,
    findings,
    rank_tables,
    reference_scores,
    results_table,
)
from labor_jax.data.domain import Domain
from labor_jax.data.labels import ClassTable
from labor_jax.report import charts, pictures
from labor_jax.report.template import render
from labor_jax.util import files, outputs

FILES = ("compare.html", "compare.md", "compare.json")
"""The page, its tables as Markdown, and the figures of which they are made."""


def write(
    workdir: str | os.PathLike,
    about: About,
    done: Sequence[Result],
    shown: Domain,
    table: ClassTable,
) -> pathlib.Path:
    """Writes the `FILES` of the finished runs; returns the page's path.

    Args:
      done: the finished runs' figures.
      shown: the target's images on which the queries are shown.
      table: the classes.
    """
    workdir = pathlib.Path(workdir)
    groups = results.groups(done)
    sections = {
        "results": [results_table(about, groups, done, error) for error in about.errors],
        "ranks": rank_tables(about, groups),
        "differences": difference_tables(about, groups),
        "errors": errors_tables(about, groups),
        "classes": class_tables(about, groups, table),
    }
    sections = {name: [t for t in tables if t.rows] for name, tables in sections.items()}
    page = render(
        "compare/compare.html.j2",
        about=about,
        mark=outputs.MARK,
        near=oracle.NEAR,
        done=len(done),
        images=len(done[0].confusions) if done else 0,
        references=reference_scores(groups),
        findings=findings(about, groups, done),
        legend=[(name, charts.key(n)) for n, name in enumerate(about.methods, start=1)],
        charts=cost_charts(about, groups),
        error_charts=error_charts(about, groups),
        error_legend=[(errors_name(e), charts.key(0, n)) for n, e in enumerate(about.errors)],
        examples=examples(workdir, about, done, shown, table),
        colors=[
            (name, pictures.css(color))
            for name, color in zip(table.names, table.palette, strict=True)
        ],
        runs=_runs(done),
        **{f"{name}_tables": tables for name, tables in sections.items()},
    )
    text = f"{markdown(about, done, sections)}\n<!-- {outputs.MARK} -->\n"
    files.write_atomic(workdir / "compare.md", text.encode())
    files.write_atomic(workdir / "compare.json", record.text(about, done).encode())
    files.write_atomic(workdir / "compare.html", page.encode())
    return workdir / "compare.html"


# ---------------------------------------------------------------------------------------- examples


def examples(
    workdir: pathlib.Path,
    about: About,
    done: Sequence[Result],
    shown: Domain,
    table: ClassTable,
) -> list[dict[str, Any]]:
    """For each image and budget, what every method asked over all stages with one seed."""
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
    """One image's queries of all stages, joined into one."""
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
        f"over all stages; time is {about.costs.told}. "
        f"*Gap closed*: from `source_only` to `full` of the same seed. *Near a border*: the share "
        f"of the asked pixels within {oracle.NEAR} pixels of another class. *Void*: the share of "
        f"the clicks that gave no label. *Wrong*: the share of the labelled pixels whose label is "
        f"not the truth.",
        "",
    ]
    titles = {
        "results": "Results",
        "ranks": "Ranks",
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
                "images, how far it matters which ones were scored. *p*: how often such a "
                "difference comes by chance where there is none, corrected for the number of rows "
                "(Holm). *Least seen*: the least difference that as many seeds would show in four "
                "of five comparisons.",
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
