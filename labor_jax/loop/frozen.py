"""A run whose backbone is not trained: its phases fit the classifier to the labels so far.

The fit starts anew each time. The classifier is therefore a function of features, labels and config
alone, and a run that is killed during a fit makes the same one again.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from labor_jax.data.domain import Domain
from labor_jax.data.labels import IGNORE
from labor_jax.data.pipeline import ReadLabel
from labor_jax.infer import steps
from labor_jax.infer.feature_cache import with_features
from labor_jax.loop.plan import Phase, Run
from labor_jax.models.linear import ContextPooling
from labor_jax.train import linear_fit, parallel, state
from labor_jax.util import rng

__all__ = [
    "NUMBERS",
    "balanced",
    "features_at",
    "fit",
    "interpolated",
    "opened",
    "power_of_two",
    "with_classifier",
]

NUMBERS = 371_200_000
"""Features of all pixels of either domain that a fit reads: 1.5 GB, such as 400,000 pixels with
EfficientNet-Lite0's 928. More images give fewer pixels each."""


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
    """
    config, classes = this.config, len(this.table)
    own = parallel.of_process(now)
    features, labels, weights = [], [], []
    readers: list[tuple[Domain, ReadLabel | None, float, str]] = [
        (this.source, this.source.read_label, 1.0, "source"),
        (this.target, read_target_label, config.loss.target, "target"),
    ]
    number = sum(len(domain.ids) for domain, read, _, _ in readers if read)
    with this.monitor.phase(phase.name, phase.stage, 0, number, "image") as progress:
        done = 0
        for domain, read, weight, name in readers:
            seen = [np.zeros(0, np.int32)]
            for pixels, ids in _pixels(domain, read, config, name) if read else ():
                if len(ids):
                    features.append(pixels)
                    seen.append(ids)
                done += 1
                progress.advance(done)
            found = np.concatenate(seen)
            labels.append(found)
            weights.append(weight * balanced(found, config.loss.balance))
    told = {"loss/fit": 0.0, "agreement/fit": 0.0}
    if features:
        fitted = linear_fit.fit(
            np.concatenate(features),
            np.concatenate(labels),
            np.concatenate(weights),
            classes=classes,
            steps=phase.last - phase.first,
            decay=config.optimizer.weight_decay,
        )
        own = with_classifier(own, fitted)
        told = {"loss/fit": float(fitted.loss), "agreement/fit": float(fitted.agreement)}
    own = own.replace(step=jnp.int32(phase.last), selector=None)
    now = parallel.replicate(own, config.parallel)
    this.monitor.record(phase.last, phase.name, phase.stage, told)
    this.checkpoints.save(phase.last, parallel.of_all(now), wait=True)
    return now


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
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Features [P, F] float32 and train ids [P] int32 of each image's labelled pixels."""
    assert domain.features is not None
    look = functools.partial(_look, dtype=config.model.dtype)
    place = jax.ShapeDtypeStruct((1,), np.float32)  # of one pixel, for the number of its features
    width = jax.eval_shape(look, domain.features.read(0), place, place).shape[-1]
    most = max(1, min(config.frozen.pixels, NUMBERS // (width * len(domain.ids))))
    for index, image in enumerate(domain.ids):
        label = read(index)
        where = np.flatnonzero(label != IGNORE) if label is not None else np.zeros(0, int)
        if label is None or not len(where):
            yield np.zeros((0, 0), np.float32), np.zeros(0, np.int32)
            continue
        if len(where) > most:
            random = rng.generator(config.seed, f"frozen/{name}/{image}")
            where = np.sort(random.choice(where, most, replace=False))
        room = power_of_two(len(where))  # so that few shapes are compiled
        found = features_at(domain, index, where, label.shape, room, config.model.dtype)
        yield found, label.ravel()[where].astype(np.int32)


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
    """The features [P, F] of an image's levels at rows [P] and columns [P], each from 0 to 1."""
    batch = [level[None].astype(dtype) for level in levels]
    return interpolated(ContextPooling(jnp.dtype(dtype)).apply({}, batch)[0], rows, columns)


def interpolated(features: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """Features [h, w, F] between cells, with aligned corners as in `resize.upsample`: [P, F].

    rows, columns: [P] float32, 0 = the first cell, 1 = the last one.
    """

    def around(places: jax.Array, length: int) -> tuple[jax.Array, jax.Array, jax.Array]:
        at = places * (length - 1)
        low = jnp.clip(jnp.floor(at).astype(jnp.int32), 0, length - 1)
        return low, jnp.minimum(low + 1, length - 1), (at - low)[:, None]

    (top, bottom, down), (left, right, along) = (
        around(places, length)
        for places, length in zip((rows, columns), features.shape[:2], strict=True)
    )
    above = (1 - along) * features[top, left] + along * features[top, right]
    below = (1 - along) * features[bottom, left] + along * features[bottom, right]
    return (1 - down) * above + down * below
