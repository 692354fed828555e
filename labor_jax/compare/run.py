"""Runs the cells of a comparison that are missing, one after the other, and writes its page."""

import contextlib
import gc
import os
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import ml_collections
import numpy as np

from labor_jax.compare import cells, page, results, tables
from labor_jax.compare.cells import Cell
from labor_jax.config import checking, places
from labor_jax.config.protocol import Protocol
from labor_jax.data import loading
from labor_jax.loop import resume, schedule
from labor_jax.report.template import duration
from labor_jax.train import batch
from labor_jax.util import addresses, files, lock, outputs, plugins
from labor_jax.util.errors import UserError

RUNS = 10
"""After so many runs compiled programs are forgotten, since each run adds some of its own."""
PAUSE = 20
"""A page that takes a second is written at most once in so many: it grows with the runs."""


class Asked(NamedTuple):
    """What is to be run.

    Attributes:
      name: the config's.
      protocol: its texts are not parsed yet.
      examples: how many images to show queries on.
    """

    name: str
    protocol: Protocol
    examples: int


def run(
    config: ml_collections.ConfigDict, workdir: str | os.PathLike, asked: Asked
) -> pathlib.Path:
    """Runs the cells that are missing in DIR, and writes the page at the end and now and then.

    Returns:
      The page's path.
    Raises:
      UserError: a flag is wrong, or a cell's config, data or folder. If this can be known before
        the first run, it is raised before.
    """
    workdir = pathlib.Path(addresses.local(workdir, "--workdir"))
    protocol = asked.protocol
    methods = list(dict.fromkeys(protocol.methods))
    plugins.load(config.plugins)
    config = places.localized(config)
    cells.check_methods(methods)
    budgets = list(dict.fromkeys(map(cells.parse_budget, protocol.budgets)))
    errors = cells.parse_errors(protocol.errors)
    plan, skipped = cells.plan(
        methods,
        budgets,
        protocol.seeds,
        errors,
        cells.REFERENCES if config.source.domain else ("full",),
    )
    _check_folder(workdir, config, plan)
    configs = {}
    for cell in plan:
        with _named(cell):
            warmup = str(workdir / Cell("full", cell.seed).name)
            configs[cell] = cells.cell_config(config, cell, warmup, protocol.costs)
            checking.check(configs[cell])
            configs[cell] = batch.on_devices(configs[cell])
            resume.check_same_run(configs[cell], workdir / cell.name)
    table = loading.table_from_config(config.classes)
    target, val = (loading.load(config[n], config.data_dir, table) for n in ("target", "val"))
    for name, opened, why in (("target", target, "to answer from"), ("val", val, "to score with")):
        if opened.read_label is None:
            raise UserError(f"config.{name}: {opened.name} has no labels {why}; give some")
    for line in skipped:
        print(line)

    about = tables.About(
        asked.name,
        val.name,
        methods,
        budgets,
        errors,
        protocol.costs,
        skipped,
        len(plan),
    )
    shown = _spread(len(target.ids), asked.examples)
    done: list[results.Result] = []

    def write() -> pathlib.Path:
        return page.write(workdir, about, done, target.take(shown), table)

    with lock.hold(workdir, lock.RUN, "labor-jax compare"):
        missing = [cell for cell in plan if not _is_done(workdir / cell.name)]
        done += [results.read(workdir / c.name, c) for c in plan if c not in missing]
        due = 0.0
        try:
            for number, cell in enumerate(missing):
                folder = workdir / cell.name
                print(_where_it_stands(cell, plan, missing[number:], done), flush=True)
                with _named(cell):
                    schedule.run(configs[cell], folder)
                    results.count(folder, target, table)
                done.append(results.read(folder, cell))
                if (number + 1) % RUNS == 0:
                    jax.clear_caches()
                    gc.collect()
                if (begun := time.monotonic()) >= due:
                    write()
                    due = begun + PAUSE * (time.monotonic() - begun)
        finally:
            written = write()
        return written


def _check_folder(
    workdir: pathlib.Path, config: ml_collections.ConfigDict, plan: Sequence[Cell]
) -> None:
    """Raises UserError where DIR has a page that no comparison of ours wrote, or is read from."""
    outputs.check_apart(workdir, "--workdir", places.folders_of(config), around=True)
    if any((workdir / cell.name / "config.json").exists() for cell in plan):
        return
    for name in page.FILES:
        outputs.check_file(workdir / name, "--workdir", ())


@contextlib.contextmanager
def _named(cell: Cell) -> Iterator[None]:
    """Adds the cell's name to a UserError."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{cell.name}: {error}") from None


def _is_done(folder: pathlib.Path) -> bool:
    summary = folder / "summary.json"
    finished = summary.exists() and files.read_json(summary).get("status") == "finished"
    return finished and results.is_counted(folder)


def _where_it_stands(
    cell: Cell, plan: Sequence[Cell], missing: Sequence[Cell], done: Sequence[results.Result]
) -> str:
    """A line that says which run begins, and estimates the time of all by the finished ones."""
    of_all = [result.wall_seconds for result in done]
    left = 0.0
    for other in missing:
        alike = [r.wall_seconds for r in done if r.cell.method == other.method]
        left += float(np.mean(alike or of_all or [0]))
    time = f", about {duration(left)} left" if left else ""
    return f"run {len(plan) - len(missing) + 1} of {len(plan)}: {cell.name}{time}"


def _spread(images: int, number: int) -> list[int]:
    """Numbers of images, spread evenly, without the first and last, which are often alike."""
    return sorted({(2 * i + 1) * images // (2 * number) for i in range(number)})
