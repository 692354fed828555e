"""What the report needs of a run's files, read at any time: what does not exist yet is empty."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from labor_jax.annotation import checks, journal, ledger
from labor_jax.annotation import queries as q
from labor_jax.config.changes import flat
from labor_jax.report.monitor import read_metrics
from labor_jax.util import files

StageImage = tuple[int | str, str]
"""A stage, from 1 or "final", and an image's id."""


@dataclasses.dataclass(frozen=True)
class RunFiles:
    """What a run's files say. A previewed image is one whose predictions the run keeps.

    Attributes:
      summary: `summary.json`.
      config: the run's config, by dotted key.
      records: the lines of `metrics.jsonl`.
      previews: by stage, "final" last, and image: the file of the prediction.
      masks: by stage and image: the file of the inconsistency mask.
      queries: those about previewed images.
      answers: those about previewed images that stand, in the journal's order.
      written: the journal's lines by their query's id; they are read from disk at each access.
      ledger: a row for each query, as `ledger.rows` gives it.
      annotators: a row for each annotator, as `ledger.annotators` gives it.
      checks: those that people got, by id.
      agreement: a row for each pair of annotators, as `ledger.agreement` gives it.
      sizes: the number of pixels of each image that has a query.
    """

    summary: dict[str, Any]
    config: dict[str, Any]
    records: list[dict[str, Any]]
    previews: dict[int | str, dict[str, pathlib.Path]]
    masks: dict[StageImage, pathlib.Path]
    queries: dict[StageImage, dict[str, Any]]
    answers: dict[StageImage, list[dict[str, Any]]]
    written: files.Index = dataclasses.field(compare=False)
    ledger: list[ledger.Row]
    annotators: list[dict[str, Any]]
    checks: dict[str, q.Query]
    agreement: list[dict[str, Any]]
    sizes: dict[str, int]

    @property
    def images(self) -> list[str]:
        """The ids of the previewed images."""
        return sorted(set().union(*self.previews.values()))


def read_run_files(workdir: str | os.PathLike) -> RunFiles:
    """Reads the files in a run's DIR. It changes none: the run may be going on."""
    workdir = pathlib.Path(workdir)
    summary = _json(workdir / "summary.json")
    previews = read_previews(workdir / "previews")
    shown = set().union(*previews.values())
    path = journal.path(workdir)
    written = files.Index((path, place, line["query"]) for place, line in _lines(workdir))
    answers: dict[StageImage, list[dict[str, Any]]] = {}
    queries, rows, sizes = {}, [], {}
    for fixes in q.fixes(workdir).values():
        rows += [ledger.row(query, written.get(query["id"], [])) for query in fixes]
    for stage in q.stages(workdir):
        for query in q.each_query(workdir, stage):
            rows.append(ledger.row(query, written.get(query["id"], [])))
            sizes[query["image"]] = query["size"][0] * query["size"][1]
            if query["image"] in shown:
                queries[query["stage"], query["image"]] = query
                if own := journal.answers_to(query, written):
                    answers.setdefault((query["stage"], query["image"]), []).extend(own)
    return RunFiles(
        summary=summary,
        config=flat(summary.get("config") or _json(workdir / "config.json")),
        records=read_metrics(workdir),
        previews=previews,
        masks={
            (stage, image): path
            for stage, paths in _by_stage(workdir / "previews", "mask").items()
            for image, path in paths.items()
        },
        queries=queries,
        answers=answers,
        written=written,
        ledger=rows,
        annotators=ledger.annotators(line for _, line in _lines(workdir)),
        checks={check["id"]: check for check in checks.read(workdir)},
        agreement=ledger.agreement_by_query(written.values()),
        sizes=sizes,
    )


def read_previews(folder: pathlib.Path) -> dict[int | str, dict[str, pathlib.Path]]:
    """The files of the predictions that were kept, by stage, "final" last, and image."""
    previews: dict[int | str, dict[str, pathlib.Path]] = {}
    previews.update(_by_stage(folder, "stage").items())
    if (folder / "final").is_dir():
        previews["final"] = _by_id(folder / "final")
    return previews


def _by_stage(folder: pathlib.Path, kind: str) -> dict[int, dict[str, pathlib.Path]]:
    """The files in folders KIND_1, KIND_2, …, by stage and image."""
    found = {int(path.name.rpartition("_")[2]): path for path in folder.glob(f"{kind}_*")}
    return {stage: _by_id(found[stage]) for stage in sorted(found)}


def _by_id(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    paths = sorted(p for p in folder.rglob("*.png") if not p.name.startswith("."))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def checked_lines(run: RunFiles) -> Iterator[dict[str, Any]]:
    """The journal's lines about checks."""
    return (line for check in run.checks for line in run.written.get(check, []))


def _json(path: pathlib.Path) -> dict[str, Any]:
    return files.read_json(path) if path.exists() else {}


def _lines(workdir: pathlib.Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The journal's lines, each with the byte at which it begins.

    A last line that is still being written is left out.
    """
    return files.json_lines(journal.path(workdir), growing=True)
