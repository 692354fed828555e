"""Domains: images by index, and their labels where there are any, wherever they are stored."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from labor_jax.data.labels import ClassTable

__all__ = [
    "Domain",
    "load",
]


@dataclasses.dataclass(frozen=True)
class Domain:
    """One split: images by index, and their labels where there are any.

    Attributes:
      name: for messages and reports, such as "toytown/160x120 target_val".
      ids: unique, sorted, safe as relative paths without suffix.
      read_image: index -> [H, W, 3] uint8 RGB, a fresh array; may be called from threads.
      read_label: index -> [H, W] uint8 train ids, 255 = void; None: unlabelled.
    """

    name: str
    ids: tuple[str, ...]
    read_image: Callable[[int], np.ndarray]
    read_label: Callable[[int], np.ndarray] | None

    def take(self, indices: Sequence[int]) -> "Domain":
        """The domain of these images alone, in this order."""
        read_label = self.read_label
        return Domain(
            name=self.name,
            ids=tuple(self.ids[i] for i in indices),
            read_image=lambda i: self.read_image(indices[i]),
            read_label=None if read_label is None else lambda i: read_label(indices[i]),
        )


def load(spec: Any, data_dir: str, table: ClassTable) -> Domain:
    """Opens one split of a domain; the first use of a TFDS domain prepares it.

    Args:
      spec: a ConfigDict with `domain`: "toytown/SIZE" (with `split`), one of "camvid", "gta5",
        "synthia_rand_cityscapes" and "cityscapes" (with `split`, and `manual_dir` to prepare it
        from), or "folder" (with `images` and `labels`, "" where there are none).
      data_dir: where prepared data sets are kept.
      table: the classes of the task.
    Raises:
      UserError: an unknown domain or split, missing files, a table that does not fit.
    """
    if spec.domain == "folder":
        from labor_jax.data import folder

        return folder.load(spec.images, spec.labels, table)
    from labor_jax.data.builders import prepared  # TFDS takes half a second to import

    return prepared.load(spec.domain, spec.split, data_dir, spec.get("manual_dir", ""), table)
