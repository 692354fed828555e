"""`summary.json`: a run's config, scores and budget, written after each stage and at the end."""

import importlib.metadata
import os
import pathlib
import platform
import time
from typing import Any

import jax
import ml_collections

from labor_jax import __version__
from labor_jax.config.changes import flat
from labor_jax.util import files, hosts
from labor_jax.util.errors import UserError

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


class Summary:
    """The summary of a run so far.

    Attributes:
      values: what `summary.json` holds.

    Raises, where it is made:
      UserError: the file is damaged.
    """

    def __init__(self, workdir: str | os.PathLike, config: ml_collections.ConfigDict) -> None:
        """Reads the file if there is one.

        Args:
          workdir: the run's DIR.
          config: the run's.
        """
        self._path = pathlib.Path(workdir, "summary.json")
        self._start = time.monotonic()
        try:
            old = files.read_json(self._path) if self._path.exists() else {}
            if not isinstance(old, dict):
                raise ValueError("no object")
        except ValueError:
            raise UserError(
                f"{self._path}: damaged; restore it from a copy, or start in another --workdir"
            ) from None
        self._seconds_before = old.get("wall_seconds", 0.0)
        self.values: dict[str, Any] = {
            "config": flat(config),
            "status": old.get("status", "running"),
            "stopped": old.get("stopped"),
            "mIoU": old.get("mIoU"),
            "per_class_iou": old.get("per_class_iou", {}),
            "subsets": old.get("subsets", {}),
            "budget": old.get("budget", {}),
            "stages": old.get("stages", []),
            "data": old.get("data", {}),
            "wall_seconds": self._seconds_before,
            "versions": {"labor_jax": __version__, "python": platform.python_version()}
            | {name: importlib.metadata.version(name) for name in PACKAGES},
            "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        }

    @property
    def finished(self) -> bool:
        """Whether the run has ended."""
        return self.values["status"] == "finished"

    def stage(self, stage: int) -> dict[str, Any] | None:
        """A stage's row; None if the stage has not been evaluated."""
        return next((row for row in self.values["stages"] if row["stage"] == stage), None)

    def add_stage(self, row: dict[str, Any]) -> None:
        """Adds an evaluated stage's row; its scores and budget become the run's."""
        stages = sorted([*self.values["stages"], row], key=lambda r: r["stage"])
        latest = ("mIoU", "per_class_iou", "subsets", "budget")
        self._write(stages=stages, **{key: row[key] for key in latest})

    def finish(self, stopped: str | None) -> None:
        """Marks the run as finished.

        Args:
          stopped: the reason why it ended before its last stage; None if it did not.
        """
        self._write(status="finished", stopped=stopped)

    def _write(self, **changed: Any) -> None:
        self.values |= changed
        seconds = self._seconds_before + time.monotonic() - self._start
        self.values["wall_seconds"] = round(seconds, 1)
        if hosts.first():
            files.write_json(self._path, self.values)


def table(values: dict[str, Any], workdir: str | os.PathLike) -> str:
    """Lines of text: a run's method and status, a row for each stage, its time and its report.

    Args:
      values: what `summary.json` holds.
      workdir: the run's DIR.
    """
    head = f"{'stage':>5} {'mIoU':>6} {'labelled':>9} {'points':>8} {'segments':>9} {'clicks':>8} "
    status = values["status"] + (f" early, {values['stopped']}" if values.get("stopped") else "")
    lines = [f"{values['config']['method']}: {status}", head + f"{'mask':>6}"]
    for row in values["stages"]:
        budget, mask = row["budget"], row["mask"]
        miou = "n/a" if row["mIoU"] is None else f"{row['mIoU']:.1f}"
        share = f"{mask['share']:.1%}" if mask else ""
        lines.append(
            f"{row['stage']:>5} {miou:>6} {budget['fraction']:>9.2%} {budget['points']:>8,} "
            f"{budget['segments']:>9,} {budget['clicks']:>8,} {share:>6}"
        )
    minutes, seconds = divmod(round(values["wall_seconds"]), 60)
    lines.append(f"{minutes} min {seconds} s · open {pathlib.Path(workdir, 'report.html')}")
    return "\n".join(lines)
