"""A domain: images by index and, if there are any, their labels, however they are stored."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

__all__ = ["Domain"]


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
    """

    name: str
    ids: tuple[str, ...]
    read_image: Callable[[int], np.ndarray]
    read_label: Callable[[int], np.ndarray] | None
    pixels: np.ndarray | None = None
    file: Callable[[int], pathlib.Path] | None = None

    @classmethod
    def none(cls) -> "Domain":
        """A domain without images, where a run has no source."""
        return cls(name="", ids=(), read_image=_no_image, read_label=None)

    def take(self, indices: Sequence[int]) -> "Domain":
        """The domain of these images alone, in this order."""
        read_label, file = self.read_label, self.file
        return Domain(
            name=self.name,
            ids=tuple(self.ids[i] for i in indices),
            read_image=lambda i: self.read_image(indices[i]),
            read_label=None if read_label is None else lambda i: read_label(indices[i]),
            pixels=None if self.pixels is None else self.pixels[np.asarray(indices, int)],
            file=None if file is None else lambda i: file(indices[i]),
        )


def _no_image(index: int) -> np.ndarray:
    raise IndexError(f"there is no image {index}")
