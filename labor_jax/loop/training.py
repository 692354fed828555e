"""The loop over training steps: batches in, losses to the monitor, checkpoints on the way."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from labor_jax.data import pipeline
from labor_jax.loop.plan import Phase, Run, logs
from labor_jax.train import parallel, state
from labor_jax.util import hosts
from labor_jax.util.errors import Stopped, UserError
from labor_jax.util.stopping import stop_asked


def train(
    this: Run,
    phase: Phase,
    now: state.State,
    step_fn: Callable[[Any, Any], tuple[Any, Any]],
    read_target_label: pipeline.ReadLabel | None,
) -> state.State:
    """Trains from `now` to the phase's end, and saves checkpoints on the way and at the end.

    Args:
      now: the state at or after the phase's first step.
      step_fn: `Compiled.adapt` or `Compiled.selector`.
      read_target_label: reads the labels so far by image index; None if no labels are read.
    Raises:
      UserError: a loss is not finite, or the disk is full.
      Stopped: a signal came; the state is saved.
    """
    config, first = this.config, int(now.step)
    with stop_asked() as asked:
        with (
            pipeline.batches(
                this.source, this.target, read_target_label, config, first, phase.last
            ) as batches,
            this.monitor.phase(phase.name, phase.stage, phase.first, phase.last) as progress,
        ):
            for step, batch in enumerate(batches, start=first + 1):
                now, losses = step_fn(now, batch)
                headline = None
                log = logs(config, phase, step)
                save = step % config.checkpoint_every == 0 and step < phase.last
                if log or save:
                    losses = _finite(losses, step)
                if log:
                    this.monitor.record(step, phase.name, phase.stage, losses)
                    headline = _headline(losses)
                progress.advance(step, headline)
                if save:
                    this.checkpoints.save(step, parallel.of_all(now), wait=bool(this.publish))
                    if this.publish:
                        this.publish()
                if signal := hosts.stop(step, asked()):
                    _finite(losses, step)
                    this.checkpoints.save(step, parallel.of_all(now), wait=True)
                    raise Stopped(step, signal)
        # It must be on disk before the next phase: queries and answers depend on this state.
        this.checkpoints.save(phase.last, parallel.of_all(now), wait=True)
        if signal := hosts.largest(asked()):
            raise Stopped(phase.last, signal)
    return now


def _finite(losses: Any, step: int) -> dict[str, float]:
    """A step's losses, fetched from the device. Raises UserError where one is not finite."""
    fetched = {name: float(value) for name, value in jax.device_get(losses).items()}
    for name, value in fetched.items():
        if not np.isfinite(value):
            raise UserError(
                f"{name} is {value} at step {step}; the last checkpoint is good: lower "
                f"config.optimizer.learning_rate and start in another --workdir"
            )
    return fetched


def _headline(losses: dict[str, float]) -> dict[str, float]:
    shown = ("source_main", "target_main", "teacher_main", "pseudo_c2")
    names = (*(f"loss/{name}" for name in shown), "mask/share")
    return {n.removeprefix("loss/"): losses[n] for n in names if n in losses}
