"""DINOv2: vision transformers with 14x14 patches, plain or with four registers.

[cited: Oquab et al. 2023; registers: Darcet et al. 2023; numbers as the hub's code has them:
LayerNorm with an epsilon of 1e-6, exact GELU, LayerScale; the giant's MLP is SwiGLU.]

An image whose sides are no multiples of 14 is padded with zeros, the mean colour, on both sides
alike, as in the authors' own segmentation. Sides of 14 k + 1 then have k + 1 patches, whose centres
lie at multiples of 14, where `resize.upsample` expects features. Levels are the last layers'
patch tokens, of one stride, each through the last LayerNorm. Registers have no position.

All blocks are one module that is scanned, so each of its parameters has an axis of blocks, and
compilation takes as long as that of one block.
"""

import re
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from labor_jax.models import adapters
from labor_jax.models.backbone import (
    Backbone,
    Layout,
    Shape,
    from_pytorch,
    pytorch_shape,
    register,
    to_pytorch,
)
from labor_jax.models.positions import resized
from labor_jax.util.errors import UserError

__all__ = [
    "HUB",
    "HUGGING_FACE",
    "PATCH",
    "POSITIONS",
    "SIZES",
    "Block",
    "DinoV2",
    "LayerScale",
    "Size",
    "branch_factors",
    "build",
    "joined",
    "network",
    "padded",
    "rate_factor",
    "sources",
    "split",
    "swiglu_width",
]

PATCH = 14
"""Pixels of a patch's side."""
POSITIONS = 37
"""Patches along a side of the images of 518 pixels whose positions are in the files."""
REGISTERS = 4
EPSILON = 1e-6


class Size(NamedTuple):
    """Channels, blocks and attention heads; `mlp` is "gelu" or "swiglu"."""

    channels: int
    blocks: int
    heads: int
    mlp: str = "gelu"


SIZES = {
    "dinov2_small": Size(384, 12, 6),
    "dinov2_base": Size(768, 12, 12),
    "dinov2_large": Size(1024, 24, 16),
    "dinov2_giant": Size(1536, 40, 24, "swiglu"),
}


def swiglu_width(channels: int) -> int:
    """Hidden channels of SwiGLU: two thirds of four times, rounded up to a multiple of 8."""
    return (int(4 * channels * 2 / 3) + 7) // 8 * 8


class LayerScale(nn.Module):
    """A factor for each channel."""

    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        gamma = self.param("gamma", nn.initializers.constant(1e-5), x.shape[-1:])
        return x * gamma.astype(self.dtype)


class Block(nn.Module):
    """Attention and an MLP, each added to its input [B, T, C]: two branches.

    Attributes: as `DinoV2`'s.
    """

    size: Size
    lora_rank: int
    lora_scale: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Array, factors: Array | None = None) -> Array:
        """x: [B, T, C]; returns the same shape and dtype.

        factors: [B, 2] float32, of each image's two branches, see `branch_factors`.
        """
        one, two = (1, 1) if factors is None else factors.T[..., None, None].astype(self.dtype)
        seen = LayerScale(self.dtype, name="ls1")(self._attention(self._norm("norm1")(x)))
        x = x + one * seen
        return x + two * LayerScale(self.dtype, name="ls2")(self._mlp(self._norm("norm2")(x)))

    def _norm(self, name: str) -> nn.Module:
        return nn.LayerNorm(epsilon=EPSILON, dtype=self.dtype, name=name)

    def _dense(self, features: int, name: str) -> nn.Module:
        init = nn.initializers.truncated_normal(0.02)
        return nn.Dense(features, dtype=self.dtype, kernel_init=init, name=name)

    def _attention(self, x: Array) -> Array:
        batch, tokens, channels = x.shape
        qkv = self._dense(3 * channels, "qkv")(x).reshape(batch, tokens, 3, self.size.heads, -1)
        parts = [qkv[:, :, part] for part in range(3)]
        for name, part in adapters.PARTS.items() if self.lora_rank else ():
            adapter = adapters.Adapter(self.lora_rank, self.lora_scale, self.dtype, name=name)
            parts[part] += adapter(x).reshape(parts[part].shape)
        seen = jax.nn.dot_product_attention(*parts)
        return self._dense(channels, "proj")(seen.reshape(x.shape))

    def _mlp(self, x: Array) -> Array:
        channels = x.shape[-1]
        if self.size.mlp == "gelu":
            hidden = self._dense(4 * channels, "fc1")(x)
            return self._dense(channels, "fc2")(nn.gelu(hidden, approximate=False))
        gate, hidden = jnp.split(self._dense(2 * swiglu_width(channels), "w12")(x), 2, axis=-1)
        return self._dense(channels, "w3")(nn.silu(gate) * hidden)


class DinoV2(nn.Module):
    """A DINOv2.

    Attributes:
      size: of SIZES.
      registers: how many register tokens.
      kernel: of `positions.KERNELS`, with which the weights were trained.
      levels: how many of the last blocks' outputs are levels.
      remat: compute a block again in the backward pass: less memory, more time.
      drop_path: the last block's share of branches that are left out in training.
      lora_rank: of the adapters of attention; 0 without.
      lora_scale: their factor.
      dtype: of the computation.
    """

    size: Size
    registers: int = 0
    kernel: str = "plain"
    levels: int = 4
    remat: bool = False
    drop_path: float = 0.0
    lora_rank: int = 0
    lora_scale: float = 1.0
    dtype: Any = jnp.float32

    @nn.compact
    def tokens(self, x: Array, keys: Array | None = None) -> Array:
        """Normed tokens of the last blocks: class token, registers, patches row by row.

        x: [B, H, W, 3] normalised, H and W multiples of 14. keys: as in a call. Returns
        [levels, B, T, C].
        """
        channels = self.size.channels
        patches = nn.Conv(
            channels,
            (PATCH, PATCH),
            strides=PATCH,
            padding="VALID",
            dtype=self.dtype,
            name="patch_embed",
        )(x)
        small = nn.initializers.normal(0.02)
        of_class = self.param("cls_token", small, (1, 1, channels))
        positions = self.param("pos_embed", small, (1, 1 + POSITIONS**2, channels))
        # Pretraining puts it in place of hidden patches. Here it only goes out as it came in.
        self.param("mask_token", nn.initializers.zeros, (1, channels))
        square = positions[0, 1:].reshape(POSITIONS, POSITIONS, channels)
        patches += resized(square, patches.shape[1:3], self.kernel).astype(self.dtype)
        tokens = [of_class + positions[:, :1]]
        if self.registers:
            tokens.append(self.param("register_tokens", small, (1, self.registers, channels)))
        batch = x.shape[0]
        first = [
            jnp.broadcast_to(token.astype(self.dtype), (batch, *token.shape[1:]))
            for token in tokens
        ]
        x = jnp.concatenate([*first, patches.reshape(batch, -1, channels)], axis=1)

        def step(
            block: Block, carry: tuple[Array, Array], factors: Array | None
        ) -> tuple[Any, None]:
            x, last = carry
            x = block(x, factors)
            return (x, jnp.concatenate([last[1:], x[None]])), None

        scanned = nn.scan(
            nn.remat(step, prevent_cse=False) if self.remat else step,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=self.size.blocks,
        )
        block = Block(self.size, self.lora_rank, self.lora_scale, self.dtype, name="blocks")
        last = jnp.zeros((self.levels, *x.shape), x.dtype)
        factors = None
        if keys is not None and self.drop_path:
            factors = branch_factors(keys, self.size.blocks, self.drop_path)
        (_, last), _ = scanned(block, (x, last), factors)
        return nn.LayerNorm(epsilon=EPSILON, dtype=self.dtype, name="norm")(last)

    def __call__(
        self, x: Array, train: bool = False, keys: Array | None = None
    ) -> tuple[Array, ...]:
        """x: [B, H, W, 3] normalised. Returns the levels, [B, ceil(H / 14), ceil(W / 14), C].

        keys: [B] random keys, by which branches are left out; None leaves out none. `train` is not
        read.
        """
        x = padded(x)
        rows, columns = (length // PATCH for length in x.shape[1:3])
        tokens = self.tokens(x, keys)[:, :, 1 + self.registers :]
        return tuple(tokens.reshape(*tokens.shape[:2], rows, columns, -1))


def branch_factors(keys: Array, blocks: int, drop_path: float) -> Array:
    """The factors of the blocks' branches in training, [blocks, B, 2] float32.

    A branch is left out (0) with a probability that grows linearly from 0 in the first block to
    `drop_path` in the last one. The others are divided by theirs of staying, so that the mean is 1
    [cited: stochastic depth, Huang et al. 2016; by image, as in DeiT].

    Args:
      keys: [B] random keys, one for each image, so that a batch may be split anyhow.
    """
    staying = 1 - jnp.linspace(0, drop_path, blocks)[:, None]
    drawn = jax.vmap(lambda key: jax.random.uniform(key, (blocks, 2)))(keys)
    return jnp.moveaxis((drawn < staying) / staying, 0, 1)


def padded(x: Array) -> Array:
    """x: [B, H, W, F] with zeros around it, so that both sides are multiples of 14."""
    missing = [-length % PATCH for length in x.shape[1:3]]
    around = [(n // 2, n - n // 2) for n in missing]
    return jnp.pad(x, ((0, 0), *around, (0, 0))) if any(missing) else x


# ------------------------------------------------------------------------------- what it registers


def build(model: ConfigDict, axis_name: str | None, ordered: bool, dtype: Any) -> DinoV2:
    """The network of a config's section, whose `width` is not read: each size has its name."""
    if model.levels == 1 and model.head == "deeplab_v2":
        raise UserError("model.levels is 1, but deeplab_v2 has a head on the last level but one")
    name = model.backbone.removesuffix("_reg")
    with_registers = name != model.backbone
    return DinoV2(
        size=SIZES[name],
        registers=REGISTERS if with_registers else 0,
        kernel="antialiased" if with_registers else "plain",
        levels=model.levels,
        remat=model.remat,
        drop_path=model.drop_path,
        lora_rank=model.lora_rank,
        lora_scale=adapters.scale(model),
        dtype=dtype,
    )


def rate_factor(path: str, model: ConfigDict, optimizer: ConfigDict) -> float | np.ndarray:
    """`layer_decay` to the power of the depth below the last norm [cited: BEiT].

    The mask token takes no part in anything and stays as it is.
    """
    blocks = SIZES[model.backbone.removesuffix("_reg")].blocks
    if path == "mask_token":
        return 0.0
    if path.startswith("norm/"):
        return 1.0
    if path.startswith("blocks/"):
        return optimizer.layer_decay ** (blocks - np.arange(blocks, dtype=np.float32))
    return optimizer.layer_decay ** (blocks + 1)


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


def sources(names: Mapping[str, tuple[str, ...]], path: str, shape: Shape) -> dict[str, Shape]:
    """The keys of a variable, block by block, and their shapes; `names` is one of the above."""
    module, _, part = path.rpartition("/")
    ending = "" if path in names else ".bias" if part == "bias" else ".weight"
    theirs = names.get(path) or names[module]
    if not path.startswith("blocks/"):
        return {theirs[0] + ending: pytorch_shape(shape)}
    rows, *columns = shape[:0:-1]  # a kernel is [out, in] there
    each = (rows // len(theirs), *columns)
    return {name.format(i) + ending: each for i in range(shape[0]) for name in theirs}


def joined(found: list[np.ndarray], shape: Shape) -> np.ndarray:
    """A variable of a shape, float32, from the tensors that `sources` names."""
    if len(found) == 1:
        return np.asarray(from_pytorch(found[0]), np.float32)
    blocks = np.stack(found).reshape(shape[0], *shape[:0:-1])
    return np.asarray(np.swapaxes(blocks, 1, -1), np.float32)


def split(variable: np.ndarray, number: int) -> list[np.ndarray]:
    """The hub's tensors of a variable: one, or one for each block."""
    return [to_pytorch(variable)] if number == 1 else [block.T for block in variable]


def network(shapes: Mapping[str, Shape]) -> str:
    """Which DINOv2 has these tensors, by the number of blocks and the length most of them have."""
    blocks = {match[1] for key in shapes if (match := re.search(r"\.(\d+)\..*norm1\.", f".{key}"))}
    lengths = Counter(shape[0] for shape in shapes.values() if len(shape) == 1)
    channels = lengths.most_common(1)[0][0] if lengths else 0
    kind = "_reg" if any(key.endswith("register_tokens") for key in shapes) else ""
    for name, size in SIZES.items():
        if (size.channels, size.blocks) == (channels, len(blocks)):
            return name + kind
    return f"a vision transformer of {len(blocks)} blocks and {channels} channels"


_ONE = ("(embeddings.)?cls_token", 1)  # the length of its first axis, at any width

LAYOUTS = (
    Layout(
        name="dinov2",
        known_by=r"blocks\.\d+\.ls[12]\.gamma",
        network=network,
        width=_ONE,
        sources=partial(sources, HUB),
        value=joined,
        split=split,
        styles=((r"mask_token", "pytorch"),),
        pytorch=True,
    ),
    Layout(
        name="dinov2 of Hugging Face",
        known_by=r"encoder\.layer\.\d+\.layer_scale[12]\.lambda1",
        network=network,
        width=_ONE,
        sources=partial(sources, HUGGING_FACE),
        value=joined,
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
            output_strides=(PATCH,),
            layouts=LAYOUTS,
            options=("drop_path", "lora_rank"),
            rate_factor=rate_factor,
            imagenet=f"{_SITE}/{_hub}/{_hub}{_kind and '_reg4'}_pretrain.pth",
        )
    )
