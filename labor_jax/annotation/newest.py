"""What the page is told of a model: one that learns meanwhile, or a run's newest."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Newest"]


class Newest(NamedTuple):
    """The newest model; its functions may be called from several threads.

    Attributes:
      told: what the page shows of it besides predictions, as JSON has it: "version", which grows
        with each newer model; "curve", its scores so far; the rest is the page's alone.
      predict: an image's id -> the version and its prediction, [H, W] uint8 train ids; None before
        the first fit.
      doubts: whether to look anew with the newest model -> how unsure it is of each image, by its
        id, from 0 to 1, None where it has not looked at it yet, or the image cannot be read; and
        whether the next call tells more.
      learns: whether it learns from the answers while they are given.
    """

    told: Callable[[], dict[str, Any]]
    predict: Callable[[str], tuple[int, np.ndarray] | None]
    doubts: Callable[[bool], tuple[Mapping[str, float | None], bool]]
    learns: bool = True
