"""Resuming a run: checks that config and files fit, and loads the newest checkpoint."""

import pathlib
from collections.abc import Iterator

import ml_collections

from labor_jax.annotation import journal
from labor_jax.annotation import queries as q
from labor_jax.config.changes import differences
from labor_jax.data import labels
from labor_jax.infer.restore import read_config
from labor_jax.loop.plan import Run, has_selector, logs, phases
from labor_jax.report.summary import Summary
from labor_jax.train import parallel, state
from labor_jax.train.checkpoint import Checkpoints
from labor_jax.util import files
from labor_jax.util.errors import UserError


def check_same_run(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
    """Raises UserError, naming the keys, where DIR holds a run of another config."""
    if (workdir / "config.json").exists():
        changed = differences(read_config(workdir), config)
        if changed:
            told = "; ".join(map(str, changed))
            raise UserError(
                f"--workdir: {workdir} holds a run with another config: {told}; "
                f"give the same config to go on with it, or another --workdir"
            )


def starting_state(
    config: ml_collections.ConfigDict, table: labels.ClassTable, checkpoints: Checkpoints
) -> state.State:
    """The state from which the run goes on.

    It is the newest checkpoint's. Without a checkpoint it is the state after the warm-up of
    `config.warmup_from`, and without that a new one.

    Raises:
      UserError: a checkpoint cannot be read, or `warmup_from` has no such warm-up.
    """
    if checkpoints.latest is not None:
        return _load(checkpoints, checkpoints.latest, config, table)
    if not config.warmup_from:
        return parallel.replicate(state.init_state(config, len(table)), config.parallel)
    _check_same_warmup(config)
    other = Checkpoints(config.warmup_from, table)
    try:
        if config.warmup_steps not in other.steps:
            raise UserError(
                f"config.warmup_from: {config.warmup_from!r} has not finished its warm-up; "
                f"let it run, or leave the key out"
            )
        return _load(other, config.warmup_steps, config, table)
    finally:
        other.close()


def _load(
    checkpoints: Checkpoints,
    step: int,
    config: ml_collections.ConfigDict,
    table: labels.ClassTable,
) -> state.State:
    shapes = state.state_shapes(config, len(table), selector=has_selector(config, step))
    now = checkpoints.load(step, parallel.placed(shapes, config.parallel))
    return parallel.of_process(now) if config.parallel == "pmap" else now


def _check_same_warmup(config: ml_collections.ConfigDict) -> None:
    if not pathlib.Path(config.warmup_from, "config.json").exists():
        raise UserError(f"config.warmup_from: no run in {config.warmup_from!r}; give a run's DIR")
    other = read_config(config.warmup_from)
    changed = [str(c) for c in differences(other, config) if c.since == "warmup"]
    if "source_only" in (config.method, other.method) and config.method != other.method:
        changed.append("method (source_only warms up without the discriminators)")
    if changed:
        raise UserError(
            f"config.warmup_from: {config.warmup_from!r} had a warm-up with other settings: "
            f"{'; '.join(changed)}; leave the key out"
        )


def check_history(this: Run, resumed: int) -> None:
    """Raises UserError where queries, answers or scores from before step `resumed` are missing."""
    written = journal.on_disk(this.workdir, this.table)
    for phase in phases(this.config):
        missing = None
        if phase.name == "query":
            missing = q.missing(this.workdir, phase.stage)
            if missing is None:
                q.check_complete(this.workdir, phase.stage, this.target.ids)
                if any(still_open(this, phase.stage, written)):
                    missing = journal.path(this.workdir)
        elif phase.name == "evaluate" and not this.summary.stage(phase.stage):
            missing = this.workdir / "summary.json"
        if missing and phase.last < resumed:
            raise UserError(
                f"{missing}: what stage {phase.stage} wrote is lost or incomplete; "
                f"restore the file from a copy, or start in another --workdir"
            )


def still_open(this: Run, stage: int, written: files.Index) -> Iterator[bool]:
    """For each query of a stage, whether a piece of it is unanswered."""
    for query in q.each_query(this.workdir, stage):
        yield bool(journal.open_pieces(query, journal.answers_to(query, written)))


def recorded(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, summary: Summary, resumed: int
) -> set[tuple[int, str]]:
    """The (step, phase) of each record in `metrics.jsonl` that a run has made by step `resumed`."""
    scored = {row["stage"] for row in summary.values["stages"] if row["mIoU"] is not None}
    records = set()
    for phase in phases(config):
        if phase.first < phase.last:
            steps = range(phase.first + 1, min(phase.last, resumed) + 1)
            records |= {(s, phase.name) for s in steps if logs(config, phase, s)}
        elif phase.last < resumed and (
            (phase.name == "evaluate" and phase.stage in scored)
            or (phase.name == "query" and q.read_score(workdir, phase.stage) is not None)
        ):
            records.add((phase.last, phase.name))
    return records
