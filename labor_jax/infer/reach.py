"""The radius of a network's receptive field, measured."""

from typing import Any

import flax.linen as nn
import jax
import numpy as np

from labor_jax.util.errors import UserError

__all__ = [
    "FARTHEST",
    "reach",
]

FARTHEST = 512
"""The largest distance, in features, that is looked for."""


def reach(segmenter: nn.Module, variables: Any, stride: int) -> int:
    """The distance to the farthest input pixel that can change a pixel's prediction.

    It may be a few pixels too large. One row of the input is set to NaN, and every feature that
    depends on it becomes NaN. The input is a narrow strip across the rows, so this is cheap even if
    the receptive field is thousands of pixels high.

    Args:
      segmenter: of `build_segmenter`.
      variables: the segmenter's.
      stride: the output stride.
    Returns:
      Pixels, a multiple of the stride: the largest distance between features, plus two strides for
      positions between features in the image and in the upsampled logits.
    Raises:
      UserError: every prediction depends on the whole image, as with attention.
    """
    forward = jax.jit(lambda strip: segmenter.apply(variables, strip)["main"])
    half = 64
    while half <= FARTHEST:
        strip = np.full((1, 2 * half * stride + 1, 2 * stride + 1, 3), 127, np.float32)
        strip[0, half * stride] = np.nan
        dependent = np.isnan(forward(strip)[0]).any((1, 2)).nonzero()[0]
        farthest = int(np.abs(dependent - half).max())
        if farthest < half:
            return stride * (farthest + 2)
        half *= 2
    raise UserError(
        f"the network sees farther than {FARTHEST * stride} pixels, as one with attention does: no "
        f"overlap makes tiles equal to the whole image"
    )
