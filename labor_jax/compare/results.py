"""The results of a finished cell: its scores and costs, and figures that are counted once."""

import io
import json
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from labor_jax.annotation import journal, oracle
from labor_jax.annotation import queries as q
from labor_jax.compare import intervals
from labor_jax.compare.cells import Budget, Cell, seconds
from labor_jax.config.protocol import Costs
from labor_jax.data.domain import Domain
from labor_jax.data.labels import IGNORE, ClassTable
from labor_jax.loop import resume
from labor_jax.util import files
from labor_jax.util.errors import UserError


class Result(NamedTuple):
    """A finished cell's figures.

    Attributes:
      miou, per_class_iou: of `summary.json`, in percent.
      budget: of `summary.json`: what was asked, over all stages.
      wall_seconds: the computing time.
      border: share of the asked pixels of a class that are near another class; None if none is.
      wrong: share of the labelled pixels whose label is not the truth; None if none is labelled.
      confusions: [N, C, C] int64, of each image that it was scored on.
      samples: [B] float64, the mIoU on each resample of these images.
    """

    cell: Cell
    miou: float
    per_class_iou: dict[str, float | None]
    budget: dict[str, Any]
    wall_seconds: float
    border: float | None
    wrong: float | None
    confusions: np.ndarray
    samples: np.ndarray

    @property
    def void(self) -> float | None:
        """The share of the clicks that gave no label; None where there were none."""
        return self.budget["void"] / self.budget["clicks"] if self.budget["clicks"] else None

    def seconds_per_image(self, costs: Costs) -> float:
        """The time a person would need for an image."""
        return seconds(self.cell, self.budget["clicks_per_image"], costs)


Key = tuple[str, Budget | None, float]
"""(method, budget, share of errors): what the runs of a group have in common, all but the seed."""
Groups = dict[Key, list[Result]]


def count(workdir: str | os.PathLike, target: Domain, table: ClassTable) -> None:
    """Writes `compare.npz` of a finished run, with figures that `summary.json` does not have.

    "confusions" [N, C, C] int64, of each scored image; and, int64 each, of the target's pixels:
    "classed", asked and of a class; "border", those of them near another class; "labelled"; and
    "wrong", those of them whose label is not the truth.

    Raises:
      UserError: the run has no confusion matrices, as those of earlier versions.
    """
    matrices = pathlib.Path(workdir, resume.CONFUSIONS)
    if not matrices.exists():
        raise UserError(
            f"{matrices} is missing, as of a run that an earlier version finished; delete "
            f"{workdir}, and the same command runs it again"
        )
    found: dict[str, Any] = {"confusions": np.load(matrices)}
    found |= dict.fromkeys(("classed", "border", "labelled", "wrong"), 0)
    read = target.read_label
    assert read is not None  # its answers came from them
    index = {image: i for i, image in enumerate(target.ids)}
    written = journal.on_disk(workdir, table)
    for image, queries in q.by_image(workdir, q.stages(workdir)).items():
        truth = read(index[image])
        pixels = np.concatenate([q.asked_pixels(query) for query in queries])
        answers = [entry for query in queries for entry in journal.answers_to(query, written)]
        label = journal.label_map(answers, truth.shape)
        labelled = label != IGNORE
        found["classed"] += int((truth.ravel()[pixels] != IGNORE).sum())
        found["border"] += int(oracle.at_border(truth).ravel()[pixels].sum())
        found["labelled"] += int(labelled.sum())
        found["wrong"] += int((labelled & (label != truth)).sum())
    data = io.BytesIO()
    np.savez_compressed(data, allow_pickle=False, **found)
    files.write_atomic(_path(workdir), data.getvalue())


def is_counted(workdir: str | os.PathLike) -> bool:
    """Whether `count` has been done for a run."""
    return _path(workdir).exists()


def read(workdir: str | os.PathLike, cell: Cell) -> Result:
    """The figures of a finished run that was counted."""
    summary = files.read_json(pathlib.Path(workdir, "summary.json"))
    with np.load(_path(workdir)) as file:
        counted = dict(file)
    return Result(
        cell,
        summary["mIoU"],
        summary["per_class_iou"],
        summary["budget"],
        summary["wall_seconds"],
        _share(counted["border"], counted["classed"]),
        _share(counted["wrong"], counted["labelled"]),
        counted["confusions"],
        intervals.resampled_mious(
            counted["confusions"], intervals.resamples(len(counted["confusions"]))
        ),
    )


def gap_closed(results: Sequence[Result]) -> dict[Cell, float]:
    """Each cell's gap closed, as a share: its way from `source_only` to `full` of its own seed.

    Cells whose references are not finished yet are left out.
    """
    references = {(r.cell.method, r.cell.seed): r.miou for r in results if not r.cell.budget}
    closed = {}
    for result in results:
        low = references.get(("source_only", result.cell.seed))
        high = references.get(("full", result.cell.seed))
        if low is not None and high is not None and high != low:
            closed[result.cell] = (result.miou - low) / (high - low)
    return closed


def groups(results: Sequence[Result]) -> Groups:
    """The runs that differ in their seed only, by method, budget and errors; in order."""
    found: Groups = {}
    for result in sorted(results, key=lambda r: r.cell.seed):
        cell = result.cell
        found.setdefault((cell.method, cell.budget, cell.error), []).append(result)
    return found


def queries_of(workdir: str | os.PathLike, images: Iterable[str]) -> dict[str, list[q.Query]]:
    """The queries of all stages about some images; only their lines are parsed."""
    marks = {image: f'"image": {json.dumps(image)}'.encode() for image in images}
    found: dict[str, list[q.Query]] = {image: [] for image in marks}
    for stage in q.stages(workdir):
        with open(q.queries_path(workdir, stage), "rb") as lines:
            for line in lines:
                for image in (image for image, mark in marks.items() if mark in line):
                    found[image].append(json.loads(line))
    return found


def _share(part: np.ndarray, whole: np.ndarray) -> float | None:
    return float(part / whole) if whole else None


def _path(workdir: str | os.PathLike) -> pathlib.Path:
    return pathlib.Path(workdir, "compare.npz")
