"""The networks, built from a config's `model` section.

`model.backbone` is one of `backbone.names()`. The backbone says which values `style`,
`output_stride` and `batch_norm` can have. `width` multiplies its channels. `model.head` is one of
`heads.NAMES`; `dilations` are its branches'. `dtype` is the computation's: "float32", "bfloat16",
or "float64" under jax_enable_x64. Parameters stay float32.
"""

from collections.abc import Collection
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from labor_jax.models import backbone, heads
from labor_jax.models.segmenter import Segmenter
from labor_jax.models.selector import Selector
from labor_jax.util.errors import UserError

__all__ = [
    "build_segmenter",
    "build_selector",
]

DTYPES = ("float32", "bfloat16", "float64")


def build_segmenter(
    model_cfg: ConfigDict, num_classes: int, axis_name: str | None = None, ordered: bool = False
) -> Segmenter:
    """The segmenter as configured.

    Args:
      model_cfg: the config's `model` section.
      num_classes: the logits' channels.
      axis_name: the device axis over which batch norm "sync" shares its statistics. With None they
        are the local batch's.
      ordered: whether sums over devices are in the devices' order.
    Raises:
      UserError: a key has an unknown value; the error names the key.
    """
    return Segmenter(**_shared(model_cfg, num_classes, axis_name, ordered))


def build_selector(
    model_cfg: ConfigDict, num_classes: int, axis_name: str | None = None, ordered: bool = False
) -> Selector:
    """The selector with the segmenter's backbone and neck, and two of its classifiers.

    Arguments and errors are those of `build_segmenter`.
    """
    return Selector(**_shared(model_cfg, num_classes, axis_name, ordered))


def _shared(
    model_cfg: ConfigDict, num_classes: int, axis_name: str | None, ordered: bool
) -> dict[str, Any]:
    known = backbone.find(model_cfg.backbone)
    style = _one_of(model_cfg, "style", known.styles)
    _one_of(model_cfg, "output_stride", known.output_strides)
    if known.batch_norms:
        _one_of(model_cfg, "batch_norm", known.batch_norms)
    _one_of(model_cfg, "head", heads.NAMES)
    dtype = _dtype(model_cfg)
    return {
        "backbone": known.build(model_cfg, axis_name, ordered, dtype),
        "head": heads.make(model_cfg, num_classes, axis_name, ordered, dtype),
        "style": style,
        "dtype": dtype,
    }


def _dtype(model_cfg: ConfigDict) -> Any:
    return jnp.dtype(_one_of(model_cfg, "dtype", DTYPES))


def _one_of(model_cfg: ConfigDict, key: str, choices: Collection[Any]) -> Any:
    if model_cfg[key] not in choices:
        known = ", ".join(str(choice) for choice in choices)
        raise UserError(f"model.{key} is {model_cfg[key]!r}: use one of {known}")
    return model_cfg[key]
