"""What a run does in each phase: one function for each phase, its helpers below it."""

import dataclasses
import functools
import io
import itertools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from labor_jax.annotation import annotators, asked_images, journal, ledger, trust
from labor_jax.annotation import queries as q
from labor_jax.data import images, pipeline
from labor_jax.infer import metrics
from labor_jax.infer.evaluate import evaluate as score_domain
from labor_jax.loop import asking, frozen, previews, stopping_rules
from labor_jax.loop.compiled import Compiled
from labor_jax.loop.plan import Phase, Run
from labor_jax.loop.resume import CONFUSIONS, still_open
from labor_jax.loop.training import train
from labor_jax.report.page import write_report
from labor_jax.train import parallel, state
from labor_jax.util import files, hosts
from labor_jax.util.errors import Waiting


def adapt(this: Run, phase: Phase, now: state.State, compiled: Compiled) -> state.State:
    """Trains for warm-up, or for adaptation with all target labels so far."""
    now = now.replace(selector=None)  # the stage's queries are made, so it is not needed any more
    if this.config.model.freeze and (told := frozen.told_before(this, phase)) is not None:
        return frozen.finished(this, phase, parallel.of_process(now), told)
    read = label_reader(this, phase.stage) if phase.stage else None
    if this.config.model.freeze:
        return frozen.fit(this, phase, now, read)
    return train(this, phase, now, compiled.adapt, read)


def label_reader(this: Run, stage: int) -> pipeline.ReadLabel:
    """Derives the labels of all answers up to a stage, and reads them by image number."""
    written, labelled = journal.on_disk(this.workdir, this.table), set()
    weights, fixes = trust.weights(this.config.trust), q.fixes(this.workdir, stage)
    for image, queries in q.by_image(this.workdir, range(1, stage + 1)).items():
        held = stopping_rules.is_held(this.config, image)
        own = [*queries, *([] if held else fixes.get(image, []))]  # fixes would flatter the score
        answers = [a for query in own for a in journal.answers_to(query, written)]
        answers = trust.kept(answers, weights)
        if answers and not held:
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


def fit_selector(this: Run, phase: Phase, now: state.State, compiled: Compiled) -> state.State:
    """Makes the selector from the segmenter and fits it; an interrupted fit goes on.

    It learns the target's pseudo labels alone, so the source's images are not read.
    """
    if int(now.step) == phase.first:
        now = parallel.of_process(now)
        now = state.start_selector(now, this.config, len(this.table), phase.stage)
        now = parallel.replicate(now, this.config.parallel)
    alone = this._replace(source=this.source.take([]))
    return train(alone, phase, now, compiled.selector, None)


def query(this: Run, phase: Phase, now: state.State, compiled: Compiled) -> None:
    """Each process makes the queries of its share of the images; the first one joins the files."""
    if q.missing(this.workdir, phase.stage) is None:
        _record_mask(this, phase, q.read_score(this.workdir, phase.stage))
        return
    infer = functools.partial(compiled.query, now)
    counted, known, shown = np.zeros(6, np.int64), False, previews.shown(this)
    mine = this.target.take(hosts.share(len(this.target.ids)))

    def made() -> Iterator[q.Query]:
        """The queries one by one: all of SPL's queries together may not fit into memory."""
        nonlocal counted, known
        with this.monitor.phase("query", phase.stage, 0, len(mine.ids), "image") as progress:
            fixed = journal.standing_fixes(this.workdir, this.table)
            everything = asking.ask(phase.stage, mine, infer, this.config, this.workdir, fixed)
            for number, asked in enumerate(everything, start=1):
                if asked.counts is not None:
                    counted, known = counted + asked.counts, True
                image = asked.query["image"]
                if image in shown:
                    previews.write(this, f"stage_{phase.stage}", image, asked.predicted)
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
    asked_images.remember(this.workdir, phase.stage, this.target)
    if hosts.first():
        files.write_json(q.score_path(this.workdir, phase.stage), score)
        q.join_parts(this.workdir, phase.stage, jax.process_count())
    hosts.wait(f"queries {phase.stage}")


def _record_mask(this: Run, phase: Phase, score: dict[str, float] | None) -> None:
    """Records the mask's score, also where the queries are from an earlier process.

    A run that resumes from an older checkpoint has dropped the records after that step.
    """
    if score is not None:
        values = {f"mask/{name}": value for name, value in score.items()}
        this.monitor.record(phase.last, "query", phase.stage, values)


def annotate(this: Run, phase: Phase) -> None:
    """Gets answers to all that is still unanswered; a killed run goes on where the journal ends."""
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
    if hosts.first():  # one process counts, since people may answer while it does
        written = journal.on_disk(this.workdir, this.table)
        waiting = sum(still_open(this, phase.stage, written))
    if waiting := hosts.largest(waiting):
        raise Waiting(
            f"{waiting} images wait for answers: "
            f"labor-jax annotate --workdir={this.workdir}\n"
            f"then run the same command again"
        )


def evaluate(this: Run, phase: Phase, now: state.State, compiled: Compiled) -> None:
    """Writes scores, budget and report up to a stage, unless `summary.json` has them already."""
    if done := this.summary.stage(phase.stage):
        _record_miou(this, phase, done["mIoU"])
        return
    predict = functools.partial(compiled.predict, now.shipped)
    mine = len(hosts.share(len(this.val.ids))) if this.val.read_label else 0
    of_images: list[np.ndarray] = []
    with this.monitor.phase("evaluate", phase.stage, 0, mine, "image") as progress:
        scores = score_domain(
            predict, this.val, this.table, this.config, progress.advance, of_images.append
        )
    _keep(this, of_images)
    budget = budget_until(this, phase.stage)
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
    report(this)


def _keep(this: Run, of_images: list[np.ndarray]) -> None:
    """Writes the confusion matrices of all processes' images in the order of `val`."""
    if this.val.read_label is None:
        return
    rows = of_images
    if jax.process_count() > 1:
        rows = hosts.gather([matrix.tolist() for matrix in of_images])
    if hosts.first():
        file = io.BytesIO()
        np.save(file, np.array(rows, np.int64))
        files.write_atomic(this.workdir / CONFUSIONS, file.getvalue())


def _score_on_held_answers(this: Run, now: state.State, compiled: Compiled) -> float | None:
    """mIoU in percent on the held answers, which training never sees; None if there are none."""
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
    predict = functools.partial(compiled.predict, now.shipped)
    return score_domain(predict, answered.take(held), this.table, this.config)["mIoU"]


def _record_miou(this: Run, phase: Phase, miou: float | None) -> None:
    if miou is not None:
        this.monitor.record(phase.last, "evaluate", phase.stage, {"mIoU": miou})


def report(this: Run) -> None:
    """Writes the report of all that the run has done so far."""
    if hosts.first():
        write_report(this.workdir, this.target, this.table)


def _asked(this: Run, stage: int) -> Iterator[q.Query]:
    """The queries of all stages up to one, and what was fixed until then."""
    for s in range(1, stage + 1):
        yield from q.each_query(this.workdir, s)
    yield from itertools.chain.from_iterable(q.fixes(this.workdir, stage).values())


def budget_until(this: Run, stage: int) -> dict[str, Any]:
    """What has been asked up to a stage, as `summary.json` has it."""
    written, rows, pool = journal.on_disk(this.workdir, this.table), [], {}
    for query in _asked(this, stage):
        rows.append(ledger.row(query, written.get(query["id"], [])))
        pool[query["image"]] = query["size"][0] * query["size"][1]
    return ledger.budget(rows, pool)
