"""A run whose backbone is not trained: its phases fit the classifier to the labels so far.

The fit starts anew each time. The classifier is therefore a function of features, labels and config
alone (with a teacher also of the classifier before), and a run that is killed during a fit makes
the same one again.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from scipy import special

from labor_jax.data.domain import Domain
from labor_jax.data.labels import IGNORE
from labor_jax.data.pipeline import ReadLabel
from labor_jax.infer import steps
from labor_jax.infer.feature_cache import with_features
from labor_jax.loop.asking import asks
from labor_jax.loop.plan import Phase, Run
from labor_jax.models import linear
from labor_jax.report.monitor import read_metrics
from labor_jax.train import linear_fit, parallel, pseudo_labels, state, teacher
from labor_jax.util import rng

__all__ = [
    "NUMBERS",
    "Lesson",
    "balanced",
    "features_at",
    "finished",
    "fit",
    "opened",
    "power_of_two",
    "told_before",
    "with_classifier",
]

NUMBERS = 371_200_000
"""Features of all pixels of either domain that a fit reads: 1.5 GB, such as 400,000 pixels with
EfficientNet-Lite0's 928. More images give fewer pixels each."""
TOLD = ("loss/fit", "agreement/fit")
"""What a fit records: `Fitted.loss` and `Fitted.agreement`."""
UNSEEN = -1
"""The label of a pixel of an image that nobody has answered anything about."""


def opened(
    domains: dict[str, Domain],
    now: state.State,
    config: ml_collections.ConfigDict,
    classes: int,
    before_a_batch: Callable[[int], None] = lambda images: None,
) -> dict[str, Domain]:
    """The domains with their features, made where they are not on disk yet.

    Args:
      before_a_batch: is told how many images' features are about to be made; it may raise.
    """
    networks = state.make_networks(config, classes, axis_name=None)
    segmenter = jax.device_get(parallel.of_process(now).segmenter.replace(opt_state=()))
    make = jax.jit(functools.partial(steps.features, segmenter, networks=networks))

    def told(images: Any) -> Any:
        if not isinstance(images, jax.core.Tracer):
            before_a_batch(len(images))
        return make(images)

    backbone = {kind: x.get("backbone", {}) for kind, x in segmenter.variables.items()}
    return with_features(domains, told, backbone, config)


def fit(
    this: Run, phase: Phase, now: state.State, read_target_label: ReadLabel | None
) -> state.State:
    """Fits the classifier from zeros to the source's labels and all target labels so far.

    Each domain counts as a whole, the target `loss.target` times, and within it the classes as
    `loss.balance` says. At most `frozen.pixels` labelled pixels of an image are read, chosen by
    (seed, domain, image). A pixel's features are those of the cells around it, interpolated as
    `upsample` interpolates logits.

    With a teacher, pixels without a label are read, too, up to `frozen.pixels` of each target
    image. The source's features are moved to their mean and deviation. The classifier so far labels
    those of which it is surest in images without an answer; they count as a whole, `teacher.weight`
    times.
    """
    config, classes = this.config, len(this.table)
    own = parallel.of_process(now)
    features, labels, weights = _lessons(this, phase, own, read_target_label)
    told = dict.fromkeys(TOLD, 0.0)
    if len(labels):
        fitted = linear_fit.fit(
            features,
            labels,
            weights,
            classes=classes,
            steps=phase.last - phase.first,
            decay=config.optimizer.weight_decay,
        )
        own = with_classifier(own, fitted)
        told = dict(zip(TOLD, map(float, (fitted.loss, fitted.agreement)), strict=True))
    return finished(this, phase, own, told)


def finished(this: Run, phase: Phase, own: state.State, told: dict[str, float]) -> state.State:
    """The state after a fit, recorded and saved.

    Args:
      own: the state of this process with the fitted classifier.
      told: the fit's record.
    """
    own = own.replace(step=jnp.int32(phase.last), selector=None)
    now = parallel.replicate(own, this.config.parallel)
    this.monitor.record(phase.last, phase.name, phase.stage, told)
    this.checkpoints.save(phase.last, parallel.of_all(now), wait=True)
    return now


def told_before(this: Run, phase: Phase) -> dict[str, float] | None:
    """The record of the fit before, where this one would be the same; else None.

    It is the same where nothing is asked in between, as with `full` from the second stage on. A
    teacher would have learned from the classifier in between.
    """
    if phase.stage < 2 or asks(this.config.method, phase.stage) or teacher.teaches(this.config):
        return None
    found = [
        {name: record[name] for name in TOLD}
        for record in read_metrics(this.workdir)
        if record["step"] == phase.first and record.get("phase") == phase.name
    ]
    return found[0] if found else None


class Lesson(NamedTuple):
    """Labelled pixels that a fit learns.

    Attributes:
      features: [P, F] float32.
      labels: [P] int32 train ids; `IGNORE` or `UNSEEN` where there is no label.
      weight: how much all of them count together.
    """

    features: np.ndarray
    labels: np.ndarray
    weight: float

    def at(self, where: np.ndarray) -> "Lesson":
        """Some of the pixels, by a mask [P] bool."""
        return self._replace(features=self.features[where], labels=self.labels[where])


def _lessons(
    this: Run, phase: Phase, now: state.State, read_target_label: ReadLabel | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a fit learns: the source, the target's labels and a teacher's.

    Returns:
      [P, F] float32 features; [P] int32 train ids; [P] float32, how much each pixel counts.
    """
    config, taught = this.config, teacher.teaches(this.config)
    if taught and not read_target_label:
        read_target_label = _no_label
    readers: list[tuple[Domain, ReadLabel | None, float, str]] = [
        (this.source, this.source.read_label, 1.0, "source"),
        (this.target, read_target_label, config.loss.target, "target"),
    ]
    number = sum(len(domain.ids) for domain, read, _, _ in readers if read)
    lessons, done = [], 0
    with this.monitor.phase(phase.name, phase.stage, 0, number, "image") as progress:
        for domain, read, weight, name in readers:
            parts = []
            others = taught and name == "target"
            for pixels in _pixels(domain, read, config, name, others) if read else ():
                parts += [pixels] if len(pixels[1]) else []
                done += 1
                progress.advance(done)
            if parts:
                features, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
                lessons.append(Lesson(features, labels, weight))
    if taught:
        *source, target = lessons
        unlabelled = (target.labels == IGNORE) | (target.labels == UNSEEN)
        lessons = [_moved(lesson, target.at(unlabelled)) for lesson in source]
        lessons.append(target.at(~unlabelled))
        lessons.append(_taught(target.at(target.labels == UNSEEN), now, config))
    lessons = [lesson for lesson in lessons if len(lesson.labels)]
    if not lessons:
        return np.zeros((0, 0), np.float32), np.zeros(0, np.int32), np.zeros(0, np.float32)
    weights = [x.weight * balanced(x.labels, config.loss.balance) for x in lessons]
    return (
        _joined([lesson.features for lesson in lessons]),
        _joined([lesson.labels for lesson in lessons]),
        _joined(weights),
    )


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    """Arrays one after the other; one alone is not copied, since it may be of gigabytes."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _no_label(index: int) -> None:
    """Reads the label of an image that nobody has answered anything about."""


def _taught(lesson: Lesson, now: state.State, config: ml_collections.ConfigDict) -> Lesson:
    """The pixels that the classifier so far is surest of; none before the first fit."""
    kernel, bias = (np.asarray(now.segmenter.params["main"][key]) for key in ("kernel", "bias"))
    if not kernel.any():
        return lesson.at(np.zeros(len(lesson.labels), bool))
    probabilities = special.softmax(lesson.features @ kernel[0, 0] + bias, axis=1)
    labels = pseudo_labels.surest(probabilities, config.teacher.share)
    taught = Lesson(lesson.features, labels, config.teacher.weight)
    return taught.at(labels != IGNORE)


def _moved(lesson: Lesson, to: Lesson) -> Lesson:
    """A lesson whose features have another one's mean and deviation [cited: AdaBN]."""
    if not len(to.labels):
        return lesson
    (mean, deviation), (new_mean, new_deviation) = (
        (x.features.mean(0), x.features.std(0) + linear_fit.SMALLEST) for x in (lesson, to)
    )
    return lesson._replace(
        features=(lesson.features - mean) * (new_deviation / deviation) + new_mean
    )


def with_classifier(now: state.State, fitted: linear_fit.Fitted) -> state.State:
    """A state whose segmenter has a fitted classifier."""
    main = {"kernel": fitted.kernel[None, None], "bias": fitted.bias}
    params = now.segmenter.params | {"main": main}
    return now.replace(segmenter=now.segmenter.replace(params=params))


def balanced(labels: np.ndarray, balance: float) -> np.ndarray:
    """The weight of each pixel, [P] float32, whose sum is 1 (of no pixels: 0) [ours].

    Args:
      labels: [P] train ids.
      balance: a pixel weighs as the share of its class to the power of minus this.
    """
    _, of_class, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights = (counts / max(1, len(labels)))[of_class] ** -balance
    return (weights / max(weights.sum(), 1e-12)).astype(np.float32)


def _pixels(
    domain: Domain,
    read: ReadLabel,
    config: ml_collections.ConfigDict,
    name: str,
    others: bool,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Features [P, F] float32 and train ids [P] int32 of each image's labelled pixels.

    Args:
      others: whether pixels without a label are added up to `frozen.pixels`: `IGNORE` of images
        with an answer, `UNSEEN` of others.
    """
    assert domain.features is not None
    look = functools.partial(_look, dtype=config.model.dtype)
    place = jax.ShapeDtypeStruct((1,), np.float32)  # of one pixel, for the number of its features
    width = jax.eval_shape(look, domain.features.read(0), place, place).shape[-1]
    most = max(1, min(config.frozen.pixels, NUMBERS // (width * len(domain.ids))))
    nothing = np.zeros((0, 0), np.float32), np.zeros(0, np.int32)
    for index, image in enumerate(domain.ids):
        label, unlabelled = read(index), IGNORE
        if label is None:
            if not others:
                yield nothing
                continue
            label, unlabelled = np.full(domain.features.sizes[index], IGNORE, np.uint8), UNSEEN
        drawn = f"frozen/{name}/{image}"
        where = _some(np.flatnonzero(label != IGNORE), most, config.seed, drawn)
        if others:
            rest = np.flatnonzero(label == IGNORE)
            rest = _some(rest, most - len(where), config.seed, f"{drawn}/others")
            where = np.concatenate([where, rest])
        if not len(where):
            yield nothing
            continue
        room = power_of_two(len(where))  # so that few shapes are compiled
        found = features_at(domain, index, where, label.shape, room, config.model.dtype)
        ids = label.ravel()[where].astype(np.int32)
        yield found, np.where(ids == IGNORE, unlabelled, ids)


def _some(pixels: np.ndarray, most: int, seed: int, name: str) -> np.ndarray:
    """At most so many of an image's pixels, drawn by (seed, name), in order."""
    if len(pixels) <= most:
        return pixels
    return np.sort(rng.generator(seed, name).choice(pixels, most, replace=False))


def features_at(
    domain: Domain, index: int, where: np.ndarray, size: tuple[int, int], room: int, dtype: str
) -> np.ndarray:
    """The features of an image's pixels, [P, F] float32.

    Args:
      domain: with features.
      index: of the image.
      where: [P] int, flat numbers of pixels at the label's resolution.
      size: (H, W) of the label.
      room: at least P; a program is compiled for each.
      dtype: `config.model.dtype`.
    """
    assert domain.features is not None
    share = [
        places / max(1, length - 1)
        for places, length in zip(np.divmod(where, size[1]), size, strict=True)
    ]
    padded = [np.resize(places, room).astype(np.float32) for places in share]
    return np.asarray(_look(domain.features.read(index), *padded, dtype=dtype))[: len(where)]


def power_of_two(number: int) -> int:
    """The least power of two that is not less than a number from 1."""
    return 1 << (number - 1).bit_length()


@functools.partial(jax.jit, static_argnames="dtype")
def _look(
    levels: tuple[jax.Array, ...], rows: jax.Array, columns: jax.Array, *, dtype: str
) -> jax.Array:
    """`linear.features_at`, compiled."""
    return linear.features_at(levels, rows, columns, jnp.dtype(dtype))
