"""Means and their intervals: over seeds (training noise) and over images (the sample)."""

import math
from collections.abc import Sequence

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
