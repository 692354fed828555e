"""How good a classifier is, by answers that were kept from its fit, and how sure that is."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from labor_jax.infer import metrics
from labor_jax.util import rng

__all__ = ["ENOUGH", "Scored", "advice", "gain", "lacking", "scored"]

RESAMPLES = 400
"""Bootstrap samples of the images."""
LOW, HIGH = 5.0, 95.0
"""Percentiles: the interval holds nine samples of ten."""
FEWEST = 8
"""Images of held answers below which a bootstrap over images says nothing [ours]."""
ENOUGH = 40
"""Held answers below which nothing is concluded from them [ours]."""
LITTLE = 1.0
"""Points of mIoU; a smaller gain from doubling the answers is not worth them [ours]."""


class Scored(NamedTuple):
    """A classifier's mIoU on held answers.

    Attributes:
      answers: how many held answers there are.
      miou: in percent, over the classes that occur; None without answers.
      low, high: the 90 % interval of a bootstrap over images, whose pixels are alike; None of
        fewer than `FEWEST` images.
      samples: [RESAMPLES] float64, the mIoU of each sample, in percent.
    """

    answers: int
    miou: float | None
    low: float | None
    high: float | None
    samples: np.ndarray


def scored(
    images: np.ndarray, predicted: np.ndarray, truth: np.ndarray, classes: int, seed: int
) -> Scored:
    """Scores predictions of held answers.

    Args:
      images: [P] int, the number of each answer's image.
      predicted, truth: [P] int train ids.
      classes: how many there are.
      seed: `config.seed`; the same images are drawn for every classifier.
    """
    if not len(truth):
        return Scored(0, None, None, None, np.zeros(0))
    _, which = np.unique(images, return_inverse=True)
    number = int(which.max()) + 1
    counts = np.zeros((number, classes, classes), np.int64)
    np.add.at(counts, (which, truth.astype(int), predicted.astype(int)), 1)
    random = rng.generator(seed, "live/bootstrap")
    drawn = random.multinomial(number, np.full(number, 1 / number), RESAMPLES)
    confusions = np.tensordot(drawn, counts, 1)
    samples = _mean_iou(confusions)
    whole = float(_mean_iou(counts.sum(0)[None])[0])
    if number < FEWEST:
        return Scored(len(truth), whole, None, None, samples)
    low, high = np.nanpercentile(samples, [LOW, HIGH]).tolist()
    return Scored(len(truth), whole, low, high, samples)


def _mean_iou(confusions: np.ndarray) -> np.ndarray:
    """[N, C, C] to [N]: the mean over the classes that occur, of which each has at least one."""
    return np.nanmean(metrics.per_class_iou(confusions), axis=-1)


def gain(now: Scored, before: Scored) -> dict[str, Any] | None:
    """What a classifier gained over another one on the same held answers, in points of mIoU.

    Returns:
      {"gain", "low", "high"}, the interval of the paired differences; None where there are fewer
      than `ENOUGH` answers or `FEWEST` images.
    """
    if now.miou is None or before.miou is None or now.low is None or now.answers < ENOUGH:
        return None
    low, high = np.nanpercentile(now.samples - before.samples, [LOW, HIGH])
    return {"gain": now.miou - before.miou, "low": float(low), "high": float(high)}


def advice(gained: dict[str, Any] | None, held: int) -> str:
    """Whether more answers seem to help, in a word: "early", "helps", "little" or "unclear".

    Args:
      gained: what the second half of the answers gained over the first, see `gain`.
      held: how many held answers there are.
    """
    if gained is None or held < ENOUGH:
        return "early"
    if gained["high"] < LITTLE:
        return "little"
    return "helps" if gained["low"] > 0 else "unclear"


def lacking(labels: np.ndarray, classes: int, few: int) -> Sequence[int]:
    """The classes with fewer than `few` answers to learn from, in order."""
    counts = np.bincount(labels, minlength=classes)
    return [int(label) for label in np.flatnonzero(counts < few)]
