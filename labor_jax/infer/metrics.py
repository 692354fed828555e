"""mIoU and its parts, counted exactly: int64 on the host."""

import numpy as np

from labor_jax.data.labels import IGNORE

__all__ = [
    "confusion",
    "mask_counts",
    "mask_score",
    "mean_of",
    "per_class_iou",
]


def confusion(predicted: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    """How often each class (row) was predicted as each class (column).

    Args:
      predicted, truth: [...] uint8 train ids; pixels whose truth is 255 do not count.
    Returns:
      [C, C] int64.
    """
    valid = truth != IGNORE
    pairs = truth[valid].astype(np.int64) * classes + predicted[valid]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def per_class_iou(confusion: np.ndarray) -> np.ndarray:
    """IoU of each class in percent; NaN where it occurs in neither truth nor prediction.

    Args:
      confusion: [..., C, C] int64.
    Returns:
      [..., C] float64.
    """
    hit = np.diagonal(confusion, axis1=-2, axis2=-1).astype(np.float64)
    union = confusion.sum(-2) + confusion.sum(-1) - hit
    return np.where(union > 0, 100 * hit / np.maximum(union, 1), np.nan)


def mean_of(ious: np.ndarray) -> float:
    """mIoU: the mean over the classes that occur; NaN where none does.

    Args:
      ious: [...] float64 in percent, of all classes or of those that count.
    """
    return float(np.nanmean(ious)) if np.isfinite(ious).any() else float("nan")


def mask_counts(mask: np.ndarray, predicted: np.ndarray, truth: np.ndarray | None) -> np.ndarray:
    """The counts that tell how well a mask finds the segmenter's errors.

    Args:
      mask: [...] bool.
      predicted, truth: [...] uint8 train ids. A pixel is valid if its truth is not 255; without a
        truth none is.
    Returns:
      [6] int64, numbers of pixels: all, in the mask, valid in the mask, wrong in the mask, wrong,
      valid. Only valid pixels can be wrong.
    """
    valid = np.zeros(mask.shape, bool) if truth is None else truth != IGNORE
    wrong = valid & (predicted != truth)
    parts = (mask, mask & valid, mask & wrong, wrong, valid)
    return np.array([mask.size, *(part.sum() for part in parts)], np.int64)


def mask_score(counts: np.ndarray) -> dict[str, float]:
    """The mask's share of the pixels, its precision and recall for errors, and the error rate.

    Each is from 0 to 1. If no pixel is valid, there is the share alone.
    """
    pixels, inside, valid_inside, wrong_inside, wrong, valid = counts.tolist()
    share = {"share": inside / max(pixels, 1)}
    if not valid:
        return share
    return share | {
        "precision": wrong_inside / max(valid_inside, 1),
        "recall": wrong_inside / max(wrong, 1),
        "error_rate": wrong / max(valid, 1),
    }
