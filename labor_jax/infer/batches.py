"""A domain's images as inference takes them: in order, in batches of one native size."""

from collections.abc import Callable, Iterator

import numpy as np

from labor_jax.data import transforms
from labor_jax.data.domain import Domain

__all__ = ["Infer", "inference_batches"]


Infer = Callable[[np.ndarray, tuple[int, int]], np.ndarray]
"""(images [B, h, w, 3] uint8 as large as the network sees them, (H, W) of the answer) ->
[B, H, W] uint8 train ids, or [B, H, W, C] float32 probabilities."""


def inference_batches(
    domain: Domain, size: tuple[int, int], batch_size: int
) -> Iterator[tuple[list[int], tuple[int, int], np.ndarray]]:
    """All images in order, in batches of equal native size.

    Args:
      size: (h, w) the network sees.
    Yields:
      Indices; the native (H, W); images [at most batch_size, h, w, 3] uint8.
    """
    indices: list[int] = []
    images: list[np.ndarray] = []
    native = (0, 0)
    for index in range(len(domain.ids)):
        image = domain.read_image(index)
        if images and (image.shape[:2] != native or len(images) == batch_size):
            yield indices, native, np.stack(images)
            indices, images = [], []
        native = (image.shape[0], image.shape[1])
        indices.append(index)
        images.append(transforms.resize_image(image, size))
    if images:
        yield indices, native, np.stack(images)
