"""Shows people all images of a run of stages with what its newest model predicts, to be fixed.

The model is read when somebody first looks, since it takes time and memory.
"""

import contextlib
import functools
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from labor_jax.annotation.desk import Review
from labor_jax.annotation.newest import Newest
from labor_jax.annotation.server import UNREADABLE
from labor_jax.data.labels import ClassTable
from labor_jax.infer import restore
from labor_jax.infer.segmenter import Predictor
from labor_jax.selection.superpixels import least_sure_first, superpixels
from labor_jax.util import cache
from labor_jax.util.errors import UserError

__all__ = ["Reviewer"]

AT_ONCE = 8
"""Images that are looked at in one request to tell which are the least sure."""


class Reviewer:
    """A run's images and its newest model; its methods may be called from several threads."""

    def __init__(
        self,
        workdir: str | os.PathLike,
        table: ClassTable,
        images: Sequence[str],
        read_image: Callable[[str], np.ndarray],
    ) -> None:
        """Reads nothing yet.

        Args:
          table: the run's classes.
          images: the ids of those that may be fixed.
          read_image: an id -> [H, W, 3] uint8 RGB.
        """
        self._workdir, self._table = workdir, table
        self._images, self._read_image = images, read_image
        self._cell = restore.read_config(workdir).superpixels.cell
        self._loading, self._looking = threading.Lock(), threading.Lock()
        self._model: Predictor | None = None
        # How unsure which model is of which images.
        self._looked: tuple[Predictor, dict[str, float | None]] | None = None
        known = frozenset(images)
        self._size = functools.lru_cache(maxsize=None)(self._read_size)
        self.review = Review(lambda x: self._size(x) if x in known else None, self.pieces)
        self.newest = Newest(self.told, self.predict, self.doubts, learns=False)

    def told(self) -> dict[str, Any]:
        """What the page shows of the model: "version", its step, -1 before it is read."""
        return {"version": -1 if self._model is None else self._model.run.step}

    def predict(self, image: str) -> tuple[int, np.ndarray] | None:
        """The model's step and its prediction of an image; None where it has learnt nothing."""
        model = self._newest()
        if model is None:
            return None
        return model.run.step, model.predict(self._read_image(image))

    def doubts(self, anew: bool) -> tuple[dict[str, float | None], bool]:
        """How unsure the model is of each image, see `Newest`; it looks at a few more."""
        model = self._newest(anew)
        if model is None:
            return dict.fromkeys(self._images), False
        with self._looking:
            if self._looked is None or self._looked[0] is not model:
                self._looked = model, {}
            known = self._looked[1]
            left = [image for image in self._images if image not in known]
            for image in left[:AT_ONCE]:
                try:
                    sure = model.probabilities(self._read_image(image)).max(2)
                    known[image] = 1 - float(sure.mean())
                except UNREADABLE:
                    known[image] = None
            return {image: known.get(image) for image in self._images}, len(left) > AT_ONCE

    def pieces(self, image: str) -> np.ndarray:
        """An image's superpixels, [H, W] int32, from 1: those that it is least sure of first."""
        picture, model = self._read_image(image), self._newest()
        found = superpixels(picture, self._cell)
        if model is None:
            return found
        return least_sure_first(found, model.probabilities(picture).max(2))

    def _newest(self, anew: bool = False) -> Predictor | None:
        """The newest model as it was read last, or as it is now; None where none has learnt."""
        with self._loading:
            if self._model is None or anew:
                # There may be none yet, or one that is being written.
                with contextlib.suppress(UserError):
                    step = restore.newest_step(self._workdir, self._table)
                    if step and (self._model is None or step != self._model.run.step):
                        cache.enable()
                        self._model = Predictor(restore.restore(self._workdir))
            return self._model

    def _read_size(self, image: str) -> tuple[int, int]:
        height, width = self._read_image(image).shape[:2]
        return height, width
