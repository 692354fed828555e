"""The pixel selector: a backbone with two classifiers, whose disagreement decides what to ask
[paper]."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from labor_jax.models.heads import Head
from labor_jax.models.segmenter import Inputs, levels_of

__all__ = [
    "Selector",
    "selector_from_segmenter",
]

SHARED = ("backbone", "neck")
"""The parts that the selector has of the segmenter; its classifiers are C1 and C2."""


class Selector(nn.Module):
    """Both classifiers see the same: what the segmenter's main classifier sees."""

    backbone: nn.Module
    head: Head
    style: str = "pytorch"
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """The neck and two classifiers."""
        self.neck = self.head.neck()
        self.c1 = self.head.classifier()
        self.c2 = self.head.classifier()

    def __call__(self, inputs: Inputs, train: bool = False) -> dict[str, Any]:
        """Returns `c1` and `c2` [B, h, w, C] float32, and `seen`, of which they are functions:
        features [B, h, w, F], or levels."""
        levels = levels_of(inputs, self.backbone, self.style, self.dtype, train)
        features = self.neck(levels, train)
        seen = levels if self.head.of_levels else features
        return {**self.heads(seen), "seen": seen}

    def heads(self, seen: Array | Sequence[Array]) -> dict[str, Array]:
        """Both classifiers alone, for a loss that must not reach what is below them.

        `selector.apply(variables, jax.lax.stop_gradient(out["seen"]), method="heads")` returns
        `c1` and `c2` [B, h, w, C] float32.
        """
        return {"c1": self.c1(seen), "c2": self.c2(seen)}


def selector_from_segmenter(
    segmenter: Mapping[str, Any], selector: Mapping[str, Any]
) -> dict[str, Any]:
    """The selector's variables with the segmenter's backbone, neck and, as C1, main classifier
    [ours].

    C2 keeps the selector's own variables. The batch statistics, if any, are the segmenter's.

    Args:
      segmenter: {"params"} and, with batch norm, {"batch_stats"}.
      selector: the same, of a selector of the same config.
    """
    learnt = segmenter["params"]
    shared = {part: learnt[part] for part in SHARED if part in learnt}
    params = {**selector["params"], **shared, "c1": learnt["main"]}
    statistics = {name: segmenter[name] for name in ("batch_stats",) if name in segmenter}
    return {**selector, **statistics, "params": params}
