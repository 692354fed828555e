"""Rare-class sampling of the source: images of rare classes come more often [cited: DAFormer].

A class is drawn from a softmax of (1 - its share of the pixels) / T, then one of the images that
have it.
"""

import dataclasses
import io
import pathlib
from collections.abc import Callable

import numpy as np

from labor_jax.data.dataset import track
from labor_jax.data.domain import Domain
from labor_jax.util import files, hosts, rng
from labor_jax.util.errors import UserError

__all__ = ["class_shares", "count", "counted", "image_of_row"]


def counted(domain: Domain, num_classes: int, path: pathlib.Path) -> Domain:
    """The domain with its `pixels`, which are counted once and kept in a file.

    Args:
      path: the file, an .npy; made where it is missing or has another number of images or classes.
    Raises:
      UserError: a label map cannot be read, or none has a class.
    """
    kept = _kept(path)
    if hosts.first() and (kept is None or kept.shape != (len(domain.ids), num_classes)):
        file = io.BytesIO()
        np.save(file, count(domain, num_classes))
        files.write_atomic(path, file.getvalue())
    hosts.wait("source pixels")
    pixels = np.load(path)
    if not pixels.any():
        raise UserError(
            f"config.source: no label map of {domain.name} has a pixel with a class; give others, "
            f"or config.input.rare_classes=0"
        )
    return dataclasses.replace(domain, pixels=pixels)


def _kept(path: pathlib.Path) -> np.ndarray | None:
    try:
        return np.load(path)
    except Exception:  # missing or damaged, in whatever way: it is counted again
        return None


def count(domain: Domain, num_classes: int) -> np.ndarray:
    """How many pixels of each class each image has, [N, C] int64."""
    assert domain.read_label is not None, "a source has labels"
    pixels = np.zeros((len(domain.ids), num_classes), np.int64)
    for index in track(range(len(domain.ids)), len(domain.ids), "counting the source's classes"):
        label = domain.read_label(index)
        pixels[index] = np.bincount(label.ravel(), minlength=256)[:num_classes]
    return pixels


def class_shares(pixels: np.ndarray, temperature: float) -> np.ndarray:
    """The probability with which each class is drawn, [C] float64; 0 where no image has it.

    Args:
      pixels: [N, C] int64, some not 0.
      temperature: T; small ones prefer the rarest class.
    """
    frequency = pixels.sum(0) / pixels.sum()
    logits = np.where(frequency > 0, (1 - frequency) / temperature, -np.inf)
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def image_of_row(pixels: np.ndarray, temperature: float, seed: int) -> Callable[[int], int]:
    """Draws the image of a row by its number, counted through all batches from the first.

    Args:
      pixels: [N, C] int64, see `Domain.pixels`; some not 0.
      temperature: see `class_shares`.
      seed: the run's.
    """
    shares = class_shares(pixels, temperature)
    having = [np.flatnonzero(column) for column in pixels.T]

    def image(number: int) -> int:
        random = rng.generator(seed, "rare classes", number)
        return int(random.choice(having[random.choice(len(shares), p=shares)]))

    return image
