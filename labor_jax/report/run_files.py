"""What a run's DIR holds, read at any stage of the run: what is not there yet is empty."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from labor_jax.annotation import journal, ledger
from labor_jax.config.changes import flat
from labor_jax.report.monitor import read_metrics
from labor_jax.util import files

StageImage = tuple[int | str, str]
"""A stage and an image's id: what one query is about."""


@dataclasses.dataclass(frozen=True)
class RunFiles:
    """A run's files.

    Attributes:
      summary: `summary.json`, {} if there is none yet.
      config: the run's config, by dotted key.
      records: the lines of `metrics.jsonl`.
      previews: by stage, "final" last: the prediction's file of each previewed image, by id.
      queries: of the previewed images only.
      answers: that stand, of the previewed images only, in the order of the journal.
      ledger: the ledger's row of each query.
      annotators: the ledger's row of each annotator.
      agreement: of each two annotators that share an image.
      sizes: how many pixels each queried image has.
    """

    summary: dict[str, Any]
    config: dict[str, Any]
    records: list[dict[str, Any]]
    previews: dict[int | str, dict[str, pathlib.Path]]
    queries: dict[StageImage, dict[str, Any]]
    answers: dict[StageImage, list[dict[str, Any]]]
    ledger: list[ledger.Row]
    annotators: list[dict[str, Any]]
    agreement: list[dict[str, Any]]
    sizes: dict[str, int]

    @property
    def images(self) -> list[str]:
        """The ids of the previewed images."""
        return sorted(set().union(*self.previews.values()))


def read_run_files(workdir: str | os.PathLike) -> RunFiles:
    """Reads a run's DIR, and changes nothing in it: the run may be going on."""
    workdir = pathlib.Path(workdir)
    summary = _json(workdir / "summary.json")
    previews = read_previews(workdir / "previews")
    shown = set().union(*previews.values())
    path = journal.path(workdir)
    written = files.Index((path, place, line["query"]) for place, line in _lines(workdir))
    queries, answers, rows, sizes = {}, {}, [], {}
    for path in sorted((workdir / "queries").glob("stage_*.jsonl")):
        for _, query in files.json_lines(path):
            rows.append(ledger.row(query, written.get(query["id"], [])))
            sizes[query["image"]] = query["size"][0] * query["size"][1]
            if query["image"] in shown:
                queries[query["stage"], query["image"]] = query
                if own := journal.answers_to(query, written):
                    answers[query["stage"], query["image"]] = own
    return RunFiles(
        summary=summary,
        config=flat(summary.get("config") or _json(workdir / "config.json")),
        records=read_metrics(workdir),
        previews=previews,
        queries=queries,
        answers=answers,
        ledger=rows,
        annotators=ledger.annotators(line for _, line in _lines(workdir)),
        agreement=ledger.agreement_by_query(written.values()),
        sizes=sizes,
    )


def read_previews(folder: pathlib.Path) -> dict[int | str, dict[str, pathlib.Path]]:
    """The predictions kept at each stage, by image id; "final" comes last."""
    previews: dict[int | str, dict[str, pathlib.Path]] = {}
    for stage in sorted(folder.glob("stage_*"), key=lambda p: int(p.name.removeprefix("stage_"))):
        previews[int(stage.name.removeprefix("stage_"))] = _by_id(stage)
    if (folder / "final").is_dir():
        previews["final"] = _by_id(folder / "final")
    return previews


def _by_id(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    paths = sorted(p for p in folder.rglob("*.png") if not p.name.startswith("."))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def _json(path: pathlib.Path) -> dict[str, Any]:
    return files.read_json(path) if path.exists() else {}


def _lines(workdir: pathlib.Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The journal's lines with their places; one that is being written is left out."""
    return files.json_lines(journal.path(workdir), growing=True)
