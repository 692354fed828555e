"""Augmentation on the host: random window, flip and colour."""

from typing import NamedTuple

import cv2
import ml_collections
import numpy as np

from labor_jax.data.labels import IGNORE

__all__ = [
    "Window",
    "augment",
    "cut",
    "jitter",
    "random_window",
    "resize_image",
    "resize_label",
]


class Window(NamedTuple):
    """A box of an image, in its pixels; it may reach outside."""

    top: int
    left: int
    height: int
    width: int


def random_window(
    random: np.random.Generator, size: tuple[int, int], scale: tuple[float, float]
) -> Window:
    """A random window with the image's proportions.

    The image is `zoom` times as high and wide as the window; `zoom` is drawn.

    Args:
      random: the generator.
      size: (H, W) of the image.
      scale: (smallest, largest) zoom; below 1 the window is larger than the image.
    """
    zoom = random.uniform(*scale)
    height, width = max(1, round(size[0] / zoom)), max(1, round(size[1] / zoom))
    spare = size[0] - height, size[1] - width
    top, left = (int(random.integers(min(0, s), max(0, s) + 1)) for s in spare)
    return Window(top, left, height, width)


def cut(array: np.ndarray, window: Window, fill: int) -> np.ndarray:
    """The window of an array [H, W, ...], `fill` where it reaches outside."""
    bottom, right = window.top + window.height, window.left + window.width
    inside = array[max(0, window.top) : bottom, max(0, window.left) : right]
    if inside.shape[:2] == (window.height, window.width):
        return inside
    out = np.full((window.height, window.width, *array.shape[2:]), fill, array.dtype)
    top, left = max(0, -window.top), max(0, -window.left)
    out[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return out


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image [h, w, 3] uint8 to [H, W, 3] uint8: area mean when shrinking, else bilinear."""
    if image.shape[:2] == tuple(size):
        return image
    shrinks = image.shape[0] >= size[0] and image.shape[1] >= size[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (size[1], size[0]), interpolation=method)


def resize_label(label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A label map [h, w] uint8 to [H, W] uint8, nearest pixel.

    At half size, taking the nearest pixel alone would lose three of four clicked points. So if a
    cell's nearest pixel is unlabelled, the cell takes the label of the labelled pixel in it that is
    nearest to its centre. A click is lost only to another click in the same cell [ours].
    """
    (h, w), (height, width) = label.shape, size
    if (h, w) == (height, width):
        return label
    rows = ((np.arange(height) + 0.5) * h / height).astype(int)
    columns = ((np.arange(width) + 0.5) * w / width).astype(int)
    out = label[rows[:, None], columns]
    y, x = np.nonzero(label != IGNORE)
    # A pixel belongs to the cell that its centre falls into.
    cell_y, cell_x = ((2 * y + 1) * height) // (2 * h), ((2 * x + 1) * width) // (2 * w)
    empty = out[cell_y, cell_x] == IGNORE
    if not empty.any():
        return out
    y, x, cell_y, cell_x = (a[empty] for a in (y, x, cell_y, cell_x))
    distance = (y - rows[cell_y]) ** 2 + (x - columns[cell_x]) ** 2
    order = np.argsort(-distance, kind="stable")  # the nearest is written last
    out[cell_y[order], cell_x[order]] = label[y[order], x[order]]
    return out


def jitter(random: np.random.Generator, image: np.ndarray, strength: float) -> np.ndarray:
    """Brightness, contrast and saturation of [H, W, 3] uint8, each changed by ± `strength`."""
    if not strength:
        return image
    brightness, contrast, saturation = 1 + random.uniform(-strength, strength, 3)
    mean = float(image.mean())
    levels = (np.arange(256) * brightness - mean) * contrast + mean
    image = cv2.LUT(image, np.clip(levels, 0, 255).astype(np.uint8))
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, saturation, grey, 1 - saturation, 0)


def augment(
    random: np.random.Generator,
    image: np.ndarray,
    label: np.ndarray,
    config: ml_collections.ConfigDict,
    size: tuple[int, int],
) -> dict[str, np.ndarray]:
    """A random view of an image and its label.

    Args:
      image: [h, w, 3] uint8.
      label: [h, w] uint8 train ids.
      config: the `input` section; its sizes are not read.
      size: (H, W) of the view.
    Returns:
      {"image": [H, W, 3] uint8, "label": [H, W] uint8}.
    """
    window = random_window(random, image.shape[:2], config.scale)
    image = resize_image(cut(image, window, fill=0), size)
    label = resize_label(cut(label, window, fill=IGNORE), size)
    if config.flip and random.random() < 0.5:
        image, label = image[:, ::-1], label[:, ::-1]
    image = jitter(random, np.ascontiguousarray(image), config.jitter)
    return {"image": image, "label": np.ascontiguousarray(label)}
