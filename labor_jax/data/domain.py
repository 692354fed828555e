"""A domain: images by index and, if there are any, their labels, however they are stored."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from labor_jax.util.tally import Tally

__all__ = ["Domain", "Features", "Headers"]


class Headers(NamedTuple):
    """What the first bytes of an image's files say, without reading its pixels.

    Attributes:
      size: (H, W) of the upright image.
      changes: what reading does to its files: verb, noun and reason of `Tally.change`.
    """

    size: tuple[int, int]
    changes: tuple[tuple[str, str, str], ...] = ()


class Features(NamedTuple):
    """What a backbone that is not trained makes of a domain's images.

    Attributes:
      read: index -> the backbone's levels, [h, w, F] float16 each, from fine to coarse.
      sizes: [N, 2] int32, the native (height, width) of each image.
    """

    read: Callable[[int], tuple[np.ndarray, ...]]
    sizes: np.ndarray


@dataclasses.dataclass(frozen=True)
class Domain:
    """One split: images by index and, if there are any, their labels.

    Attributes:
      name: for messages and reports, such as "toytown/160x120 target_val".
      ids: unique, sorted, safe as relative paths without suffix.
      read_image: index -> [H, W, 3] uint8 RGB, a fresh array; may be called from threads.
      read_label: index -> [H, W] uint8 train ids, 255 = void; None: unlabelled.
      pixels: [N, C] int64, how many pixels of each class each label has; None: not counted.
      file: index -> the file of the image; None: images are no files of their own.
      headers: index -> the image's headers; None where they cannot be had at little cost.
      tally: what was left out when the images were looked for; None where nothing was.
      features: what the networks see in place of images; None: they see the images.
      records: the files that hold all images, where they are no files of their own.
    """

    name: str
    ids: tuple[str, ...]
    read_image: Callable[[int], np.ndarray]
    read_label: Callable[[int], np.ndarray] | None
    pixels: np.ndarray | None = None
    file: Callable[[int], pathlib.Path] | None = None
    headers: Callable[[int], Headers] | None = None
    tally: Tally | None = None
    features: Features | None = None
    records: tuple[pathlib.Path, ...] = ()

    @classmethod
    def none(cls) -> "Domain":
        """A domain without images, where a run has no source."""
        return cls(name="", ids=(), read_image=_no_image, read_label=None)

    def take(self, indices: Sequence[int]) -> "Domain":
        """The domain of these images alone, in this order."""
        read_label, file, headers = self.read_label, self.file, self.headers
        features = self.features
        return Domain(
            name=self.name,
            ids=tuple(self.ids[i] for i in indices),
            read_image=lambda i: self.read_image(indices[i]),
            read_label=None if read_label is None else lambda i: read_label(indices[i]),
            pixels=None if self.pixels is None else self.pixels[np.asarray(indices, int)],
            file=None if file is None else lambda i: file(indices[i]),
            headers=None if headers is None else lambda i: headers(indices[i]),
            tally=self.tally,
            records=self.records,
            features=features
            and Features(
                read=lambda i: features.read(indices[i]),
                sizes=features.sizes[np.asarray(indices, int)],
            ),
        )


def _no_image(index: int) -> np.ndarray:
    raise IndexError(f"there is no image {index}")
