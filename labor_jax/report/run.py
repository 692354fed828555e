"""What a run's DIR holds, read at any stage of the run: what is not there yet is empty."""

import collections
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from labor_jax import files
from labor_jax.monitor import read_metrics

UNSURE = 255
"""The class of an answer that gives no label: void, or the annotator was unsure."""

StageImage = tuple[int, str]
"""A stage and an image's id: what one query is about."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's files.

    Attributes:
      summary: `summary.json`, {} if there is none yet.
      config: the run's config.
      records: the lines of `metrics.jsonl`.
      previews: by stage, "final" last: the prediction's file of each previewed image, by id.
      queries: of the previewed images only.
      answers: of the previewed images only, in the order of the journal.
      ledger: what each query asked and cost: queries, points, segments, pixels, size (pixels of
        the image), clicks, void, seconds.
    """

    summary: dict[str, Any]
    config: dict[str, Any]
    records: list[dict[str, Any]]
    previews: dict[int | str, dict[str, pathlib.Path]]
    queries: dict[StageImage, dict[str, Any]]
    answers: dict[StageImage, list[dict[str, Any]]]
    ledger: dict[StageImage, collections.Counter]

    @property
    def images(self) -> list[str]:
        """The ids of the previewed images."""
        return sorted(set().union(*self.previews.values()))


def read_run(workdir: str | os.PathLike) -> Run:
    """Reads a run's DIR; of queries and answers, only those of previewed images are kept whole."""
    workdir = pathlib.Path(workdir)
    summary = _json(workdir / "summary.json")
    previews = read_previews(workdir / "previews")
    shown = set().union(*previews.values())
    queries, answers = {}, collections.defaultdict(list)
    ledger = collections.defaultdict(collections.Counter)
    for path in sorted((workdir / "queries").glob("stage_*.jsonl")):
        for query in _lines(path):
            key = (query["stage"], query["image"])
            ledger[key].update(cost_of_query(query))
            if key[1] in shown:
                queries[key] = query
    for answer in last_answers(_lines(workdir / "annotations" / "journal.jsonl")):
        key = (answer["stage"], answer["image"])
        seconds = answer.get("seconds") or 0
        ledger[key].update(clicks=1, void=int(answer["class"] == UNSURE), seconds=seconds)
        if key[1] in shown:
            answers[key].append(answer)
    return Run(
        summary=summary,
        config=summary.get("config") or _json(workdir / "config.json"),
        records=read_metrics(workdir),
        previews=previews,
        queries=queries,
        answers=dict(answers),
        ledger=dict(ledger),
    )


def read_previews(folder: pathlib.Path) -> dict[int | str, dict[str, pathlib.Path]]:
    """The predictions kept at each stage, by image id; "final" comes last."""
    previews: dict[int | str, dict[str, pathlib.Path]] = {}
    for stage in sorted(folder.glob("stage_*"), key=lambda p: int(p.name.removeprefix("stage_"))):
        previews[int(stage.name.removeprefix("stage_"))] = _by_id(stage)
    if (folder / "final").is_dir():
        previews["final"] = _by_id(folder / "final")
    return previews


def cost_of_query(query: dict[str, Any]) -> dict[str, int]:
    """What a query asks: points, segments, pixels; and the size of its image in pixels."""
    points, segments = query.get("points") or [], query.get("segments") or []
    return {
        "queries": 1,
        "points": len(points),
        "segments": len(segments),
        "pixels": len(points) + sum(sum(runs[1::2]) for runs in segments),
        "size": query["size"][0] * query["size"][1],
    }


def last_answers(answers: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers that hold: of several to one piece of a query, the last; without a class, none.

    An annotator who takes an answer back, or mends it, adds a line to the journal.
    """
    last = {(answer["query"], answer["piece"]): answer for answer in answers}
    return [answer for answer in last.values() if answer["class"] is not None]


def _by_id(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    paths = sorted(p for p in folder.rglob("*.png") if not p.name.startswith("."))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def _json(path: pathlib.Path) -> dict[str, Any]:
    return files.read_json(path) if path.exists() else {}


def _lines(path: pathlib.Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSON-lines file; a last line still being written is left out."""
    if not path.exists():
        return
    with open(path) as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)
