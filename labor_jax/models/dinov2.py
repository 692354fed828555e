"""DINOv2: vision transformers with 14x14 patches, plain or with four registers.

[cited: Oquab et al. 2023; registers: Darcet et al. 2023; numbers as the hub's code has them.]
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from labor_jax.models import vision_transformer as vit
from labor_jax.models.backbone import Backbone, Layout, Shape, register

__all__ = [
    "HUB",
    "HUGGING_FACE",
    "PLAIN",
    "SIZES",
    "WITH_REGISTERS",
    "build",
    "network",
    "rate_factor",
    "unlike",
]

PLAIN = vit.Kind(patch=14, registers=0, kernel="plain", epsilon=1e-6)
WITH_REGISTERS = PLAIN._replace(registers=4, kernel="antialiased")

SIZES = {
    "dinov2_small": vit.Size(384, 12, 6),
    "dinov2_base": vit.Size(768, 12, 12),
    "dinov2_large": vit.Size(1024, 24, 16),
    "dinov2_giant": vit.Size(1536, 40, 24, "swiglu"),
}


def build(
    model: ConfigDict, axis_name: str | None, ordered: bool, dtype: Any
) -> vit.VisionTransformer:
    """The network of a config's section."""
    size = model.backbone.removesuffix("_reg")
    kind = PLAIN if size == model.backbone else WITH_REGISTERS
    return vit.build(SIZES[size], kind, model, dtype)


def rate_factor(path: str, model: ConfigDict, optimizer: ConfigDict) -> float | np.ndarray:
    """How many times the learning rate a parameter takes, by its depth."""
    blocks = SIZES[model.backbone.removesuffix("_reg")].blocks
    return vit.rate_factor(path, blocks, optimizer.layer_decay)


def network(shapes: Mapping[str, Shape]) -> str:
    """Which DINOv2 has these tensors, or what it is like."""
    name = vit.network(shapes, SIZES)
    has_registers = any(key.endswith("register_tokens") for key in shapes)
    return f"{name}_reg" if has_registers and name in SIZES else name


_TOKENS = ("cls_token", "mask_token", "pos_embed", "register_tokens")

HUB = {
    **{name: (name,) for name in (*_TOKENS, "norm")},
    "patch_embed": ("patch_embed.proj",),
    **{f"blocks/{name}": (f"blocks.{{}}.{name}",) for name in ("norm1", "norm2")},
    **{f"blocks/{name}/gamma": (f"blocks.{{}}.{name}.gamma",) for name in ("ls1", "ls2")},
    **{f"blocks/{name}": (f"blocks.{{}}.attn.{name}",) for name in ("qkv", "proj")},
    **{f"blocks/{name}": (f"blocks.{{}}.mlp.{name}",) for name in ("fc1", "fc2", "w12", "w3")},
}
"""Our modules and tokens: their names in the hub's files, {} for a block's number."""

_LAYER = "encoder.layer.{}."
HUGGING_FACE = {
    **{name: (f"embeddings.{name}",) for name in _TOKENS},
    "pos_embed": ("embeddings.position_embeddings",),
    "norm": ("layernorm",),
    "patch_embed": ("embeddings.patch_embeddings.projection",),
    **{f"blocks/{name}": (f"{_LAYER}{name}",) for name in ("norm1", "norm2")},
    **{f"blocks/ls{n}/gamma": (f"{_LAYER}layer_scale{n}.lambda1",) for n in (1, 2)},
    "blocks/qkv": tuple(f"{_LAYER}attention.attention.{n}" for n in ("query", "key", "value")),
    "blocks/proj": (f"{_LAYER}attention.output.dense",),
    **{f"blocks/{name}": (f"{_LAYER}mlp.{name}",) for name in ("fc1", "fc2")},
    "blocks/w12": (f"{_LAYER}mlp.weights_in",),
    "blocks/w3": (f"{_LAYER}mlp.weights_out",),
}
"""The same in Hugging Face's files, where query, key and value are three tensors each."""


def unlike(shapes: Mapping[str, Shape]) -> str:
    """Says of which other network a file with the hub's keys is; "" if it may be a DINOv2."""
    if "storage_tokens" not in shapes:
        return ""
    return "it is DINOv3's own file; give Hugging Face's model.safetensors of the same network"


_ONE = ("(embeddings.)?cls_token", 1)  # the length of its first axis, at any width

LAYOUTS = (
    Layout(
        name="dinov2",
        known_by=r"blocks\.\d+\.ls[12]\.gamma",
        network=network,
        width=_ONE,
        sources=partial(vit.sources, HUB),
        value=vit.joined,
        split=vit.split,
        styles=((r"mask_token", "pytorch"),),
        unlike=unlike,
        pytorch=True,
    ),
    Layout(
        name="dinov2 of Hugging Face",
        known_by=r"encoder\.layer\.\d+\.layer_scale[12]\.lambda1",
        network=network,
        width=_ONE,
        sources=partial(vit.sources, HUGGING_FACE),
        value=vit.joined,
        styles=((r"(.*\.)?embeddings\.mask_token", "pytorch"),),
        pytorch=True,
    ),
)
"""The hub's, which is written, and Hugging Face's."""

_SITE = "https://dl.fbaipublicfiles.com/dinov2"

for _name, _kind in [(name, kind) for name in SIZES for kind in ("", "_reg")]:
    _hub = f"dinov2_vit{_name.removeprefix('dinov2_')[0]}14"
    register(
        Backbone(
            name=_name + _kind,
            build=build,
            styles=("pytorch",),
            output_strides=(PLAIN.patch,),
            layouts=LAYOUTS,
            options=("drop_path", "lora_rank"),
            rate_factor=rate_factor,
            imagenet=f"{_SITE}/{_hub}/{_hub}{_kind and '_reg4'}_pretrain.pth",
        )
    )
