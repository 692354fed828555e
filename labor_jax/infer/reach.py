"""How far a network looks: its receptive field, measured."""

from typing import Any

import flax.linen as nn
import jax
import numpy as np

__all__ = [
    "reach",
]


def reach(segmenter: nn.Module, variables: Any, stride: int) -> int:
    """Pixels from one that is classified to the farthest that can matter for it, or a few more.

    One NaN in the image makes a NaN of all that depends on it. What depends on it along the rows
    is seen on a narrow strip, which costs little even where the field is thousands of pixels.

    Args:
      segmenter: of `build_segmenter`.
      variables: its own.
      stride: its output stride.
    Returns:
      A multiple of the stride: the distance between features, and two strides for what lies
      between two of them in the image and in the upsampled answer.
    """
    forward = jax.jit(lambda strip: segmenter.apply(variables, strip)["main"])
    half = 64
    while True:
        strip = np.full((1, 2 * half * stride + 1, 2 * stride + 1, 3), 127, np.float32)
        strip[0, half * stride] = np.nan
        dependent = np.isnan(forward(strip)[0]).any((1, 2)).nonzero()[0]
        farthest = int(np.abs(dependent - half).max())
        if farthest < half:
            return stride * (farthest + 2)
        half *= 2
