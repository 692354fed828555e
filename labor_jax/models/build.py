"""The networks, built from a config's `model` section.

model: backbone ("resnet18" | "resnet50" | "resnet101" | "mobilenet_v2"), style (that of the weights
it can take: a ResNet's "pytorch" | "caffe", a MobileNetV2's "tensorflow" | "pytorch"), width
(multiplies the channels), output_stride (8 | 16), dilations, batch_norm ("sync" | "frozen", which
needs trained weights | "adaptsegnet"; ResNets only), remat (ResNets only), dtype ("float32" |
"bfloat16" | "float64" under jax_enable_x64) of the computation; parameters stay float32.
"""

from collections.abc import Collection
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from ml_collections import ConfigDict

from labor_jax.models import mobilenet_v2, resnet
from labor_jax.models.batch_norm import KINDS
from labor_jax.models.deeplab import Segmenter
from labor_jax.models.mobilenet_v2 import MobileNetV2
from labor_jax.models.resnet import LAYERS, ResNet
from labor_jax.models.selector import Selector
from labor_jax.util.errors import UserError

__all__ = [
    "build_segmenter",
    "build_selector",
]

BACKBONES = (*LAYERS, "mobilenet_v2")
OUTPUT_STRIDES = (8, 16)
DTYPES = ("float32", "bfloat16", "float64")


def build_segmenter(
    model_cfg: ConfigDict, num_classes: int, axis_name: str | None = None, ordered: bool = False
) -> Segmenter:
    """DeepLab-V2 as configured. Raises UserError naming a key whose value is not known.

    `axis_name` is the device axis over which batch norm "sync" shares its statistics; without it
    they are the local batch's.
    """
    return Segmenter(**_shared(model_cfg, num_classes, axis_name, ordered))


def build_selector(
    model_cfg: ConfigDict, num_classes: int, axis_name: str | None = None, ordered: bool = False
) -> Selector:
    """The two-headed selector with the segmenter's backbone. Raises UserError alike."""
    return Selector(**_shared(model_cfg, num_classes, axis_name, ordered))


def _shared(
    model_cfg: ConfigDict, num_classes: int, axis_name: str | None, ordered: bool
) -> dict[str, Any]:
    return {
        "backbone": _backbone(model_cfg, axis_name, ordered),
        "num_classes": num_classes,
        "dilations": tuple(model_cfg.dilations),
        "style": _style(model_cfg),
        "dtype": _dtype(model_cfg),
    }


def _backbone(model_cfg: ConfigDict, axis_name: str | None, ordered: bool) -> nn.Module:
    output_stride = _one_of(model_cfg, "output_stride", OUTPUT_STRIDES)
    dtype = _dtype(model_cfg)
    if _one_of(model_cfg, "backbone", BACKBONES) == "mobilenet_v2":
        return MobileNetV2(
            style=_style(model_cfg), width=model_cfg.width, output_stride=output_stride, dtype=dtype
        )
    return ResNet(
        depth=model_cfg.backbone,
        style=_style(model_cfg),
        width=model_cfg.width,
        output_stride=output_stride,
        batch_norm=_one_of(model_cfg, "batch_norm", KINDS),
        axis_name=axis_name,
        ordered=ordered,
        remat=model_cfg.remat,
        dtype=dtype,
    )


def _style(model_cfg: ConfigDict) -> str:
    module = mobilenet_v2 if model_cfg.backbone == "mobilenet_v2" else resnet
    return _one_of(model_cfg, "style", module.STYLES)


def _dtype(model_cfg: ConfigDict) -> Any:
    return jnp.dtype(_one_of(model_cfg, "dtype", DTYPES))


def _one_of(model_cfg: ConfigDict, key: str, choices: Collection[Any]) -> Any:
    if model_cfg[key] not in choices:
        known = ", ".join(str(choice) for choice in choices)
        raise UserError(f"model.{key} is {model_cfg[key]!r}: use one of {known}")
    return model_cfg[key]
