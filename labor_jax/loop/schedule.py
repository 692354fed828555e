"""The LabOR schedule, top to bottom as the paper has it: warm-up, then stages.

    warm-up     segmenter and discriminators, source labels only
    for each stage:
      selector  two heads fit the segmenter's pseudo labels and are pushed apart
      query     the pixels on which they disagree: all (SPL) or representative ones (PPL)
      annotate  answers go to the journal, labels derive from it
      adapt     segmenter and discriminators, with all target labels so far
      evaluate

The global step tells stage and phase. A phase that only writes files is skipped when they are
complete. So a run goes on wherever it was stopped, and ends as if it had not been.
"""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from clu import parameter_overview

from labor_jax.annotation import annotators, journal, ledger
from labor_jax.annotation import queries as q
from labor_jax.config import checking
from labor_jax.config.changes import differences
from labor_jax.data import domain, images, labels, loading, pipeline
from labor_jax.infer import metrics
from labor_jax.infer.evaluate import evaluate
from labor_jax.infer.restore import make_inference, read_config, views
from labor_jax.loop import asking, stopping_rules
from labor_jax.report.monitor import Monitor, check_records
from labor_jax.report.page import write_report
from labor_jax.report.summary import Summary
from labor_jax.selection import strategies
from labor_jax.train import optimizers, parallel, state, steps
from labor_jax.train.checkpoint import Checkpoints
from labor_jax.util import files, hosts, plugins
from labor_jax.util.errors import Stopped, UserError, Waiting
from labor_jax.util.stopping import stop_asked


class Phase(NamedTuple):
    """From `first` to `last` training steps done; where they are equal it only writes files."""

    name: str
    stage: int
    first: int
    last: int


def phases(config: ml_collections.ConfigDict) -> list[Phase]:
    """A run, in order."""
    step = config.warmup_steps
    plan = [Phase("warmup", 0, 0, step), Phase("evaluate", 0, step, step)]
    for stage in range(1, config.stages + 1):
        if strategies.needs_selector(config.method):
            plan.append(Phase("selector", stage, step, step + config.selector.steps))
            step += config.selector.steps
        if asking.asks(config.method, stage):
            plan += [Phase("query", stage, step, step), Phase("annotate", stage, step, step)]
        plan.append(Phase("adapt", stage, step, step + config.adapt_steps))
        step += config.adapt_steps
        plan.append(Phase("evaluate", stage, step, step))
    return plan


class Run(NamedTuple):
    """What the phases of one run share; nothing in it changes but the files it stands for."""

    config: ml_collections.ConfigDict
    workdir: pathlib.Path
    table: labels.ClassTable
    source: domain.Domain
    target: domain.Domain
    val: domain.Domain
    monitor: Monitor
    checkpoints: Checkpoints
    summary: Summary


def run(config: ml_collections.ConfigDict, workdir: str | os.PathLike) -> dict[str, Any]:
    """Runs or resumes LabOR, or a method beside it, in DIR. Returns what `summary.json` holds.

    Raises:
      UserError: the config, the data or what DIR already holds makes no run.
      Waiting: people have to answer before it can go on.
    """
    plugins.load(config.plugins)
    checking.check(config)
    table = loading.table_from_config(config.classes)
    workdir = pathlib.Path(workdir)
    hosts.check_shared(workdir)
    check_same_run(config, workdir)
    _check_batch(config)
    asking.check_beside(config)
    annotators.check(config)
    summary = Summary(workdir, config)
    if summary.finished:
        return summary.values
    domains = {
        n: loading.load(config[n], config.data_dir, table) for n in ("source", "target", "val")
    }
    _check_labels(config, domains)

    checkpoints = Checkpoints(workdir, table, keep=config.warmup_steps)
    try:
        now = _starting_state(config, table, checkpoints)
        check_records(workdir, _recorded(config, workdir, summary, int(now.step)))
        hosts.wait("config")  # all have compared theirs with what was there
        if hosts.first():
            files.remove_partial(workdir)
            files.write_json(workdir / "config.json", config.to_dict())
        with Monitor(workdir, int(now.step)) as monitor:
            this = Run(
                config,
                workdir,
                table,
                **domains,
                monitor=monitor,
                checkpoints=checkpoints,
                summary=summary,
            )
            _run_phases(this, now)
    finally:
        checkpoints.close()
    return summary.values


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


def _check_labels(config: ml_collections.ConfigDict, domains: dict[str, domain.Domain]) -> None:
    """Labels are needed of the source, and of the target where the oracle is to answer."""
    asks = config.annotator in annotators.FROM_TRUTH and any(
        asking.asks(config.method, stage) for stage in range(1, config.stages + 1)
    )
    people = ", or let people answer: config.annotator=web"
    for name, why, otherwise in (
        ("source", "to train on", ""),
        ("target", "for the oracle to answer from", people),
    ):
        if domains[name].read_label is None and (name == "source" or asks):
            raise UserError(
                f"config.{name}: {domains[name].name} has no labels {why}; "
                f"give config.{name}.labels{otherwise}"
            )


def _check_batch(config: ml_collections.ConfigDict) -> None:
    parts = parallel.device_count(config.parallel) * config.accumulate
    if config.batch_size % parts:
        raise UserError(
            f"config.batch_size: {config.batch_size} images cannot be split evenly over "
            f"{parts // config.accumulate} devices x {config.accumulate} of config.accumulate; "
            f"give a multiple of {parts}"
        )


def _starting_state(
    config: ml_collections.ConfigDict, table: labels.ClassTable, checkpoints: Checkpoints
) -> state.State:
    """The newest checkpoint; else the end of another run's warm-up; else the very start."""
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
    shapes = state.state_shapes(config, len(table))
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
            f"config.warmup_from: {config.warmup_from!r} warmed up otherwise: "
            f"{'; '.join(changed)}; leave the key out"
        )


class Compiled(NamedTuple):
    """The pure functions of steps.py, mapped over devices; compiled when first called."""

    adapt: Callable[[state.State, Any], tuple[state.State, Any]]
    selector: Callable[[state.State, Any], tuple[state.State, Any]]
    predict: Callable[[state.Trained, np.ndarray, tuple[int, int]], np.ndarray]
    query: Callable[..., dict[str, np.ndarray]]


def _compile(config: ml_collections.ConfigDict, num_classes: int) -> Compiled:
    mode = config.parallel
    axis_name = None if mode == "jit" else parallel.AXIS
    bound = {
        "networks": state.make_networks(config, num_classes, axis_name),
        "optimizers": optimizers.make_optimizers(config),
        "config": config,
    }
    local = state.make_networks(config, num_classes, axis_name=None)
    predict = make_inference(steps.predict, config, num_classes, views(config))

    @functools.cache
    def mapped_query(size: tuple[int, int]) -> Callable:
        return parallel.map_inference(
            functools.partial(
                steps.query,
                networks=local,
                size=size,
                number=asking.most(config, size),
                config=config,
            ),
            mode,
        )

    def query(
        now: state.State,
        images: np.ndarray,
        taken: np.ndarray,
        key: np.ndarray,
        size: tuple[int, int],
    ) -> dict[str, np.ndarray]:
        if config.method == "full":
            return {"predicted": predict(now.segmenter, images, size)}
        return mapped_query(tuple(size))(now, {"image": images, "taken": taken, "key": key})

    return Compiled(
        adapt=parallel.map_step(functools.partial(steps.adapt_step, **bound), mode),
        selector=parallel.map_step(functools.partial(steps.selector_step, **bound), mode),
        predict=predict,
        query=query,
    )


def _run_phases(this: Run, now: state.State) -> None:
    compiled = _compile(this.config, len(this.table))
    resumed = int(now.step)
    _check_history(this, resumed)
    _introduce(this, now)
    for phase in phases(this.config):
        if phase.last < resumed or (phase.first < phase.last == resumed):
            continue
        match phase.name:
            case "warmup" | "adapt":
                now = _adapt(this, phase, now, compiled)
            case "selector":
                now = _fit_selector(this, phase, now, compiled)
            case "query":
                _query(this, phase, now, compiled)
            case "annotate":
                _annotate(this, phase)
            case "evaluate":
                _evaluate(this, phase, now, compiled)
                if reason := stopping_rules.reason(this.config, this.summary.values["stages"]):
                    this.monitor.say(f"stage {phase.stage} · enough asked: {reason}")
                    break
    else:
        reason = None
    if hosts.first():
        _preview_all(this, "final", now, compiled)
    this.summary.finish(reason)
    _report(this)


def _introduce(this: Run, now: state.State) -> None:
    """Says what is about to run; every tensor of the segmenter is listed in parameters.txt."""
    params = now.segmenter.params
    overview = parameter_overview.get_parameter_overview(params, include_stats=False)
    if hosts.first():
        files.write_atomic(this.workdir / "parameters.txt", f"{overview}\n".encode())
    this.monitor.say(
        f"{this.config.method} · {this.source.name} → {this.target.name} · segmenter of "
        f"{parameter_overview.count_parameters(params) / 1e6:.2f} M parameters · "
        f"{parallel.device_count(this.config.parallel)} x {jax.devices()[0].device_kind}"
    )


def _check_history(this: Run, resumed: int) -> None:
    """What was asked, answered and scored before the step that a run resumes at is still there."""
    written = journal.on_disk(this.workdir, this.table)
    for phase in phases(this.config):
        missing = None
        if phase.name == "query":
            missing = q.missing(this.workdir, phase.stage)
            if missing is None:
                q.check_complete(this.workdir, phase.stage, this.target.ids)
                if any(_still_open(this, phase.stage, written)):
                    missing = journal.path(this.workdir)
        elif phase.name == "evaluate" and not this.summary.stage(phase.stage):
            missing = this.workdir / "summary.json"
        if missing and phase.last < resumed:
            raise UserError(
                f"{missing}: what stage {phase.stage} left there is lost, or a part of it; "
                f"restore the file from a copy, or start in another --workdir"
            )


def _still_open(this: Run, stage: int, written: files.Index) -> Iterator[bool]:
    """Of each query of a stage, whether it is not, or not wholly, answered."""
    for query in q.each_query(this.workdir, stage):
        yield bool(journal.open_pieces(query, journal.answers_to(query, written)))


def _recorded(
    config: ml_collections.ConfigDict, workdir: pathlib.Path, summary: Summary, resumed: int
) -> set[tuple[int, str]]:
    """The (step, phase) of every record that a run has made when it resumes at a step."""
    scored = {row["stage"] for row in summary.values["stages"] if row["mIoU"] is not None}
    records = set()
    for phase in phases(config):
        if phase.first < phase.last:
            steps = range(phase.first + 1, min(phase.last, resumed) + 1)
            records |= {(s, phase.name) for s in steps if _logs(config, phase, s)}
        elif phase.last < resumed and (
            (phase.name == "evaluate" and phase.stage in scored)
            or (phase.name == "query" and q.read_score(workdir, phase.stage) is not None)
        ):
            records.add((phase.last, phase.name))
    return records


def _logs(config: ml_collections.ConfigDict, phase: Phase, step: int) -> bool:
    return step % config.log_every == 0 or step == phase.last


# ----------------------------------------------------------------------------- training phases


def _adapt(this: Run, phase: Phase, now: state.State, compiled: "Compiled") -> state.State:
    """Warm-up, or adaptation with every target label so far."""
    read = _label_reader(this, phase.stage) if phase.stage else None
    return _train(this, phase, now, compiled.adapt, read)


def _label_reader(this: Run, stage: int) -> pipeline.ReadLabel:
    """Derives the labels of all answers up to a stage, and reads them by image number."""
    written, labelled = journal.on_disk(this.workdir, this.table), set()
    for image, queries in q.by_image(this.workdir, range(1, stage + 1)).items():
        if answers := [a for query in queries for a in journal.answers_to(query, written)]:
            if not stopping_rules.is_held(this.config, image):
                labelled.add(image)
            if hosts.first():
                sizes = {image: queries[0]["size"]}
                journal.write_labels(this.workdir, answers, sizes, this.table)
    hosts.wait(f"labels {stage}")

    def read(index: int) -> np.ndarray | None:
        image = this.target.ids[index]
        if image not in labelled:
            return None
        return images.read_label_png(journal.labels_path(this.workdir, image))

    return read


def _fit_selector(this: Run, phase: Phase, now: state.State, compiled: "Compiled") -> state.State:
    if int(now.step) == phase.first:
        now = parallel.of_process(now)
        now = state.start_selector(now, this.config, len(this.table), phase.stage)
        now = parallel.replicate(now, this.config.parallel)
    return _train(this, phase, now, compiled.selector, None)


def _train(
    this: Run,
    phase: Phase,
    now: state.State,
    step_fn: Callable[[Any, Any], tuple[Any, Any]],
    read_target_label: pipeline.ReadLabel | None,
) -> state.State:
    """Steps from where `now` stands to the phase's end; saved on the way and at the end."""
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
                log = _logs(config, phase, step)
                save = step % config.checkpoint_every == 0 and step < phase.last
                if log or save:
                    losses = _finite(losses, step)
                if log:
                    this.monitor.record(step, phase.name, phase.stage, losses)
                    headline = _headline(losses)
                progress.advance(step, headline)
                if save:
                    this.checkpoints.save(step, parallel.of_all(now))
                # Processes stop at the same step, so they ask each other, but not at every one.
                if (jax.process_count() == 1 or log) and (signal := hosts.largest(asked())):
                    _finite(losses, step)
                    this.checkpoints.save(step, parallel.of_all(now), wait=True)
                    raise Stopped(step, signal)
        # On disk before anything is built on it: queries and answers refer to this state.
        this.checkpoints.save(phase.last, parallel.of_all(now), wait=True)
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
    names = ("loss/source_main", "loss/target_main", "loss/pseudo_c2", "mask/share")
    return {n.removeprefix("loss/"): losses[n] for n in names if n in losses}


# ------------------------------------------------------------------------- phases that only write


def _query(this: Run, phase: Phase, now: state.State, compiled: "Compiled") -> None:
    """Every process asks about its share of the images; the first one writes all queries down."""
    if q.missing(this.workdir, phase.stage) is None:
        _record_mask(this, phase, q.read_score(this.workdir, phase.stage))
        return
    infer = functools.partial(compiled.query, now)
    counted, known, shown = np.zeros(6, np.int64), False, _shown(this)
    mine = this.target.take(hosts.share(len(this.target.ids)))

    def made() -> Iterator[q.Query]:
        """All of SPL's queries can be more than memory holds: each is written, then forgotten."""
        nonlocal counted, known
        with this.monitor.phase("query", phase.stage, 0, len(mine.ids), "image") as progress:
            everything = asking.ask(phase.stage, mine, infer, this.config, this.workdir)
            for number, asked in enumerate(everything, start=1):
                if asked.counts is not None:
                    counted, known = counted + asked.counts, True
                image = asked.query["image"]
                if image in shown:
                    _write_preview(this, f"stage_{phase.stage}", image, asked.predicted)
                    if asked.mask is not None:
                        path = this.workdir / "previews" / f"mask_{phase.stage}" / f"{image}.png"
                        files.write_atomic(
                            path, images.encode_png(255 * asked.mask.astype("uint8"))
                        )
                yield asked.query
                progress.advance(number)

    q.write_queries(this.workdir, phase.stage, made(), part=jax.process_index())
    counted, known = hosts.total(counted), hosts.largest(known) > 0  # all have written by now
    score = metrics.mask_score(counted) if known else None
    _record_mask(this, phase, score)
    if score is not None:
        said = f"stage {phase.stage} · the heads disagree on {score['share']:.1%} of the pixels"
        if "precision" in score:
            said += (
                f"; {score['precision']:.0%} of these are errors of the segmenter "
                f"({score['error_rate']:.0%} anywhere), {score['recall']:.0%} of all its errors"
            )
        this.monitor.say(said)
    if hosts.first():
        files.write_json(q.score_path(this.workdir, phase.stage), score)
        q.join_parts(this.workdir, phase.stage, jax.process_count())
    hosts.wait(f"queries {phase.stage}")


def _record_mask(this: Run, phase: Phase, score: dict[str, float] | None) -> None:
    """Also where the file is there: a run that goes on from an older step dropped its record."""
    if score is not None:
        values = {f"mask/{name}": value for name, value in score.items()}
        this.monitor.record(phase.last, "query", phase.stage, values)


def _annotate(this: Run, phase: Phase) -> None:
    """What is not answered yet is answered; a killed run goes on where the journal ends."""
    if annotators.are_people(this.config):
        _wait_for_people(this, phase)
    elif hosts.first():
        _let_answer(this, phase)
    hosts.wait(f"answers {phase.stage}")


def _let_answer(this: Run, phase: Phase) -> None:
    annotate = annotators.make(this.config, this.target, this.table)
    with this.monitor.phase("annotate", phase.stage, 0, len(this.target.ids), "image") as progress:
        for done in annotators.answer_open(this.workdir, phase.stage, annotate, this.table):
            progress.advance(done)


def _wait_for_people(this: Run, phase: Phase) -> None:
    waiting = 0
    if hosts.first():  # the others are told: people may answer while each of them would count
        written = journal.on_disk(this.workdir, this.table)
        waiting = sum(_still_open(this, phase.stage, written))
    if waiting := hosts.largest(waiting):
        raise Waiting(
            f"{waiting} images wait for answers: "
            f"labor-jax annotate --workdir={this.workdir}\n"
            f"then run the same command again"
        )


def _evaluate(this: Run, phase: Phase, now: state.State, compiled: "Compiled") -> None:
    if done := this.summary.stage(phase.stage):
        _record_miou(this, phase, done["mIoU"])
        return
    predict = functools.partial(compiled.predict, now.segmenter)
    mine = len(hosts.share(len(this.val.ids))) if this.val.read_label else 0
    with this.monitor.phase("evaluate", phase.stage, 0, mine, "image") as progress:
        scores = evaluate(predict, this.val, this.table, this.config, progress.advance)
    budget = _budget(this, phase.stage)
    mask = q.read_score(this.workdir, phase.stage)
    held = _score_on_held_answers(this, now, compiled) if phase.stage else None
    _record_miou(this, phase, scores["mIoU"])
    if scores["mIoU"] is not None:
        this.monitor.say(
            f"stage {phase.stage} · mIoU {scores['mIoU']:.1f} on {this.val.name} with "
            f"{budget['fraction']:.2%} of the pixels, {budget['clicks']:,} clicks"
        )
    row = {"stage": phase.stage, **scores, "budget": budget, "mask": mask, "held_mIoU": held}
    this.summary.add_stage(row)
    _report(this)


def _score_on_held_answers(this: Run, now: state.State, compiled: "Compiled") -> float | None:
    """mIoU on the answers that training never sees; None where none are held."""
    labels_of = functools.partial(journal.labels_path, this.workdir)
    held = [
        index
        for index, image in enumerate(this.target.ids)
        if stopping_rules.is_held(this.config, image) and labels_of(image).exists()
    ]
    if not held:
        return None
    answered = dataclasses.replace(
        this.target, read_label=lambda i: images.read_label_png(labels_of(this.target.ids[i]))
    )
    predict = functools.partial(compiled.predict, now.segmenter)
    return evaluate(predict, answered.take(held), this.table, this.config)["mIoU"]


def _record_miou(this: Run, phase: Phase, miou: float | None) -> None:
    if miou is not None:
        this.monitor.record(phase.last, "evaluate", phase.stage, {"mIoU": miou})


def _report(this: Run) -> None:
    if hosts.first():
        write_report(this.workdir, this.target, this.table)


def _asked(this: Run, stage: int) -> Iterator[q.Query]:
    """The queries of all stages up to one."""
    for s in range(1, stage + 1):
        yield from q.each_query(this.workdir, s)


def _budget(this: Run, stage: int) -> dict[str, Any]:
    """What has been asked up to a stage."""
    written, rows, pool = journal.on_disk(this.workdir, this.table), [], {}
    for query in _asked(this, stage):
        rows.append(ledger.row(query, written.get(query["id"], [])))
        pool[query["image"]] = query["size"][0] * query["size"][1]
    return ledger.budget(rows, pool)


# ------------------------------------------------------------------------------------- previews


def _shown(this: Run) -> list[str]:
    """The images that the report shows, spread evenly over the target."""
    number = min(this.config.previews, len(this.target.ids))
    spread = np.linspace(0, len(this.target.ids) - 1, number).round().astype(int)
    return [this.target.ids[i] for i in spread]


def _preview_all(this: Run, folder: str, now: state.State, compiled: "Compiled") -> None:
    some = this.target.take([this.target.ids.index(image) for image in _shown(this)])
    for rows, size, batch in pipeline.inference_batches(
        some, views(this.config)[-1], this.config.eval_batch_size
    ):
        predicted = compiled.predict(now.segmenter, batch, size)
        for i, prediction in zip(rows, predicted, strict=True):
            _write_preview(this, folder, some.ids[i], prediction)


def _write_preview(this: Run, folder: str, image: str, predicted: np.ndarray) -> None:
    images.write_label_png(
        this.workdir / "previews" / folder / f"{image}.png", predicted, this.table
    )
