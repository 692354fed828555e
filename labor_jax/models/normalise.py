"""Images scaled to the values on which a backbone was trained."""

from typing import Any

import jax.numpy as jnp
from jax import Array

__all__ = [
    "CAFFE_MEAN_BGR",
    "IMAGENET_DEVIATION",
    "IMAGENET_MEAN",
    "normalise",
]


CAFFE_MEAN_BGR = (104.00698793, 116.66876762, 122.67891434)  # [cited: AdaptSegNet]
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def normalise(images: Array, style: str, dtype: Any = jnp.float32) -> Array:
    """Scales images to the values on which a backbone of this style was trained.

    Args:
      images: [B, H, W, 3] RGB in 0..255, uint8 or float.
      style: "caffe", "pytorch", "tensorflow" or "efficientnet".
      dtype: of the result.
    Returns:
      [B, H, W, 3] of `dtype`; in the style "caffe" the channels are BGR.
    """
    images = images.astype(jnp.promote_types(jnp.float32, dtype))
    if style == "caffe":
        images = images[..., ::-1] - jnp.array(CAFFE_MEAN_BGR, images.dtype)
    elif style == "pytorch":
        mean, deviation = (
            jnp.array(values, images.dtype) for values in (IMAGENET_MEAN, IMAGENET_DEVIATION)
        )
        images = (images / 255 - mean) / deviation
    elif style == "efficientnet":
        images = (images - 127) / 128
    else:
        images = images / 127.5 - 1
    return images.astype(dtype)
