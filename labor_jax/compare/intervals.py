"""How sure a comparison is: over seeds (training noise) and over images (the sample)."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from labor_jax.infer import metrics
from labor_jax.util import rng

RESAMPLES = 2000
Interval = tuple[float, float]


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and the standard deviation of a sample; the latter is None for a single value."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return float(np.mean(values)), spread


def over_seeds(differences: Sequence[float]) -> Interval | None:
    """Student's 95 % interval of the mean of paired differences; None for fewer than two."""
    from scipy import stats  # slow to import, and only a comparison needs it

    n = len(differences)
    if n < 2:
        return None
    half = stats.t.ppf(0.975, n - 1) * np.std(differences, ddof=1) / math.sqrt(n)
    mean = np.mean(differences)
    return float(mean - half), float(mean + half)


def p_value(differences: Sequence[float]) -> float | None:
    """How often such a mean of paired differences comes by chance where there is none.

    Student's two-sided test; None for fewer than two differences.
    """
    from scipy import stats

    n = len(differences)
    if n < 2:
        return None
    mean, spread = float(np.mean(differences)), float(np.std(differences, ddof=1))
    if spread == 0:
        return float(mean == 0)
    return float(2 * stats.t.sf(abs(mean) / spread * math.sqrt(n), n - 1))


def holm(values: Sequence[float]) -> list[float]:
    """p-values corrected for that they are several [cited: Holm 1979].

    Below 0.05, any of them is a false alarm in at most one of twenty such families.
    """
    corrected, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(np.argsort(values, kind="stable")):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = largest
    return corrected


POWER = 0.8


def least_seen(differences: Sequence[float]) -> float | None:
    """The least true difference that as many seeds show in about four of five comparisons.

    To show is that Student's 95 % interval leaves out 0. The differences' deviation is taken for
    the true one, and the sum of two quantiles of Student's distribution for one of the noncentral
    distribution. None for fewer than two differences.
    """
    from scipy import stats

    n = len(differences)
    if n < 2:
        return None
    quantiles = float(stats.t.ppf((0.975, POWER), n - 1).sum())
    return quantiles * float(np.std(differences, ddof=1)) / math.sqrt(n)


class Rank(NamedTuple):
    """Where one of several methods stands, over resampled seeds and images.

    Attributes:
      low, high: its ranks in 95 % of the resamples; 1 = the highest score.
      first: the share of the resamples in which it is the first.
    """

    low: int
    high: int
    first: float


def ranks(samples: Mapping[str, Sequence[np.ndarray]]) -> dict[str, Rank]:
    """The ranks of methods; seeds are resampled with the images, and alike for all.

    Args:
      samples: of each method the `resampled_mious` of its runs, [B] float64 each, seed by seed.
    """
    scores = np.stack([np.stack(runs) for runs in samples.values()])  # [methods, seeds, B]
    _, seeds, number = scores.shape
    drawn = rng.generator(0, "seeds").integers(0, seeds, (seeds, number))
    means = np.take_along_axis(scores, drawn[None], axis=1).mean(1)
    places = 1 + (means[None] > means[:, None]).sum(1)  # [methods, B]
    low, high = np.quantile(places, (0.025, 0.975), axis=1, method="nearest").astype(int).tolist()
    first = (places == 1).mean(1).tolist()
    return {name: Rank(*own) for name, *own in zip(samples, low, high, first, strict=True)}


def resamples(images: int, number: int = RESAMPLES) -> np.ndarray:
    """How often each image is drawn in each resample: [number, images] float64.

    Each row sums to `images`. The resamples are the same for every run, so comparisons are paired.
    """
    random = rng.generator(0, "bootstrap")
    return random.multinomial(images, np.full(images, 1 / images), number).astype(np.float64)


def resampled_mious(confusions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """A run's mIoU in percent on each resample of the images it was scored on.

    Args:
      confusions: [N, C, C] int64, of each image.
      weights: [B, N] float64, of `resamples`.
    Returns:
      [B] float64.
    """
    classes = confusions.shape[-1]
    summed = weights @ confusions.reshape(len(confusions), -1).astype(np.float64)
    return np.nanmean(metrics.per_class_iou(summed.reshape(-1, classes, classes)), axis=-1)


def over_images(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> Interval:
    """The paired bootstrap's 95 % interval of the mean difference second - first.

    Args:
      first, second: `resampled_mious` of each seed's run, [B] float64 each.
    """
    differences = np.mean(second, axis=0) - np.mean(first, axis=0)
    low, high = np.percentile(differences, (2.5, 97.5))
    return float(low), float(high)
