"""Pseudo answers: what a person said of one pixel, given to the pixels most like it [ours].

They are functions of the images' features and the given answers. Nobody gave them, so they are in
no journal, label map or budget; only a fit reads them.
"""

import math

import numpy as np

__all__ = ["ALIKE", "FEW", "PLACES", "grid", "spread"]

ALIKE = 0.7
"""A pixel is like another one if the cosine of their features is larger."""
FEW = 5
"""An image with more answers is not spread: there the given ones say more than pseudo answers."""
PLACES = 300
"""So many pixels of an image, evenly over it, may get a pseudo answer."""


def grid(size: tuple[int, int]) -> np.ndarray:
    """The flat numbers of about `PLACES` pixels, evenly over an image of (H, W): [N] int64."""
    height, width = size
    step = max(1.0, math.sqrt(height * width / PLACES))
    rows, columns = (np.arange(step / 2, length, step).astype(np.int64) for length in size)
    return (rows[:, None] * width + columns).ravel()


def spread(
    features: np.ndarray, answered: np.ndarray, number: int, above: float = ALIKE
) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels of an image get a pseudo answer, and from which answer.

    Each answer reaches the `number` pixels that are most like its own. A pixel that several answers
    reach gets that of the one which it is most like.

    Args:
      features: [N, F] float32, of pixels without an answer.
      answered: [A, F] float32, of the pixels with one.
      number: how many pixels an answer reaches at most.
      above: the cosine from which on it does not reach a pixel that is less like it.
    Returns:
      [P] int64, the pixels in order; [P] int64, the answer of each.
    """
    cosine = _unit(answered) @ _unit(features).T
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :number]
    reached = np.full(cosine.shape, -np.inf)
    np.put_along_axis(reached, nearest, np.take_along_axis(cosine, nearest, 1), 1)
    pixels = np.flatnonzero((reached > above).any(0))
    return pixels, reached[:, pixels].argmax(0)


def _unit(features: np.ndarray) -> np.ndarray:
    """Features [P, F] of length 1; those of length 0 stay."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length, length, 1)
