"""What a person sees while a run goes on: progress, `metrics.jsonl` and TensorBoard.

Everything recorded is a function of the run's config and step, except `steps_per_second`: two runs
of one config can be compared line by line.
"""

import contextlib
import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

import rich.console
import rich.progress

from labor_jax.report.events import Events
from labor_jax.util import files, hosts
from labor_jax.util.errors import UserError

Metrics = Mapping[str, Any]
"""Scalars by name: floats, or 0-d arrays that are fetched only when shown or recorded."""

LINE_SECONDS = 10.0
BAR_SECONDS = 0.5


def read_metrics(workdir: str | os.PathLike) -> list[dict[str, Any]]:
    """The records of a run's `metrics.jsonl`, in order; none if there is no file yet.

    A line that a killed run left half-written is left out.
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
    """Raises UserError unless a run's `metrics.jsonl` has a record of each (step, phase).

    A file that was deleted lacks none: the next one begins with a record of phase "start", and
    nothing up to its step is expected.
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
            f"{path}: damaged: the record of {phase} at step {step} is lost; restore it from a "
            f"copy, or delete it to go on without what was recorded so far"
        )


def console() -> rich.console.Console:
    """Where people look: stderr; in a notebook stdout, since it shows the other as an error."""
    in_notebook = "ipykernel" in sys.modules
    return rich.console.Console(
        stderr=not in_notebook,
        force_jupyter=False,  # or each line would be an output of its own, tall and cut off
        force_terminal=False if in_notebook else None,  # whatever its kernel's FORCE_COLOR says
        highlight=False,
        soft_wrap=True,
    )


class Progress:
    """Where a phase stands. `advance` may be called at every step: it seldom shows anything."""

    def __init__(self, title: str, first: int, last: int, every: float, unit: str) -> None:
        self.title, self.first, self.last, self.unit = title, first, last, unit
        self.step = first
        self.metrics: Metrics = {}
        self.show: Callable[[Progress], None] = lambda _: None
        self._every = every
        self._shown_at, self._shown_step = time.monotonic(), first
        self._start: tuple[int, float] | None = None

    def advance(self, step: int, metrics: Metrics | None = None) -> None:
        """Says how many steps or images are done, and the latest metrics if there are new ones."""
        now = time.monotonic()
        self.step = step
        self.metrics = self.metrics if metrics is None else metrics
        # Counting from the first step's end leaves out compilation, and what ran before a resume.
        self._start = self._start or (step, now)
        if step >= self.last or now - self._shown_at >= self._every:
            self._show(now)

    def finish(self) -> None:
        """Shows the last step if it was not shown yet."""
        if self._shown_step != self.step:
            self._show(time.monotonic())

    @property
    def steps_per_second(self) -> float | None:
        """The mean speed since the first step; None until there are two."""
        if self._start is None or self.step <= self._start[0]:
            return None
        return (self.step - self._start[0]) / max(time.monotonic() - self._start[1], 1e-9)

    def describe(self) -> str:
        """Speed, time left and the latest metrics, on one line."""
        parts = []
        if speed := self.steps_per_second:
            parts.append(f"{speed:.3g} {self.unit}s/s")
            if left := (self.last - self.step) / speed:
                parts.append(f"{_clock(left)} left")
        parts += [f"{name} {_short(value)}" for name, value in self.metrics.items()]
        return " · ".join(parts)

    def _show(self, now: float) -> None:
        self._shown_at, self._shown_step = now, self.step
        self.show(self)


class Monitor:
    """Shows and records a run; in every process but the first, it does neither.

    Used as a context manager. What `DIR` recorded after `resume_step` is dropped, since it is
    about to happen again.
    """

    def __init__(self, workdir: str | os.PathLike, resume_step: int = 0) -> None:
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
        # A run killed between recording at a step and saving that step records it once more.
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
        """Shows the phase that leads from `first` to `last` units done; yields its `Progress`."""
        title = f"stage {stage} · {name}" if stage else name
        with show_progress(title, first, last, unit, self._console) as progress:
            yield progress

    def record(self, step: int, phase: str, stage: int, metrics: Metrics) -> None:
        """Appends scalars to `metrics.jsonl` and TensorBoard; what is not finite becomes null."""
        if self._metrics is None or self._tensorboard is None:
            return
        values = {name: _number(value) for name, value in metrics.items()}
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


@contextlib.contextmanager
def show_progress(
    title: str,
    first: int,
    last: int,
    unit: str,
    shown_on: rich.console.Console | None = None,
) -> Iterator[Progress]:
    """Shows what leads from `first` to `last`: a bar on a terminal, else a line now and then.

    Args:
      unit: what is counted, such as "step" or "image".
    """
    shown_on = shown_on or console()
    on_terminal = shown_on.is_terminal
    every = BAR_SECONDS if on_terminal else LINE_SECONDS
    progress = Progress(title, first, last, every, unit)
    with (_bar if on_terminal else _lines)(shown_on, progress) as progress.show:
        if first < last:
            progress.show(progress)
        try:
            yield progress
        finally:
            progress.finish()


@contextlib.contextmanager
def _bar(console: rich.console.Console, progress: Progress) -> Iterator[Callable[[Progress], None]]:
    columns = (
        rich.progress.TextColumn("{task.description}", markup=False),
        rich.progress.BarColumn(bar_width=24),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TextColumn("{task.fields[text]}", markup=False),
    )
    with rich.progress.Progress(*columns, console=console, refresh_per_second=4) as bar:
        task = bar.add_task(progress.title, total=progress.last - progress.first, text="")
        yield lambda p: bar.update(task, completed=p.step - p.first, text=p.describe())


@contextlib.contextmanager
def _lines(
    console: rich.console.Console, progress: Progress
) -> Iterator[Callable[[Progress], None]]:
    def show(p: Progress) -> None:
        total = p.last - p.first
        count = f"{p.unit} {p.step - p.first:>{len(str(total))}}/{total}"
        line = " · ".join(filter(None, (f"{p.title:<20} {count}", p.describe())))
        console.print(line, markup=False)

    yield show


def _identity(record: Mapping[str, Any]) -> str:
    return json.dumps([record[key] for key in ("step", "phase", "stage")] + sorted(record))


def _number(value: Any) -> float | int | None:
    number = value if type(value) is int else None if value is None else float(value)
    return number if number is not None and math.isfinite(number) else None


def _short(value: Any) -> str:
    number = _number(value)
    return "n/a" if number is None else f"{number:.4g}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
