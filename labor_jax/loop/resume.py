"""Resuming a run: checks that config and files fit, and loads the newest checkpoint."""

import contextlib
import pathlib
import sys
from collections.abc import Iterator

import ml_collections

from labor_jax.annotation import asked_images, journal
from labor_jax.annotation import queries as q
from labor_jax.config import places
from labor_jax.config.changes import Change, differences, flat, moves
from labor_jax.config.schema import settings
from labor_jax.data import labels
from labor_jax.infer.restore import read_config
from labor_jax.loop.plan import Run, has_selector, logs, phases
from labor_jax.report.summary import Summary
from labor_jax.train import parallel, state
from labor_jax.train.checkpoint import Checkpoints
from labor_jax.util import files, hosts, lock, outputs
from labor_jax.util.errors import UserError

CONFUSIONS = "confusions.npy"
"""[N, C, C] int64: the confusion matrix of each image of `val`, as the run last scored them."""

SOURCE_PIXELS = "source_pixels.npy"
"""The classes of the source's label maps, counted for `config.input.rare_classes`."""

LIVE = "live.jsonl"
"""The file by which a folder is known as that of `labor-jax live`: a line for each fit."""

FILES = (LIVE, CONFUSIONS, "metrics.jsonl", "parameters.txt", "report.html", SOURCE_PIXELS,
         "summary.json")  # fmt: skip
FOLDERS = ("annotations", "previews", "queries", "tensorboard")


def check_folder(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
    """Checks that DIR is a run's, or has no files by the names of a run's.

    Raises:
      UserError: it is not, it lies in a folder that images are read from, or it has another run.
    """
    outputs.check_apart(workdir, "--workdir", places.folders_of(config), around=True)
    if not any((workdir / name).exists() for name in ("config.json", "checkpoints")):
        there = [name for name in FILES if (workdir / name).exists()]
        there += [name for name in FOLDERS if not outputs.is_empty(workdir / name)]
        if there:
            raise UserError(
                f"--workdir: {workdir} has {', '.join(there)}, but no run (no config.json); "
                f"give a new folder"
            )
    check_same_run(config, workdir)


def check_kind(workdir: pathlib.Path, live: bool) -> None:
    """Raises UserError where DIR holds a run of the other kind: live, or in stages."""
    there = (workdir / "config.json").exists()
    if there and (workdir / LIVE).exists() != live:
        held, needed = ("stages", "labor-jax run") if live else ("learning live", "labor-jax live")
        raise UserError(
            f"--workdir: {workdir} holds a run of {held}; go on with {needed}, or give another "
            f"--workdir"
        )


@contextlib.contextmanager
def alone(workdir: pathlib.Path, part: str) -> Iterator[None]:
    """Holds the lock of a part of DIR, for all processes of this run.

    Raises:
      UserError: another program has it.
    """
    refused: UserError | None = None
    with contextlib.ExitStack() as stack:
        if hosts.first():
            try:
                stack.enter_context(lock.hold(workdir, part, "labor-jax run"))
            except UserError as error:
                refused = error
        if hosts.largest(refused is not None):
            raise refused or UserError(
                f"--workdir: {workdir} is being written by another program; the first process "
                f"tells by which"
            )
        yield


def moved(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> list[Change]:
    """The keys of the config whose paths are others than in DIR's config.json."""
    if not (workdir / "config.json").exists():
        return []
    return moves(read_config(workdir), config)


def write_config(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
    """Writes config.json, by which readers find the data; says which paths are others now."""
    for change in moved(config, workdir):
        print(f"config.{change.key}: {change.old} is {change.new} now", file=sys.stderr)
    files.write_json(workdir / "config.json", config.to_dict())


def has_places(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> bool:
    """Whether config.json has all paths as the config has them."""
    if not (workdir / "config.json").exists():
        return False
    old, new = flat(read_config(workdir)), flat(config)
    return all(old[key] == new[key] for key, setting in settings().items() if setting.path)


def check_same_run(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> None:
    """Raises UserError, naming the keys, where DIR holds a run of another config."""
    if (workdir / "config.json").exists():
        changed = differences(read_config(workdir), config)
        if changed:
            told = "; ".join(map(str, changed))
            if config.images_a_device and "batch_size" in (change.key for change in changed):
                told += " (its config.images_a_device was on another number of devices)"
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
    for change in moves(other, config) if hosts.first() else ():
        if change.since == "warmup":
            print(
                f"config.warmup_from: there config.{change.key} was {change.old}, here it is "
                f"{change.new}",
                file=sys.stderr,
            )


def check_history(this: Run, resumed: int) -> None:
    """Raises UserError where queries, answers or scores from before step `resumed` are missing."""
    written = journal.on_disk(this.workdir, this.table)
    for phase in phases(this.config):
        missing = None
        if phase.name == "query":
            missing = q.missing(this.workdir, phase.stage)
            if missing is None:
                asked_images.check_complete(this.workdir, phase.stage)
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
    """For each query of a stage about an image that is there, whether a piece is unanswered."""
    there = set(this.target.ids)
    for query in q.each_query(this.workdir, stage):
        yield query["image"] in there and bool(
            journal.open_pieces(query, journal.answers_to(query, written))
        )


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
