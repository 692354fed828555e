"""From the journal to a classifier: a pure function of features, journal and config.

The fit starts anew each time, so nothing is carried from one to the next. A process that is killed
and started again makes the same classifier of the same journal, bit for bit.
"""

import types
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax
import ml_collections
import numpy as np
from scipy import special

from labor_jax.annotation import journal, trust
from labor_jax.annotation import queries as q
from labor_jax.annotation.journal import Answer
from labor_jax.data.domain import Domain
from labor_jax.data.labels import IGNORE
from labor_jax.live import spreading
from labor_jax.loop import frozen
from labor_jax.train import linear_fit

__all__ = [
    "Features",
    "Given",
    "fit",
    "fit_answers",
    "given",
    "guessed",
    "predicted",
    "pseudo_answers",
    "split",
]

REGION = 16
"""So many pixels of a region are learnt, evenly spread: its pixels are alike [ours]."""
ROOM = 64
"""Points of an image that are looked up at once, and the fewest for which a fit is compiled."""


class Given(NamedTuple):
    """Pixels with a class, sorted by image and pixel.

    Attributes:
      image: [P] int64, the number of each pixel's image in the domain.
      pixel: [P] int64, its flat number at the label's resolution.
      label: [P] int32 train ids.
      weight: [P] float32, how much each counts besides the balance of the classes.
    """

    image: np.ndarray
    pixel: np.ndarray
    label: np.ndarray
    weight: np.ndarray

    def same(self, other: "Given") -> bool:
        """Whether two are equal."""
        return all(np.array_equal(a, b) for a, b in zip(self, other, strict=True))


def split(
    lines: Iterable[Answer], queries: Mapping[str, q.Query]
) -> tuple[list[Answer], list[Answer]]:
    """The answers that stand, to learn from and to score with.

    Args:
      lines: the journal's, or the first ones.
      queries: all of them, by id. Answers to those of origin "held" are the second list.
    """
    learnt: list[Answer] = []
    held: list[Answer] = []
    for entry in journal.labelling(lines):
        is_held = queries[entry["query"]].get("origin") == q.HELD
        (held if is_held else learnt).append(entry)
    return learnt, held


def given(
    answers: Iterable[Answer],
    queries: Mapping[str, q.Query],
    domain: Domain,
    weights: Mapping[str, float] = types.MappingProxyType({}),
) -> Given:
    """The pixels that answers give a class; those of images that are not there are left out.

    Where two answers are about one pixel, the later one counts. Of a region, such as people fix in
    reviews, at most `REGION` pixels are learnt.

    Args:
      weights: of some annotators, see `trust`; answers of weight 0 are left out.
    """
    index = {image: i for i, image in enumerate(domain.ids)}
    found: dict[tuple[int, int], tuple[int, float]] = {}
    for entry in trust.kept(answers, weights):
        if entry["image"] in index and entry["class"] != IGNORE:
            pixels = journal.pixels(entry, queries[entry["query"]]["size"])
            image, weight = index[entry["image"]], weights.get(entry["annotator"], 1.0)
            for pixel in pixels.tolist():
                found.pop((image, pixel), None)
            spread = np.linspace(0, len(pixels) - 1, min(REGION, len(pixels))).astype(int)
            for pixel in pixels[spread].tolist():
                found[image, pixel] = entry["class"], weight
    order = sorted(found)
    places = np.array(order, np.int64).reshape(-1, 2)
    labels = np.array([found[at][0] for at in order], np.int32)
    return Given(
        places[:, 0], places[:, 1], labels, np.array([found[at][1] for at in order], np.float32)
    )


class Features:
    """Looks up the features of pixels; each pixel's are computed once and kept in memory.

    They are computed in calls of one shape, so a pixel's do not depend on which others are looked
    up with it.
    """

    def __init__(self, domain: Domain, dtype: str) -> None:
        """Looks nothing up yet.

        Args:
          domain: with features.
          dtype: `config.model.dtype`.
        """
        self._domain, self._dtype = domain, dtype
        self._known: dict[tuple[int, int], np.ndarray] = {}
        self._spread: dict[tuple, tuple[np.ndarray, np.ndarray]] = {}

    def of(self, images: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """The features of pixels, [P, F] float32.

        Args:
          images: [P] int, the number of each pixel's image in the domain.
          pixels: [P] int, its flat number at the label's resolution.
        """
        keys = list(zip(images.tolist(), pixels.tolist(), strict=True))
        lacking: dict[int, list[int]] = {}
        for image, pixel in keys:
            if (image, pixel) not in self._known:
                lacking.setdefault(image, []).append(pixel)
        for image, some in lacking.items():
            self._look(image, some)
        found = [self._known[key] for key in keys]
        return np.stack(found) if found else np.zeros((0, 0), np.float32)

    def spread(self, image: int, pixels: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The pixels of an image that get a pseudo answer, and the answer of each.

        What was found is kept in memory, the features that it was found by are not.

        Args:
          image: its number in the domain.
          pixels: [A] int, the answered ones, as flat numbers at the label's resolution.
          number: see `spreading.spread`.
        Returns:
          [P] int64 flat numbers; [P] int64 places in `pixels`.
        """
        key = image, pixels.tobytes(), number
        if key not in self._spread:
            domain = self._domain
            assert domain.features is not None
            height, width = domain.features.sizes[image].tolist()
            places = spreading.grid((height, width))
            room = frozen.power_of_two(len(places))
            found = frozen.features_at(domain, image, places, (height, width), room, self._dtype)
            free = ~np.isin(places, pixels)
            answered = self.of(np.full(len(pixels), image), pixels)
            reached, answer = spreading.spread(found[free], answered, number)
            self._spread[key] = places[free][reached], answer
        return self._spread[key]

    def _look(self, image: int, some: list[int]) -> None:
        domain = self._domain
        assert domain.features is not None
        height, width = domain.features.sizes[image].tolist()
        for start in range(0, len(some), ROOM):
            part = np.array(some[start : start + ROOM])
            found = frozen.features_at(domain, image, part, (height, width), ROOM, self._dtype)
            # Copies: a row of a shared array would keep all of it in memory.
            for pixel, row in zip(part.tolist(), found, strict=True):
                self._known[image, pixel] = row.copy()


def fit_answers(
    given: Given, features: Features, config: ml_collections.ConfigDict, classes: int
) -> tuple[linear_fit.Fitted | None, Given]:
    """The classifier of given answers, and the pseudo answers that it was fitted to besides.

    Pseudo answers are those with which a classifier of the given ones alone agrees.

    Args:
      config: `live.spread`, and what `fit` reads.
      classes: how many there are.
    """

    def fit_to(some: Given) -> linear_fit.Fitted | None:
        known = features.of(some.image, some.pixel)
        return fit(known, some.label, some.weight, config, classes)

    fitted, pseudo = fit_to(given), pseudo_answers(given, features, config.live.spread)
    if fitted is None or not len(pseudo.label):
        return fitted, pseudo
    agreed = predicted(fitted, features.of(pseudo.image, pseudo.pixel)) == pseudo.label
    pseudo = Given(*(column[agreed] for column in pseudo))
    return fit_to(Given(*map(np.concatenate, zip(given, pseudo, strict=True)))), pseudo


def pseudo_answers(given: Given, features: Features, number: int) -> Given:
    """Given answers, spread to similar pixels of their images; each weighs as its answer does.

    Images with more than `spreading.FEW` answers have none.

    Args:
      number: how many pixels an answer reaches at most, see `spreading.spread`; 0 for none.
    """
    images, starts = np.unique(given.image, return_index=True)
    ends = np.append(starts, len(given.image))[1:]
    found = [np.zeros((3, 0), np.int64)]  # image, pixel and the row of the answer that it has
    for image, start, end in zip(images.tolist(), starts, ends, strict=True):
        if not number or end - start > spreading.FEW:
            continue
        pixels, answer = features.spread(image, given.pixel[start:end], number)
        found.append(np.stack([np.full(len(pixels), image), pixels, start + answer]))
    image, pixel, source = np.concatenate(found, axis=1)
    return Given(image, pixel, given.label[source], given.weight[source])


def fit(
    features: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    config: ml_collections.ConfigDict,
    classes: int,
) -> linear_fit.Fitted | None:
    """The classifier of some labelled pixels, as host arrays; None of no pixel.

    Rows without weight fill the pixels up to a power of two, so that few programs are compiled.

    Args:
      features: [P, F] float32.
      labels: [P] int32 train ids.
      weights: [P] float32 above 0, how much each counts besides the balance of the classes.
      config: `adapt_steps`, `optimizer.weight_decay`, `loss.balance`.
      classes: how many there are.
    """
    number = len(labels)
    if not number:
        return None
    missing = max(ROOM, frozen.power_of_two(number)) - number
    weights = weights * frozen.balanced(labels, config.loss.balance)
    fitted = linear_fit.fit(
        np.pad(features, ((0, missing), (0, 0))),
        np.pad(labels, (0, missing)),
        np.pad(weights, (0, missing)),
        classes=classes,
        steps=config.adapt_steps,
        decay=config.optimizer.weight_decay,
    )
    return jax.device_get(fitted)


def predicted(fitted: linear_fit.Fitted, features: np.ndarray) -> np.ndarray:
    """The classes of pixels with features [P, F]: [P] int64."""
    return _logits(fitted, features).argmax(1)


def guessed(fitted: linear_fit.Fitted, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The classes of pixels with features [P, F] and their probabilities: [P] int64, float32."""
    probabilities = special.softmax(_logits(fitted, features), axis=1)
    return probabilities.argmax(1), probabilities.max(1)


def _logits(fitted: linear_fit.Fitted, features: np.ndarray) -> np.ndarray:
    return features @ np.asarray(fitted.kernel) + np.asarray(fitted.bias)
