"""A trained segmenter to use in other programs: `labor_jax.load`."""

import os
from collections.abc import Callable, Sequence

import numpy as np

from labor_jax.data import transforms
from labor_jax.infer import restore, steps, tiles
from labor_jax.infer.batches import Infer
from labor_jax.infer.reach import reach
from labor_jax.models.build import build_segmenter
from labor_jax.util.errors import UserError

__all__ = [
    "Predictor",
    "load",
]


class Predictor:
    """A trained segmenter that maps images to label maps or probabilities.

    Attributes:
      run: its config, class table and variables.
    """

    def __init__(self, run: restore.Restored) -> None:
        self.run = run
        config, classes = run.config, len(run.table)
        self._predict_tiles, self._probabilities_of_tiles = (
            restore.make_inference(infer, config, classes, views=())
            for infer in (steps.predict, steps.probabilities)
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """The name of each class; its position is its value in label maps."""
        return self.run.table.names

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """The RGB colour of each class."""
        return self.run.table.palette

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) at which the network sees whole images."""
        return restore.views(self.run.config)[-1]

    def reach(self) -> int:
        """The receptive field's radius in pixels: pixels farther away cannot change a prediction.

        It is large in a deep network (some thousand pixels in a ResNet-101), but distant pixels
        have little influence. Tiles with a smaller overlap therefore give nearly the result of the
        whole image.

        Raises:
          UserError: the network sees the whole image, as a vision transformer does.
        """
        run = self.run
        network = build_segmenter(run.config.model, len(run.table))
        return reach(network, run.segmenter.variables, run.config.model.output_stride)

    def predict(
        self, image: np.ndarray, tile: tuple[int, int] | None = None, overlap: int = 64
    ) -> np.ndarray:
        """The class of each pixel.

        The image is resized to the size at which the network was trained, and the prediction is
        resized back. Each new size is compiled once. With `tile` the network sees the image at its
        own size, one tile after the other.

        Args:
          image: [H, W, 3] uint8 RGB.
          tile: (height, width) of the tiles, in pixels.
          overlap: pixels that neighbouring tiles share; each tile is used up to the middle of them.
            If half the overlap is `reach` or more, the result is that of the whole image at once.
        Returns:
          [H, W] uint8, from 0 to len(classes) - 1.
        Raises:
          ValueError: the image has another shape or dtype.
          UserError: the tiles are too small for their overlap, or the run's config has scales.

        >>> segmenter = labor_jax.load(workdir)
        >>> photo = np.zeros((90, 120, 3), np.uint8)
        >>> labels = segmenter.predict(photo)
        >>> labels.shape, labels.dtype
        ((90, 120), dtype('uint8'))
        >>> segmenter.classes[:3]
        ('sky', 'building', 'pole')
        """
        return self._infer(image, tile, overlap, self.run.predict, self._predict_tiles)

    def probabilities(
        self, image: np.ndarray, tile: tuple[int, int] | None = None, overlap: int = 64
    ) -> np.ndarray:
        """The probability of each class at each pixel, [H, W, C] float32; see `predict`.

        >>> segmenter = labor_jax.load(workdir)
        >>> shares = segmenter.probabilities(np.zeros((90, 120, 3), np.uint8))
        >>> shares.shape, shares.dtype
        ((90, 120, 11), dtype('float32'))
        >>> bool(np.allclose(shares.sum(-1), 1, atol=1e-5))
        True
        """
        of_tiles = self._probabilities_of_tiles
        return self._infer(image, tile, overlap, self.run.probabilities, of_tiles)

    def _infer(
        self,
        image: np.ndarray,
        tile: tuple[int, int] | None,
        overlap: int,
        whole: Infer,
        of_tiles: Callable[..., Sequence[np.ndarray]],
    ) -> np.ndarray:
        if not isinstance(image, np.ndarray):
            raise ValueError(
                f"an image is an array, such as np.asarray(…), not {type(image).__name__}"
            )
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise ValueError(
                f"an image is [H, W, 3] uint8 RGB, not {image.shape} {image.dtype}; of a file: "
                f"np.asarray(PIL.Image.open(path).convert('RGB'))"
            )
        if tile is None:
            return whole(transforms.resize_image(image, self.size)[None], image.shape[:2])[0]
        config = self.run.config
        if config.evaluation.scales != (1.0,):
            raise UserError(
                "config.evaluation.scales: tiles have one scale; leave out the scales or the tiles"
            )
        return tiles.by_tiles(
            lambda batch, size: of_tiles(self.run.segmenter, batch, size),
            image,
            tile,
            overlap,
            config.model.output_stride,
            config.eval_batch_size,
        )


def load(path: str | os.PathLike) -> Predictor:
    """The segmenter of a run's newest checkpoint, or of a file that `labor-jax export` wrote.

    Args:
      path: a run's DIR, or a .safetensors file.
    Raises:
      UserError: there is no run, no checkpoint or no such file, or it cannot be read.

    >>> labor_jax.load(workdir).size
    (48, 64)
    """
    return Predictor(restore.restore(path))
