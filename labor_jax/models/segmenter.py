"""The segmenter: a backbone, a neck, a main classifier and perhaps an auxiliary one."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from labor_jax.models.heads import Head
from labor_jax.models.normalise import normalise

__all__ = ["Inputs", "Segmenter", "levels_of"]

Inputs = Array | Sequence[Array]
"""Images [B, H, W, 3] RGB in 0..255, uint8 or float32; or the backbone's levels of such images, a
sequence of [B, h, w, F] float from fine to coarse, which were made before."""


def levels_of(
    inputs: Inputs,
    backbone: nn.Module,
    style: str,
    dtype: Any,
    train: bool,
    keys: Array | None = None,
) -> Sequence[Array]:
    """The backbone's levels of images; levels stay as they are, but for their dtype.

    keys: [B] random keys for a backbone that takes them, see `backbone.Build`; else None.
    """
    if isinstance(inputs, Sequence):
        return [level.astype(dtype) for level in inputs]
    random = {} if keys is None else {"keys": keys}
    return backbone(normalise(inputs, style, dtype), train, **random)


class Segmenter(nn.Module):
    """`backbone` maps normalised images to levels, from fine to coarse; see `backbone.Build`."""

    backbone: nn.Module
    head: Head
    style: str = "pytorch"
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """The head's parts."""
        self.neck = self.head.neck()
        self.main = self.head.classifier()
        if self.head.auxiliary is not None:
            self.aux = self.head.auxiliary()

    def __call__(
        self, inputs: Inputs, train: bool = False, keys: Array | None = None
    ) -> dict[str, Array]:
        """Logits at the features' resolution (see `resize.upsample`).

        Returns `main` [B, h, w, C] float32 and `features` [B, h, w, F] of the compute dtype, of
        which the main classifier's logits are a function; with an auxiliary classifier also `aux`
        [B, h, w, C] float32.
        `train` chooses batch statistics where batch norm is not frozen. `keys` are those of
        `levels_of`.
        """
        levels = self.levels(inputs, train, keys)
        features = self.neck(levels, train)
        seen = levels if self.head.of_levels else features
        out = {"main": self.main(seen), "features": features}
        return out | {"aux": self.aux(levels[-2])} if self.head.auxiliary is not None else out

    def levels(
        self, inputs: Inputs, train: bool = False, keys: Array | None = None
    ) -> Sequence[Array]:
        """The backbone's levels, [B, h, w, F] each, from fine to coarse."""
        return levels_of(inputs, self.backbone, self.style, self.dtype, train, keys)
