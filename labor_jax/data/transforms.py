"""Augmentation on the host: a random window of an image and its label, and flip."""

from typing import NamedTuple

import cv2
import ml_collections
import numpy as np

from labor_jax.data import colour
from labor_jax.data.labels import IGNORE

__all__ = [
    "Window",
    "augment",
    "cut",
    "full_size",
    "keeps_colours",
    "random_window",
    "resize_image",
    "resize_label",
    "view_size",
]


class Window(NamedTuple):
    """A box of an image, in its pixels; it may reach outside."""

    top: int
    left: int
    height: int
    width: int


def full_size(config: ml_collections.ConfigDict, domain: str) -> tuple[int, int]:
    """(H, W) of a "source" or "target" image at zoom 1; `config` is the `input` section."""
    return (domain == "source" and config.source_size) or config.size


def view_size(config: ml_collections.ConfigDict, domain: str) -> tuple[int, int]:
    """(H, W) of a view of a "source" or "target" image; `config` is the `input` section."""
    return config.crop or full_size(config, domain)


def keeps_colours(config: ml_collections.ConfigDict, domain: str) -> bool:
    """Whether views of a "source" or "target" image have its own colours; `config` is the run's.

    A teacher labels such views of the target; the segmenter learns them with other colours, which
    the train step gives them. The selector is fitted to such views, too.
    """
    return domain == "target" and config.adapt in ("teacher", "both")


def random_window(
    random: np.random.Generator,
    size: tuple[int, int],
    scale: tuple[float, float],
    share: tuple[float, float] = (1.0, 1.0),
) -> Window:
    """A random window of an image, which is then resized to the size of the view.

    At zoom 1 the window has `share` of the image's height and width; at a zoom of 2, half of that.

    Args:
      random: the generator.
      size: (H, W) of the image.
      scale: (smallest, largest) zoom; with a small one the window reaches outside the image.
      share: (vertical, horizontal).
    """
    zoom = random.uniform(*scale)
    height, width = (max(1, round(n * s / zoom)) for n, s in zip(size, share, strict=True))
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


def augment(
    random: np.random.Generator,
    image: np.ndarray,
    label: np.ndarray,
    config: ml_collections.ConfigDict,
    size: tuple[int, int],
    keep_colours: bool = False,
) -> dict[str, np.ndarray]:
    """A random view of an image and its label.

    The image as it is at `size` is zoomed by a factor from `config.scale`, and a window of
    `config.crop` is cut from it, also where its proportions differ from the image's. Outside the
    image the view is black and its label 255.

    Args:
      image: [h, w, 3] uint8.
      label: [h, w] uint8 train ids.
      config: the `input` section; `size` and `source_size` in it are not read.
      size: (H, W) of the image at zoom 1, see `full_size`.
      keep_colours: see `keeps_colours`.
    Returns:
      {"image": [H, W, 3] uint8, "label": [H, W] uint8}, of the size of `view_size`. With
      `keep_colours` also "inside" [H, W] bool, False outside the image: its pixels have no label,
      but neither have most others.
    """
    crop = config.crop or size
    share = crop[0] / size[0], crop[1] / size[1]
    window = random_window(random, image.shape[:2], config.scale, share)
    view = {
        "image": resize_image(cut(image, window, fill=0), crop),
        "label": resize_label(cut(label, window, fill=IGNORE), crop),
    }
    if keep_colours:
        everywhere = np.zeros(image.shape[:2], np.uint8)
        view["inside"] = resize_label(cut(everywhere, window, fill=IGNORE), crop) != IGNORE
    if config.flip and random.random() < 0.5:
        view = {name: array[:, ::-1] for name, array in view.items()}
    view = {name: np.ascontiguousarray(array) for name, array in view.items()}
    return view if keep_colours else view | {"image": colour.vary(random, view["image"], config)}
