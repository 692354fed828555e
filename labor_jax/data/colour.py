"""Colour augmentation on the host: brightness, contrast, saturation, hue, grey and blur."""

import math

import cv2
import ml_collections
import numpy as np

__all__ = [
    "BLUR",
    "HUE",
    "LUMA",
    "blur",
    "hue_matrix",
    "jitter",
    "turn_hue",
    "vary",
    "without_colour",
]


BLUR = (0.15, 1.15)
"""The smallest and the largest deviation of a blur, in pixels of the view [cited: DACS]."""

LUMA = (0.299, 0.587, 0.114)
"""How much red, green and blue add to luma [ITU-R BT.601]."""

_TO_YIQ = np.array([LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)

HUE = tuple(
    _FROM_YIQ @ np.array(part) @ _TO_YIQ
    for part in (
        [[1, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 0, 0], [0, 0, 1], [0, -1, 0]],
    )
)
"""Three matrices [3, 3] float64: a turn of the hue by an angle a is HUE[0] + cos a HUE[1] + sin a
HUE[2] on columns of RGB. It rotates the plane of I and Q in YIQ, so luma stays, and so does grey
[ours; the usual turn in HSV changes luma]."""


def vary(
    random: np.random.Generator, image: np.ndarray, config: ml_collections.ConfigDict
) -> np.ndarray:
    """An image [H, W, 3] uint8 RGB with other colours, as the `input` section has it.

    What is switched off draws no random number.
    """
    if _happens(random, config.jittered):
        image = jitter(random, image, config.jitter)
        image = turn_hue(random, image, config.hue)
    if _happens(random, config.grey):
        image = without_colour(image)
    if _happens(random, config.blur):
        image = blur(image, random.uniform(*BLUR))
    return image


def _happens(random: np.random.Generator, share: float) -> bool:
    return share == 1 or (share > 0 and random.random() < share)


def jitter(random: np.random.Generator, image: np.ndarray, strength: float) -> np.ndarray:
    """Brightness, contrast and saturation of [H, W, 3] uint8, each changed by ± `strength`."""
    if not strength:
        return image
    brightness, contrast, saturation = 1 + random.uniform(-strength, strength, 3)
    mean = float(image.mean())
    levels = (np.arange(256) * brightness - mean) * contrast + mean
    image = cv2.LUT(image, np.clip(levels, 0, 255).astype(np.uint8))
    return cv2.addWeighted(image, saturation, without_colour(image), 1 - saturation, 0)


def turn_hue(random: np.random.Generator, image: np.ndarray, strength: float) -> np.ndarray:
    """The hue of [H, W, 3] uint8, turned by up to ± `strength` of the colour circle."""
    if not strength:
        return image
    return cv2.transform(image, hue_matrix(random.uniform(-strength, strength)))


def hue_matrix(turn: float) -> np.ndarray:
    """The matrix [3, 3] float64 that turns the hue of a column of RGB by `turn` circles."""
    angle = 2 * math.pi * turn
    return HUE[0] + math.cos(angle) * HUE[1] + math.sin(angle) * HUE[2]


def without_colour(image: np.ndarray) -> np.ndarray:
    """The luma of [H, W, 3] uint8 in all three channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """[H, W, 3] uint8 through a Gaussian filter of deviation `sigma` pixels."""
    return cv2.GaussianBlur(image, (0, 0), sigma)
