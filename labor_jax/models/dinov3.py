"""DINOv3: vision transformers with 16x16 patches, four registers and rotary positions.

[cited: Siméoni et al. 2025; numbers as Hugging Face's `transformers` has them: LayerNorm with an
epsilon of 1e-5, keys without a bias.] The small, base and large sizes are here. The licence of
their published weights is a question of its own, see `weights.licences`.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from labor_jax.models import vision_transformer as vit
from labor_jax.models.backbone import Backbone, Layout, Shape, register

__all__ = ["HUGGING_FACE", "KIND", "SIZES", "build", "network", "rate_factor"]

KIND = vit.Kind(patch=16, registers=4, kernel="", epsilon=1e-5, key_bias=False)

SIZES = {
    "dinov3_small": vit.Size(384, 12, 6),
    "dinov3_base": vit.Size(768, 12, 12),
    "dinov3_large": vit.Size(1024, 24, 16),
}


def build(
    model: ConfigDict, axis_name: str | None, ordered: bool, dtype: Any
) -> vit.VisionTransformer:
    """The network of a config's section."""
    return vit.build(SIZES[model.backbone], KIND, model, dtype)


def rate_factor(path: str, model: ConfigDict, optimizer: ConfigDict) -> float | np.ndarray:
    """How many times the learning rate a parameter takes, by its depth."""
    return vit.rate_factor(path, SIZES[model.backbone].blocks, optimizer.layer_decay)


def network(shapes: Mapping[str, Shape]) -> str:
    """Which DINOv3 has these tensors, or what it is like."""
    return vit.network(shapes, SIZES)


_LAYER = "layer.{}."
HUGGING_FACE = {
    **{name: (f"embeddings.{name}",) for name in ("cls_token", "mask_token", "register_tokens")},
    "norm": ("norm",),
    "patch_embed": ("embeddings.patch_embeddings",),
    **{f"blocks/{name}": (f"{_LAYER}{name}",) for name in ("norm1", "norm2")},
    **{f"blocks/ls{n}/gamma": (f"{_LAYER}layer_scale{n}.lambda1",) for n in (1, 2)},
    "blocks/qkv": tuple(f"{_LAYER}attention.{n}_proj" for n in "qkv"),
    "blocks/qv_bias": tuple(f"{_LAYER}attention.{n}_proj.bias" for n in "qv"),
    "blocks/proj": (f"{_LAYER}attention.o_proj",),
    "blocks/fc1": (f"{_LAYER}mlp.up_proj",),
    "blocks/fc2": (f"{_LAYER}mlp.down_proj",),
}
"""Our modules and tokens: their names in Hugging Face's files, {} for a block's number."""

LAYOUTS = (
    Layout(
        name="dinov3 of Hugging Face",
        known_by=r"layer\.\d+\.attention\.[qko]_proj\.",
        network=network,
        width=("embeddings.cls_token", 1),  # the length of its first axis, at any width
        sources=partial(vit.sources, HUGGING_FACE),
        value=vit.joined,
        split=vit.split,
        styles=((r"(.*\.)?embeddings\.mask_token", "pytorch"),),
        pytorch=True,
    ),
)

for _name in SIZES:
    register(
        Backbone(
            name=_name,
            build=build,
            styles=("pytorch",),
            output_strides=(KIND.patch,),
            layouts=LAYOUTS,
            options=("drop_path", "lora_rank"),
            rate_factor=rate_factor,
        )
    )
