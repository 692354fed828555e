"""What stands between a backbone's levels and the logits, by the names of `model.head`.

A head is a neck, whose features all classifiers share, and a classifier. The segmenter has one main
classifier. The selector has two, which are what the paper pushes apart: with "deeplab_v2" the sums
of dilated convolutions on the backbone's last level, as published; with the others a linear layer.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
from ml_collections import ConfigDict

from labor_jax.models.batch_norm import FOLDED, BatchNorm
from labor_jax.models.deeplab_v2 import DeepLabHead, LastLevel
from labor_jax.models.deeplab_v3plus import Decoder
from labor_jax.models.linear import ContextPooling, Linear, PooledLinear
from labor_jax.models.separable import SMALL

__all__ = ["NAMES", "Head", "classifiers", "make"]

NAMES = ("deeplab_v2", "deeplab_v3plus", "linear")
"""The values that `model.head` can have."""


class Head(NamedTuple):
    """The parts of a head.

    Attributes:
      neck: makes a module that maps (levels, train) to features [B, h, w, F].
      classifier: makes a module that maps the features to logits [B, h, w, C] float32.
      auxiliary: the same for the last but one level; None where there is no auxiliary classifier.
      of_levels: whether the classifier sees the levels in place of the features.
    """

    neck: Callable[[], nn.Module]
    classifier: Callable[[], nn.Module]
    auxiliary: Callable[[], nn.Module] | None
    of_levels: bool = False


def make(
    model_cfg: ConfigDict, num_classes: int, axis_name: str | None, ordered: bool, dtype: Any
) -> Head:
    """The head of a config's `model` section, whose `head` is one of NAMES."""
    dilations = tuple(model_cfg.dilations)
    if model_cfg.head == "deeplab_v2":
        dilated = partial(DeepLabHead, num_classes, dilations, dtype)
        return Head(LastLevel, dilated, dilated)
    if model_cfg.head == "linear":
        linear = partial(PooledLinear, num_classes, dtype)
        return Head(partial(ContextPooling, dtype), linear, None, of_levels=True)
    # Beside a backbone without batch norm the decoder has its own: it is not trained before.
    kind = "sync" if model_cfg.batch_norm == FOLDED else model_cfg.batch_norm
    norm = partial(BatchNorm, kind=kind, axis_name=axis_name, ordered=ordered, dtype=dtype)
    # Zeros would keep the first gradient from the neck.
    linear = partial(Linear, num_classes, SMALL, dtype)
    return Head(partial(Decoder, dilations, norm, dtype), linear, None)


def classifiers(head: str) -> tuple[str, ...]:
    """The segmenter's classifiers with a head of NAMES: "main", and "aux" where there is one."""
    return ("main", "aux") if head == "deeplab_v2" else ("main",)
