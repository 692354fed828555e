"""The pixel selector: a backbone with two heads, whose disagreement decides what to ask [paper]."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from labor_jax.models.deeplab import DeepLabHead, normalise

__all__ = [
    "Selector",
    "selector_from_segmenter",
]


class Selector(nn.Module):
    """`backbone` maps normalised images to (earlier, last) features; both heads see the last."""

    backbone: nn.Module
    num_classes: int
    dilations: tuple[int, ...] = (6, 12, 18, 24)
    style: str = "pytorch"
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Two heads on the backbone's last layer."""
        self.c1 = DeepLabHead(self.num_classes, self.dilations, self.dtype)
        self.c2 = DeepLabHead(self.num_classes, self.dilations, self.dtype)

    def __call__(self, images: Array, train: bool = False) -> dict[str, Array]:
        """images: [B, H, W, 3] RGB in 0..255, uint8 or float32.

        Returns `c1` and `c2` [B, h, w, num_classes] float32 and `features` [B, h, w, F].
        """
        _, features = self.backbone(normalise(images, self.style, self.dtype), train)
        return {**self.heads(features), "features": features}

    def heads(self, features: Array) -> dict[str, Array]:
        """Both heads alone, for a loss that must not reach the backbone.

        `selector.apply(variables, jax.lax.stop_gradient(features), method="heads")` returns `c1`
        and `c2` [B, h, w, num_classes] float32.
        """
        return {"c1": self.c1(features), "c2": self.c2(features)}


def selector_from_segmenter(
    segmenter: Mapping[str, Any], selector: Mapping[str, Any]
) -> dict[str, Any]:
    """The selector's variables with the segmenter's backbone and, as C1, its main head [ours].

    C2 keeps the selector's own variables. The batch statistics, if any, are the segmenter's.

    Args:
      segmenter: {"params"} and, with batch norm, {"batch_stats"}.
      selector: the same, of a selector of the same config.
    """
    learnt = segmenter["params"]
    params = {**selector["params"], "backbone": learnt["backbone"], "c1": learnt["main"]}
    statistics = {name: segmenter[name] for name in ("batch_stats",) if name in segmenter}
    return {**selector, **statistics, "params": params}
