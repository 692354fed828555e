"""The LabOR schedule, top to bottom as the paper has it: warm-up, then stages.

    warm-up     segmenter and discriminators, source labels only
    for each stage:
      selector  two heads fit the segmenter's pseudo labels and are pushed apart
      query     the pixels on which they disagree: all (SPL) or representative ones (PPL)
      annotate  answers go to the journal, labels derive from it
      adapt     segmenter and discriminators, with all target labels so far
      evaluate

The global step determines stage and phase. A phase that only writes files is skipped if they are
complete. A run that was stopped anywhere therefore goes on from there, and ends with the same
results as if it had not been stopped.
"""

import contextlib
import os
import pathlib
from collections.abc import Callable
from typing import Any

import ml_collections

from labor_jax.annotation import annotators, trust
from labor_jax.data import labels, rare_classes
from labor_jax.loop import (
    data_checks,
    frozen,
    opening,
    phases,
    plan,
    previews,
    resume,
    stopping_rules,
)
from labor_jax.loop.compiled import compile_steps
from labor_jax.loop.plan import Run
from labor_jax.report.monitor import Monitor, check_records
from labor_jax.report.summary import Summary
from labor_jax.train import state
from labor_jax.train.checkpoint import Checkpoints
from labor_jax.util import addresses, bucket, files, hosts, lock
from labor_jax.util.errors import Stopped


def run(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> dict[str, Any]:
    """Runs or resumes LabOR, or another method, in a folder.

    Args:
      config: see `labor_jax.config`.
      workdir: the run's DIR, or gs://BUCKET/FOLDER; a run that is there is resumed.
    Returns:
      The content of `summary.json`.
    Raises:
      UserError: the config or the data is wrong, DIR has other or damaged files, or another program
        writes to it.
      Waiting: people have to answer before the run can go on.
    """
    with contextlib.ExitStack() as locks:
        publish = None
        if addresses.in_bucket(workdir):
            address = opening.check_bucket(config, workdir)
            workdir, publish = locks.enter_context(bucket.working_copy(address))
        config, workdir, table = opening.checked(config, workdir)
        resume.check_kind(workdir, live=False)
        trust.check_whole(config.trust)
        summary = Summary(workdir, config)
        if summary.finished and resume.has_places(config, workdir):
            return summary.values
        locks.enter_context(resume.alone(workdir, lock.RUN))
        resume.check_folder(config, workdir)  # as it is now that nobody else writes to it
        if not annotators.are_people(config):
            locks.enter_context(resume.alone(workdir, lock.ANSWERS))
        try:
            values = _run(config, workdir, table, publish)
        except Stopped:
            if publish:
                publish()
            raise
        if publish:
            publish()
        return values


def _run(
    config: ml_collections.ConfigDict,
    workdir: pathlib.Path,
    table: labels.ClassTable,
    publish: Callable[[], None] | None,
) -> dict[str, Any]:
    """Runs or resumes in a folder to which nobody else writes."""
    summary = Summary(workdir, config)
    if summary.finished:
        if hosts.first():
            resume.write_config(config, workdir)  # readers find by it what has moved
        return summary.values
    domains = opening.open_domains(config, workdir, table)
    summary.values["data"] = data_checks.look(config, domains)

    checkpoints = Checkpoints(workdir, table, keep=config.warmup_steps)
    try:
        now = resume.starting_state(config, table, checkpoints)
        check_records(workdir, resume.recorded(config, workdir, summary, int(now.step)))
        hosts.wait("config")  # all have compared theirs with what was there
        if hosts.first():
            files.remove_partial(workdir)
            resume.write_config(config, workdir)
        if config.model.freeze:
            domains = frozen.opened(domains, now, config, len(table))
        if config.input.rare_classes:
            kept = workdir / resume.SOURCE_PIXELS
            domains["source"] = rare_classes.counted(domains["source"], len(table), kept)
        with Monitor(workdir, int(now.step)) as monitor:
            this = Run(
                config,
                workdir,
                table,
                **domains,
                monitor=monitor,
                checkpoints=checkpoints,
                summary=summary,
                publish=publish,
            )
            _run_phases(this, now)
    finally:
        checkpoints.close()
    return summary.values


def _run_phases(this: Run, now: state.State) -> None:
    """Runs every phase that is not done at the step of `now`."""
    compiled = compile_steps(this.config, len(this.table))
    resumed = int(now.step)
    resume.check_history(this, resumed)
    opening.introduce(this, now)
    for phase in plan.phases(this.config):
        if phase.last < resumed or (phase.first < phase.last == resumed):
            continue
        match phase.name:
            case "warmup" | "adapt":
                now = phases.adapt(this, phase, now, compiled)
            case "selector":
                now = phases.fit_selector(this, phase, now, compiled)
            case "query":
                phases.query(this, phase, now, compiled)
            case "annotate":
                phases.annotate(this, phase)
            case "evaluate":
                phases.evaluate(this, phase, now, compiled)
                if reason := stopping_rules.reason(this.config, this.summary.values["stages"]):
                    this.monitor.say(f"stage {phase.stage} · enough asked: {reason}")
                    break
        if this.publish:
            this.publish()
    else:
        reason = None
    if hosts.first():
        previews.write_all(this, "final", now, compiled)
    this.summary.finish(reason)
    phases.report(this)
