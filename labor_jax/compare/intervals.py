"""Means, and how far they can be trusted: over seeds (training noise), over images (the sample)."""

import math
from collections.abc import Sequence

import numpy as np

from labor_jax.infer import metrics
from labor_jax.util import rng

RESAMPLES = 2000
# Student's t, 97.5 %, by degrees of freedom from 1; beyond 30 the last one, a little too wide.
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
Interval = tuple[float, float]


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean and the standard deviation of a sample; no deviation of a single value."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return float(np.mean(values)), spread


def over_seeds(differences: Sequence[float]) -> Interval | None:
    """Student's 95 % interval of the mean of paired differences; None for fewer than two."""
    n = len(differences)
    mean, spread = mean_and_spread(differences) if n else (0.0, None)
    if spread is None:
        return None
    half = _T[min(n - 1, len(_T)) - 1] * spread / math.sqrt(n)
    return mean - half, mean + half


def resamples(images: int, number: int = RESAMPLES) -> np.ndarray:
    """How often each image is drawn in each resample: [number, images] float64, rows sum to
    images. The same for every run, so that what is compared is paired."""
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
