"""The progress of long work: a bar on a terminal, otherwise a line every few seconds."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import rich.console
import rich.progress

Metrics = Mapping[str, Any]
"""Scalars by name: numbers, or 0-d arrays that leave the device only when shown or recorded."""

LINE_SECONDS = 10.0
"""Seconds between two lines, at least."""
BAR_SECONDS = 0.5
"""Seconds between two changes of the bar, at least."""


def console() -> rich.console.Console:
    """The console for progress: stderr; in a notebook, which shows stderr as errors, stdout."""
    notebook = in_notebook()
    return rich.console.Console(
        stderr=not notebook,
        force_jupyter=False,  # otherwise each line would be a separate output, tall and cut off
        force_terminal=False if notebook else None,  # a kernel's FORCE_COLOR does not count
        highlight=False,
        soft_wrap=True,
    )


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this code: IPython's shell in this process has one.

    A program that only imports a kernel's package, as debuggers and test runners do, is none.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


class Progress:
    """How far some work is.

    Attributes:
      title: of the work.
      first, last: how many units are done at its beginning and at its end.
      unit: what is counted, such as "step" or "image".
      step: how many units are done.
      metrics: the latest.
      show: called with this object when there is something to show.
    """

    def __init__(self, title: str, first: int, last: int, every: float, unit: str) -> None:
        """Begins; `every`: seconds between two calls of `show`, at least."""
        self.title, self.first, self.last, self.unit = title, first, last, unit
        self.step = first
        self.metrics: Metrics = {}
        self.show: Callable[[Progress], None] = lambda _: None
        self._every = every
        self._shown_at, self._shown_step = time.monotonic(), first
        self._start: tuple[int, float] | None = None

    def advance(self, step: int, metrics: Metrics | None = None) -> None:
        """Updates how many units are done. It may be called for every one: it is cheap.

        Args:
          metrics: the latest; None: as before.
        """
        now = time.monotonic()
        self.step = step
        self.metrics = self.metrics if metrics is None else metrics
        # Time is counted from the end of the first step, which compiles.
        self._start = self._start or (step, now)
        if step >= self.last or now - self._shown_at >= self._every:
            self._show(now)

    def finish(self) -> None:
        """Shows what was last done if it was not shown yet."""
        if self._shown_step != self.step:
            self._show(time.monotonic())

    @property
    def steps_per_second(self) -> float | None:
        """The mean speed, in units per second, after the first step; None until there are two."""
        if self._start is None or self.step <= self._start[0]:
            return None
        return (self.step - self._start[0]) / max(time.monotonic() - self._start[1], 1e-9)

    def describe(self) -> str:
        """Speed, time left and the latest metrics, on one line."""
        parts = []
        if speed := self.steps_per_second:
            parts.append(f"{speed:.3g} {self.unit}s/s")
            if left := (self.last - self.step) / speed:
                parts.append(f"{clock(left)} left")
        parts += [f"{name} {_short(value)}" for name, value in self.metrics.items()]
        return " · ".join(parts)

    def _show(self, now: float) -> None:
        self._shown_at, self._shown_step = now, self.step
        self.show(self)


@contextlib.contextmanager
def show_progress(
    title: str,
    first: int,
    last: int,
    unit: str,
    shown_on: rich.console.Console | None = None,
) -> Iterator[Progress]:
    """Shows the progress of work; yields it, to be told what is done.

    Args:
      title: of the work.
      first: how many units are done at its beginning.
      last: how many are done at its end.
      unit: what is counted, such as "step" or "image".
      shown_on: a console other than `console()`.
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


def finite(value: Any) -> float | int | None:
    """A scalar as a number; None for None, NaN and infinities."""
    number = value if type(value) is int else None if value is None else float(value)
    return number if number is not None and math.isfinite(number) else None


def _short(value: Any) -> str:
    number = finite(value)
    return "n/a" if number is None else f"{number:.4g}"


def clock(seconds: float) -> str:
    """Seconds as [hours:]minutes:seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
