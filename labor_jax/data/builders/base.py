"""What every builder shares: the features, PNG bytes, and progress."""

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import rich.console
import rich.progress
import tensorflow_datasets as tfds


def features() -> tfds.features.FeaturesDict:
    """An id, an image as it is stored upstream, and a label as PNG of train ids."""
    return tfds.features.FeaturesDict(
        {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
        }
    )


def png(pixels: np.ndarray) -> bytes:
    """Lossless bytes of an image [H, W, 3] uint8 RGB or a label [H, W] uint8."""
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", pixels)[1].tobytes()


def track(items: Iterable, total: int, what: str) -> Iterator:
    """The items, with a progress bar on a terminal's stderr."""
    console = rich.console.Console(stderr=True)
    return rich.progress.track(
        items, what, total=total, console=console, disable=not console.is_terminal, transient=True
    )
