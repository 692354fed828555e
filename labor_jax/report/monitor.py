"""What people see of a run while it goes on: progress, `metrics.jsonl` and TensorBoard.

A record is a function of the run's config and step, except for `steps_per_second`: the records of
two runs with one config can be compared line by line.
"""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

from labor_jax.report.events import Events
from labor_jax.util import files, hosts
from labor_jax.util.errors import UserError
from labor_jax.util.progress import Metrics, Progress, console, finite, show_progress


def read_metrics(workdir: str | os.PathLike) -> list[dict[str, Any]]:
    """The records of a run's `metrics.jsonl`, in order; [] if the file does not exist.

    Lines that are no records are left out: a killed run may have left half a line.
    """
    path = pathlib.Path(workdir, "metrics.jsonl")
    records = []
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if isinstance(record, dict) and isinstance(record.get("step"), int):
                records.append(record)
    return records


def check_records(workdir: str | os.PathLike, expected: Iterable[tuple[int, str]]) -> None:
    """Checks that a run's `metrics.jsonl` has all records that are expected of it.

    Users may delete the file. The next one begins with a record of the phase "start" at the step
    from which the run went on, and records up to that step are not expected of it.

    Args:
      workdir: the run's DIR.
      expected: the (step, phase) of each record.
    Raises:
      UserError: a record is missing.
    """
    path = pathlib.Path(workdir, "metrics.jsonl")
    records = read_metrics(workdir)
    start = max((r["step"] for r in records if r.get("phase") == "start"), default=-1)
    there = {(r["step"], r.get("phase")) for r in records}
    lost = [
        (step, phase) for step, phase in expected if step > start and (step, phase) not in there
    ]
    if lost and path.exists():
        step, phase = min(lost)
        raise UserError(
            f"{path}: damaged: the record of {phase} at step {step} is lost; restore the file from "
            f"a copy, or delete it to go on without what was recorded so far"
        )


class Monitor:
    """Shows a run's progress and writes its records; in all processes but the first does nothing.

    To be used as a context manager.
    """

    def __init__(self, workdir: str | os.PathLike, resume_step: int = 0) -> None:
        """Opens the files.

        Args:
          workdir: the run's DIR.
          resume_step: the step from which the run goes on. Records after it are removed: these
            steps are taken again.
        """
        self._console = console()
        self._metrics = self._tensorboard = None
        self._seen: set[str] = set()
        if not hosts.first():
            self._console.quiet = True
            return
        path = pathlib.Path(workdir, "metrics.jsonl")
        records = [r for r in read_metrics(workdir) if r["step"] <= resume_step]
        if resume_step and not path.exists():
            records = [{"step": resume_step, "phase": "start", "stage": 0}]
        lines = [json.dumps(record) for record in records]
        files.write_atomic(path, "".join(f"{line}\n" for line in lines).encode())
        # A run that was killed after it recorded a step and before it saved that step records it
        # again.
        self._seen = {_identity(json.loads(line)) for line in lines}
        self._metrics = open(path, "a")  # noqa: SIM115 (closed by __exit__)
        self._tensorboard = Events(pathlib.Path(workdir, "tensorboard"), resume_step + 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._metrics is not None and self._tensorboard is not None:
            self._metrics.close()
            self._tensorboard.close()

    @contextlib.contextmanager
    def phase(
        self, name: str, stage: int, first: int, last: int, unit: str = "step"
    ) -> Iterator[Progress]:
        """Shows a phase's progress; yields it, to be told what is done.

        Args:
          name: the phase's.
          stage: from 1; 0 for the warm-up.
          first: how many units are done at its beginning.
          last: how many are done at its end.
          unit: what is counted, such as "step" or "image".
        """
        title = f"stage {stage} · {name}" if stage else name
        with show_progress(title, first, last, unit, self._console) as progress:
            yield progress

    def record(self, step: int, phase: str, stage: int, metrics: Metrics) -> None:
        """Appends a record to `metrics.jsonl`, and its scalars to TensorBoard.

        Args:
          metrics: scalars by name; those that are not finite become null.
        """
        if self._metrics is None or self._tensorboard is None:
            return
        values = {name: finite(value) for name, value in metrics.items()}
        record = {"step": step, "phase": phase, "stage": stage, **values}
        if _identity(record) in self._seen:
            return
        self._metrics.write(json.dumps(record) + "\n")
        self._metrics.flush()
        os.fsync(self._metrics.fileno())
        for name, value in values.items():
            if value is not None:
                self._tensorboard.scalar(f"{phase}/{name}", value, step)

    def say(self, line: str) -> None:
        """Prints a line, above the progress bar if there is one."""
        self._console.print(line, markup=False)


def _identity(record: Mapping[str, Any]) -> str:
    """The same for two records of one step, phase and stage that have the same keys."""
    return json.dumps([record[key] for key in ("step", "phase", "stage")] + sorted(record))
