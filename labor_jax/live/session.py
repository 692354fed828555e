"""The threads of a live run.

One learns: it follows the journal, fits, publishes, and saves an ordinary run. The other one
chooses what the newest classifier would ask, which takes longer than a fit and must not delay it.
"""

import contextlib
import functools
import itertools
import json
import math
import os
import pathlib
import shutil
import threading
import time
from collections.abc import Mapping, Sequence, Set
from typing import Any, NamedTuple

import jax.numpy as jnp
import ml_collections
import numpy as np

from labor_jax.annotation import checks, desk, guesses, journal, ledger, trust
from labor_jax.annotation import queries as q
from labor_jax.annotation.newest import Newest
from labor_jax.data import labels
from labor_jax.data.domain import Domain
from labor_jax.infer import batches
from labor_jax.infer import steps as infer_steps
from labor_jax.infer.evaluate import evaluate
from labor_jax.infer.restore import make_inference
from labor_jax.live import learner, questions, scores
from labor_jax.loop import frozen, previews, resume
from labor_jax.loop.compiled import compile_steps
from labor_jax.loop.plan import Run
from labor_jax.report.monitor import Monitor
from labor_jax.report.page import write_report
from labor_jax.report.summary import Summary
from labor_jax.selection import superpixels
from labor_jax.train import linear_fit, parallel, state
from labor_jax.train.checkpoint import Checkpoints
from labor_jax.util import files
from labor_jax.util.errors import UserError

__all__ = ["Learned", "Session", "learn"]

LOOK = 0.03
"""Seconds between two looks at the journal's size."""
FEW = 5
"""A class with fewer answers is told to lack some."""
LOOKED = 64
"""Images that are looked at in one request to tell which are the least sure."""
MOST_POINTS = 500
"""So many of the newest points of the curve are shown."""
COMPARED = 20
"""So many answers more, and the newest classifier is compared anew with that of half of them."""


class Learned(NamedTuple):
    """A classifier and what it was made of.

    Attributes:
      version: how many lines of the journal it knows.
      given: the pixels that it was fitted to.
      pseudo: those that it was fitted to besides, see `learner.fit_answers`.
      fitted: None where there was no pixel.
      scored: its score on the held answers.
    """

    version: int
    given: learner.Given
    pseudo: learner.Given
    fitted: linear_fit.Fitted | None
    scored: scores.Scored


def learn(
    lines: Sequence[journal.Answer],
    queries: Mapping[str, q.Query],
    domain: Domain,
    features: learner.Features,
    config: ml_collections.ConfigDict,
    classes: int,
    before: Learned | None = None,
    held: Sequence[journal.Answer] | None = None,
) -> Learned:
    """The classifier of the journal's lines.

    Args:
      lines: the journal's, or its first ones.
      queries: all of them, by id.
      domain: the target's images, with features.
      features: of the same domain.
      config: see `learner.fit_answers`.
      classes: how many there are.
      before: an earlier one; its fit is taken where the pixels are the same.
      held: the answers to score with; None for those of the lines.
    """
    own, own_held = learner.split(lines, queries)
    weights = trust.weights(config.trust)
    given = learner.given(own, queries, domain, weights)
    test = learner.given(own_held if held is None else held, queries, domain, weights)
    if before is not None and before.given.same(given):
        fitted, pseudo = before.fitted, before.pseudo
    else:
        fitted, pseudo = learner.fit_answers(given, features, config, classes)
    told = np.zeros(len(test.label), np.int64)
    if fitted is not None and len(told):
        told = learner.predicted(fitted, features.of(test.image, test.pixel))
    score = scores.scored(test.image, told, test.label, classes, config.seed)
    return Learned(len(lines), given, pseudo, fitted, score)


class Session:
    """A live run in progress: it learns in threads of its own until it is closed.

    Attributes:
      error: what ended a thread before its time; None while they are well.
    """

    def __init__(
        self,
        config: ml_collections.ConfigDict,
        workdir: pathlib.Path,
        table: labels.ClassTable,
        domains: Mapping[str, Domain],
        verify: bool = False,
    ) -> None:
        """Begins nothing yet.

        Args:
          domains: "source", which is empty, "target" and "val".
          verify: whether what is asked has the newest classifier's guesses, to be confirmed.
        """
        self._config, self._workdir, self._table = config, workdir, table
        self._verify = verify
        self._domains = dict(domains)
        self._index = {image: i for i, image in enumerate(domains["target"].ids)}
        # By name: the domain, and the number in it. A check may be about an image of "val".
        self._places = {
            checks.VAL + image: ("val", i) for i, image in enumerate(domains["val"].ids)
        }
        self._places |= {image: ("target", i) for image, i in self._index.items()}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="learner", daemon=True)
        self._asker = threading.Thread(target=self._ask, name="asker", daemon=True)
        self._made = 0  # images whose features were made
        self._learned: Learned | None = None
        self._proposals: Sequence[questions.Proposal] = ()
        self._gained: dict[str, Any] | None = None
        self._looking = threading.Lock()
        self._looked: tuple[Learned, dict[str, float]] | None = None  # how unsure of which images
        told = [line for _, line in files.json_lines(workdir / resume.LIVE)]
        self._curve = [_point(line) for line in told]
        # Other answers count now: the same lines of the journal make another classifier.
        same = bool(told) and told[-1].get("trust", []) == list(config.trust)
        self._recorded = max(line["version"] for line in told) if same else -1
        self._compared = 0
        self.error: Exception | None = None

    # ------------------------------------------------------------------- for the server's threads

    def newest(self) -> Newest:
        """What the page may ask of the model."""
        return Newest(self.told, self.predict, self.doubts)

    def review(self) -> desk.Review:
        """The images that people may look through and fix, in pieces of `superpixels.cell`."""
        return desk.Review(lambda x: self._size_of(x) if x in self._index else None, self.pieces)

    def next_query(self, asked: Mapping[str, list[q.Query]], busy: Set[str]) -> q.Query | None:
        """The desk's supply, see `questions.next_query`."""
        target = self._domains["target"]
        query = questions.next_query(
            asked, busy, self._proposals, target, self._size_of, self._config
        )
        if query is None or not self._verify or query.get("origin") == q.HELD:
            return query  # a held answer with a guess in sight would score the model by itself
        return self._guessed(query)

    def checks(self) -> checks.Checks | None:
        """How people are checked, as `config.checks` has it; None: they are not.

        Raises:
          UserError: the answers are to be known from labels, and there are none.
        """
        config, val = self._config, self._domains["val"]
        if not config.checks.share:
            return None
        if config.checks.known == "people":
            make = checks.from_people(config.live.points, config.seed)
        elif val.read_label is None:
            raise UserError(
                "config.checks.known: config.val has no labels; give it some, or people"
            )
        else:
            make = checks.from_labels(val, config.live.points, config.seed)

        def made(*about: Any) -> q.Query | None:
            query = make(*about)
            return self._guessed(query) if self._verify and query is not None else query

        return checks.Checks(made, config.checks.share, config.seed)

    def read_image(self, image: str) -> np.ndarray:
        """An image that is asked about, [H, W, 3] uint8 RGB; see `checks.VAL`."""
        name, index = self._places[image]
        return self._domains[name].read_image(index)

    def knows(self, image: str) -> bool:
        """Whether there is an image that is asked about."""
        return image in self._places

    def _guessed(self, query: q.Query) -> q.Query:
        """A query with the newest classifier's guesses; as it is before the first fit."""
        learned, config = self._learned, self._config
        if learned is None or learned.fitted is None:
            return query
        pixel = q.asked_pixels(query)
        name, index = self._places[query["image"]]
        features = self._features[name].of(np.full(len(pixel), index), pixel)
        found = learner.guessed(learned.fitted, features)
        return guesses.add(query, learned.version, *found, config.verify.blind, config.seed)

    def told(self) -> dict[str, Any]:
        """What the page shows of the newest classifier.

        "version": how many lines of the journal it knows, -1 before the first fit; "made" and
        "images": how many images have features, and how many there are; "error": what ended the
        thread, None while it is well; "curve": clicks, mIoU, low and high of each so far;
        "training": pixels that it was fitted to; "counts": these by class; "pseudo": pixels that it
        was fitted to besides, which have the answer of a similar one; "lacking": the classes with
        fewer than `FEW` answers; "held", "mIoU", "low", "high": its score; "gain" and "advice": see
        `scores`.
        """
        learned, classes = self._learned, len(self._table)
        told: dict[str, Any] = {
            "version": -1,
            "made": min(self._made, len(self._index)),
            "images": len(self._index),
            "error": None if self.error is None else str(self.error),
            "curve": [point for point in self._curve if point[1] is not None][-MOST_POINTS:],
        }
        if learned is None:
            return told
        score = learned.scored
        return told | {
            "version": learned.version,
            "fitted": learned.fitted is not None,
            "training": len(learned.given.label),
            "pseudo": len(learned.pseudo.label),
            "counts": np.bincount(learned.given.label, minlength=classes).tolist(),
            "lacking": list(scores.lacking(learned.given.label, classes, FEW)),
            "held": score.answers,
            "mIoU": score.miou,
            "low": score.low,
            "high": score.high,
            "enough": scores.ENOUGH,
            "gain": self._gained,
            "advice": scores.advice(self._gained, score.answers),
        }

    def predict(self, image: str) -> tuple[int, np.ndarray] | None:
        """The newest version and its prediction of an image, [H, W] uint8; None before a fit."""
        learned = self._learned
        if learned is None or learned.fitted is None or image not in self._places:
            return None
        return learned.version, self._predicted(learned.fitted, *self._places[image])

    def doubts(self, anew: bool) -> tuple[dict[str, float | None], bool]:
        """How unsure the newest classifier is of each image, see `Newest`; it looks at a few more.

        A look goes on with the classifier that it began with, or no end of it would come while
        people answer.
        """
        learned, index = self._learned, self._index
        if learned is None or learned.fitted is None:
            return dict.fromkeys(index), False
        with self._looking:
            if self._looked is None or (anew and self._looked[0] is not learned):
                self._looked = learned, {}
            of, known = self._looked
            assert of.fitted is not None
            left = [image for image in index if image not in known][:LOOKED]
            if left:
                known |= zip(left, self._doubts_of(of.fitted, left), strict=True)
            return {image: known.get(image) for image in index}, len(known) < len(index)

    def _doubts_of(self, fitted: linear_fit.Fitted, images: list[str]) -> list[float]:
        target, size = self._domains["target"], self._config.eval_batch_size
        assert target.features is not None
        shipped, found = self._applied(fitted).shipped, []
        for start in range(0, len(images), size):
            some = images[start : start + size]
            filled = (some + some[-1:] * size)[:size]  # one shape, which is compiled once
            rows = [target.features.read(self._index[image]) for image in filled]
            levels: Any = tuple(np.stack(level) for level in zip(*rows, strict=True))
            found += np.asarray(self._doubt(shipped, levels))[: len(some)].tolist()
        return found

    def pieces(self, image: str) -> np.ndarray:
        """An image's superpixels, [H, W] int32, from 1: those that it is least sure of first."""
        found = superpixels.superpixels(self.read_image(image), self._config.superpixels.cell)
        learned = self._learned
        if learned is None or learned.fitted is None:
            return found
        sure = self._inferred(self._probabilities, learned.fitted, *self._places[image]).max(2)
        return superpixels.least_sure_first(found, sure)

    def _predicted(self, fitted: linear_fit.Fitted, name: str, index: int) -> np.ndarray:
        return self._inferred(self._compiled.predict, fitted, name, index)

    def _inferred(self, infer: Any, fitted: linear_fit.Fitted, name: str, index: int) -> np.ndarray:
        """What an inference step makes of one image, [H, W, ...]."""
        features, fits = self._domains[name].features, self._canvases[name]
        assert features is not None
        levels: Any = tuple(level[None] for level in features.read(index))
        height, width = features.sizes[index].tolist()
        natives = batches.natives_of([(height, width)], 1, fits)
        return infer(self._applied(fitted).shipped, levels, fits[height, width], natives)[0]

    def _size_of(self, image: str) -> tuple[int, int]:
        """(H, W) of an image's label."""
        target, index = self._domains["target"], self._index[image]
        if target.features is not None:
            height, width = target.features.sizes[index].tolist()
        else:
            height, width = target.read_image(index).shape[:2]
        return height, width

    # -------------------------------------------------------------------------------- the threads

    def start(self) -> None:
        """Begins to learn."""
        self._thread.start()

    def close(self) -> None:
        """Ends the threads; what is not known yet is learnt and saved before.

        Raises:
          Exception: what had ended a thread before.
        """
        self._stop.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            with contextlib.suppress(_Stopped):
                self._prepare()
                self._asker.start()
                self._follow()
                self._asker.join()
        except Exception as error:  # answers are taken all the same, and the page tells of it
            self.error = error

    def _ask(self) -> None:
        """Proposes what each newest classifier would ask, until the session is closed."""
        target, config = self._domains["target"], self._config
        of: Learned | None = None
        try:
            while not self._stop.is_set():
                newest = self._learned
                if newest is of or newest is None or newest.fitted is None:
                    time.sleep(LOOK)
                    continue
                of = newest
                infer = functools.partial(self._infer, self._applied(newest.fitted))
                asked = _asked(self._workdir)
                self._proposals = questions.propose(asked, newest.version, target, infer, config)
        except Exception as error:
            self.error = error

    def _prepare(self) -> None:
        """Makes what is needed to fit: the backbone, the images' features, compiled steps."""
        config, classes = self._config, len(self._table)
        now = parallel.replicate(state.init_state(config, classes), config.parallel)
        self._now = now
        self._compiled = compile_steps(config, classes)
        for name in ("target", "val"):
            some = {name: self._domains[name]}
            self._domains |= frozen.opened(some, now, config, classes, self._before_a_batch)
        self._canvases = {
            name: batches.canvases(batches.native_sizes(self._domains[name]))
            for name in ("target", "val")
        }
        networks = state.make_networks(config, classes, axis_name=None)
        doubts = functools.partial(infer_steps.doubts, networks=networks)
        self._doubt = parallel.map_inference(doubts, config.parallel)
        self._probabilities = make_inference(infer_steps.probabilities, config, classes, ())
        self._features = {
            name: learner.Features(self._domains[name], config.model.dtype)
            for name in ("target", "val")
        }
        self._compile()

    def _before_a_batch(self, images: int) -> None:
        """Counts the images whose features are made; ends the thread where it is to end."""
        if self._stop.is_set():
            raise _Stopped
        self._made += images

    def _compile(self) -> None:
        """Compiles what a first fit needs, before a person waits for it."""
        one = np.zeros(1, np.int64)
        given = learner.Given(one, one, one.astype(np.int32), np.ones(1, np.float32))
        features, classes = self._features["target"], len(self._table)
        fitted, _ = learner.fit_answers(given, features, self._config, classes)
        assert fitted is not None
        self._predicted(fitted, "target", 0)
        infer = functools.partial(self._infer, self._applied(fitted))
        questions.propose({}, 0, self._domains["target"], infer, self._config)

    def _follow(self) -> None:
        """Fits whenever enough was answered, and saves now and then, until it is closed."""
        config, workdir, path = self._config, self._workdir, journal.path(self._workdir)
        summary = Summary(workdir, config)
        rows = summary.values["stages"]
        last = saved = max((row["version"] for row in rows), default=0)
        if rows and rows[-1].get("trust", []) != list(config.trust):
            saved = 0  # other answers count now, and a step's checkpoint is written once
            shutil.rmtree(workdir / "checkpoints", ignore_errors=True)
        lines: list[journal.Answer] = []
        read, known, since = -1, -1, 0.0
        with (
            contextlib.closing(Checkpoints(workdir, self._table, keep=0)) as checkpoints,
            Monitor(workdir, last) as monitor,
        ):
            this = Run(
                config, workdir, self._table, **self._domains, monitor=monitor,
                checkpoints=checkpoints, summary=summary, publish=None,
            )  # fmt: skip
            while True:
                stopping = self._stop.is_set()
                if (size := _size(path)) != read:
                    lines, read = journal.lines(workdir, self._table), size
                    since = since or time.monotonic()
                new, waited = len(lines) - known, time.monotonic() - since
                if new and (
                    stopping or new >= config.live.answers or waited >= config.live.seconds
                ):
                    self._learn(lines)
                    known, since = len(lines), 0.0
                elif not stopping:
                    time.sleep(LOOK)
                if known > saved and (stopping or known - saved >= config.live.save):
                    self._save(this)
                    saved = known
                if stopping and known == len(lines):
                    return

    def _learn(self, lines: Sequence[journal.Answer]) -> None:
        """Fits, and publishes the classifier and its score."""
        config, target, classes = self._config, self._domains["target"], len(self._table)
        by_id = {query["id"]: query for query in _each(self._workdir)}
        fit = functools.partial(
            learn,
            queries=by_id,
            domain=target,
            features=self._features["target"],
            config=config,
            classes=classes,
        )
        begun = time.monotonic()
        learned = fit(lines, before=self._learned)
        self._learned = learned
        self._record(lines, learned, time.monotonic() - begun)
        if len(lines) >= self._compared + COMPARED and learned.scored.answers >= scores.ENOUGH:
            self._compared = len(lines)
            half = fit(lines[: len(lines) // 2], held=learner.split(lines, by_id)[1])
            self._gained = scores.gain(learned.scored, half.scored)

    def _record(self, lines: Sequence[journal.Answer], learned: Learned, seconds: float) -> None:
        """Adds a line about a fit to `live.jsonl`."""
        score = learned.scored
        people = ledger.annotators(lines)
        line: dict[str, Any] = {
            "version": learned.version,
            "clicks": sum(row["clicks"] for row in people),
            "seconds": round(sum(row["seconds"] or 0.0 for row in people), 1),
            "training": len(learned.given.label),
            "pseudo": len(learned.pseudo.label),
            "held": score.answers,
            "mIoU": score.miou,
            "low": score.low,
            "high": score.high,
            "fit_seconds": round(seconds, 3),
        }
        line |= {"trust": list(self._config.trust)} if self._config.trust else {}
        if learned.version > self._recorded:
            self._recorded = learned.version
            self._curve = [*self._curve, _point(line)]
            files.append_lines(self._workdir / resume.LIVE, f"{json.dumps(line)}\n".encode())

    def _applied(self, fitted: linear_fit.Fitted) -> state.State:
        """A state with the classifier and without a backbone: it is applied to levels."""
        now = parallel.of_process(self._now)
        bare = now.segmenter.replace(params={}, batch_stats={}, opt_state=())
        step = jnp.int32(state.segmenter_taught(self._config))
        return frozen.with_classifier(now.replace(segmenter=bare, step=step), fitted)

    def _infer(
        self,
        now: state.State,
        levels: Any,
        taken: np.ndarray,
        keys: np.ndarray,
        size: tuple[int, int],
        natives: np.ndarray | None,
    ) -> dict[str, np.ndarray]:
        batch = {"image": levels, "taken": taken, "key": keys, "native": natives}
        return self._mapped(tuple(size))(now, batch)

    @functools.lru_cache(maxsize=64)  # noqa: B019
    def _mapped(self, size: tuple[int, int]) -> Any:
        config = self._config
        step = functools.partial(
            infer_steps.query,
            networks=state.make_networks(config, len(self._table), axis_name=None),
            size=size,
            number=config.live.points,
            config=config,
        )
        return parallel.map_inference(step, config.parallel)

    # --------------------------------------------------------------------------- an ordinary run

    def _save(self, this: Run) -> None:
        """Writes checkpoint, label maps, scores, previews and report of the newest classifier."""
        learned, config = self._learned, self._config
        if learned is None or learned.fitted is None:
            return
        version = learned.version
        now = frozen.with_classifier(parallel.of_process(self._now), learned.fitted)
        now = parallel.replicate(now.replace(step=jnp.int32(version)), config.parallel)
        this.checkpoints.save(version, parallel.of_all(now), wait=True)
        queries, lines = _each(this.workdir), journal.lines(this.workdir, this.table)[:version]
        sizes = {query["image"]: tuple(query["size"]) for query in queries}
        answers = trust.kept(journal.labelling(lines), trust.weights(config.trust))
        journal.write_labels(this.workdir, answers, sizes, this.table)
        predict = functools.partial(self._compiled.predict, now.shipped)
        score = evaluate(predict, this.val, this.table, config)
        pool = {image: math.prod(self._size_of(image)) for image in self._index}
        budget = ledger.budget(ledger.rows(queries, lines), pool)
        row = {"stage": len(this.summary.values["stages"]) + 1, "version": version, **score}
        row |= {"budget": budget, "mask": None, "held_mIoU": learned.scored.miou}
        row |= {"trust": list(config.trust), "pseudo": len(learned.pseudo.label)}
        told = {"loss/fit": learned.fitted.loss, "agreement/fit": learned.fitted.agreement}
        this.monitor.record(version, "live", 1, {name: float(x) for name, x in told.items()})
        previews.write_all(this, "final", now, self._compiled)
        this.summary.add_stage(row)
        write_report(this.workdir, this.target, this.table)


class _Stopped(Exception):
    """The session is closed while it makes features."""


def _point(line: Mapping[str, Any]) -> tuple:
    """A line of `live.jsonl` as a point of the curve."""
    return line["clicks"], line["mIoU"], line["low"], line["high"]


def _asked(workdir: str | os.PathLike) -> dict[str, list[q.Query]]:
    """All queries so far by image."""
    found: dict[str, list[q.Query]] = {}
    for query in _each(workdir):
        found.setdefault(query["image"], []).append(query)
    return found


def _each(workdir: str | os.PathLike) -> list[q.Query]:
    """All queries so far, and what was fixed with `labor-jax annotate`."""
    asked = q.each_query(workdir, questions.STAGE, growing=True)
    return [*asked, *itertools.chain.from_iterable(q.fixes(workdir).values())]


def _size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.exists() else 0
