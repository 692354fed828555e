"""A domain's images as inference takes them: in order, in batches of one native size."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from labor_jax.data import transforms
from labor_jax.data.domain import Domain

__all__ = ["Infer", "inference_batches"]


Infer = Callable[[np.ndarray, tuple[int, int]], np.ndarray]
"""(images [B, h, w, 3] uint8 as large as the network sees them, (H, W) of the answer) ->
[B, H, W] uint8 train ids, or [B, H, W, C] float32 probabilities."""


def inference_batches(
    domain: Domain, size: tuple[int, int], batch_size: int
) -> Iterator[tuple[list[int], tuple[int, int], Any]]:
    """All images in order, in batches of equal native size.

    Args:
      size: (h, w) the network sees.
    Yields:
      Indices; the native (H, W); images [at most batch_size, h, w, 3] uint8, or a tuple of their
      levels where the domain has features.
    """
    indices: list[int] = []
    inputs: list[Any] = []
    native = (0, 0)
    for index in range(len(domain.ids)):
        its_size, seen = _seen(domain, index, size)
        if inputs and (its_size != native or len(inputs) == batch_size):
            yield indices, native, jax.tree.map(lambda *rows: np.stack(rows), *inputs)
            indices, inputs = [], []
        native = its_size
        indices.append(index)
        inputs.append(seen)
    if inputs:
        yield indices, native, jax.tree.map(lambda *rows: np.stack(rows), *inputs)


def _seen(domain: Domain, index: int, size: tuple[int, int]) -> tuple[tuple[int, int], Any]:
    """An image's native (H, W), and what the network sees of it."""
    if domain.features is not None:
        height, width = domain.features.sizes[index]
        return (int(height), int(width)), domain.features.read(index)
    image = domain.read_image(index)
    return (image.shape[0], image.shape[1]), transforms.resize_image(image, size)
