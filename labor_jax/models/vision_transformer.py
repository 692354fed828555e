"""Vision transformers as DINOv2 and DINOv3 have them, and how files name their tensors.

[cited: Oquab et al. 2023; registers: Darcet et al. 2023; numbers as the published code has them:
exact GELU, LayerScale; the giant's MLP is SwiGLU. What their kinds differ in is `Kind`.]

An image whose sides are no multiples of the patch's is padded with zeros, the mean colour, on both
sides alike, as in the authors' own segmentation. Sides of n k + 1, with n the patch's, then have
k + 1 patches, whose centres lie at multiples of n, where `resize.upsample` expects features. Levels
are the last layers' patch tokens, of one stride, each through the last LayerNorm. Registers have no
position.

All blocks are one module that is scanned, so each of its parameters has an axis of blocks, and
compilation takes as long as that of one block.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from ml_collections import ConfigDict

from labor_jax.models import adapters
from labor_jax.models.backbone import Shape, from_pytorch, pytorch_shape, to_pytorch
from labor_jax.models.positions import resized, rotated, turns
from labor_jax.util.errors import UserError

__all__ = [
    "POSITIONS",
    "Block",
    "Kind",
    "LayerScale",
    "Size",
    "VisionTransformer",
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

POSITIONS = 37
"""Patches along a side of the images of pretraining whose positions are in the files."""


class Size(NamedTuple):
    """Channels, blocks and attention heads; `mlp` is "gelu" or "swiglu"."""

    channels: int
    blocks: int
    heads: int
    mlp: str = "gelu"


class Kind(NamedTuple):
    """What vision transformers of any size may differ in.

    Attributes:
      patch: pixels of a patch's side.
      registers: how many register tokens.
      kernel: of `positions.KERNELS`, with which position embeddings are resized; "" where there are
        none, and queries and keys are rotated by their patches' places.
      epsilon: LayerNorm's.
      key_bias: whether attention's keys have a bias, as queries and values do.
    """

    patch: int
    registers: int
    kernel: str
    epsilon: float
    key_bias: bool = True


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

    Attributes: as `VisionTransformer`'s.
    """

    size: Size
    kind: Kind
    lora_rank: int
    lora_scale: float
    dtype: Any

    @nn.compact
    def __call__(
        self, x: Array, factors: Array | None = None, angles: np.ndarray | None = None
    ) -> Array:
        """x: [B, T, C]; returns the same shape and dtype.

        factors: [B, 2] float32, of each image's two branches, see `branch_factors`. angles: of the
        patches, see `positions.turns`.
        """
        one, two = (1, 1) if factors is None else factors.T[..., None, None].astype(self.dtype)
        seen = LayerScale(self.dtype, name="ls1")(self._attention(self._norm("norm1")(x), angles))
        x = x + one * seen
        return x + two * LayerScale(self.dtype, name="ls2")(self._mlp(self._norm("norm2")(x)))

    def _norm(self, name: str) -> nn.Module:
        return nn.LayerNorm(epsilon=self.kind.epsilon, dtype=self.dtype, name=name)

    def _dense(self, features: int, name: str, bias: bool = True) -> nn.Module:
        init = nn.initializers.truncated_normal(0.02)
        return nn.Dense(features, bias, dtype=self.dtype, kernel_init=init, name=name)

    def _attention(self, x: Array, angles: np.ndarray | None) -> Array:
        batch, tokens, channels = x.shape
        qkv = self._dense(3 * channels, "qkv", self.kind.key_bias)(x)
        if not self.kind.key_bias:
            bias = self.param("qv_bias", nn.initializers.zeros, (2 * channels,))
            query, value = jnp.split(bias.astype(self.dtype), 2)
            qkv += jnp.concatenate([query, jnp.zeros_like(query), value])
        qkv = qkv.reshape(batch, tokens, 3, self.size.heads, -1)
        parts = [qkv[:, :, part] for part in range(3)]
        for name, part in adapters.PARTS.items() if self.lora_rank else ():
            adapter = adapters.Adapter(self.lora_rank, self.lora_scale, self.dtype, name=name)
            parts[part] += adapter(x).reshape(parts[part].shape)
        if angles is not None:
            parts[:2] = [rotated(part, angles) for part in parts[:2]]
        seen = jax.nn.dot_product_attention(*parts)
        return self._dense(channels, "proj")(seen.reshape(x.shape))

    def _mlp(self, x: Array) -> Array:
        channels = x.shape[-1]
        if self.size.mlp == "gelu":
            hidden = self._dense(4 * channels, "fc1")(x)
            return self._dense(channels, "fc2")(nn.gelu(hidden, approximate=False))
        gate, hidden = jnp.split(self._dense(2 * swiglu_width(channels), "w12")(x), 2, axis=-1)
        return self._dense(channels, "w3")(nn.silu(gate) * hidden)


class VisionTransformer(nn.Module):
    """The network.

    Attributes:
      size: channels, blocks and heads.
      kind: what sizes have in common.
      levels: how many of the last blocks' outputs are levels.
      remat: compute a block again in the backward pass: less memory, more time.
      drop_path: the last block's share of branches that are left out in training.
      lora_rank: of the adapters of attention; 0 without.
      lora_scale: their factor.
      dtype: of the computation.
    """

    size: Size
    kind: Kind
    levels: int = 4
    remat: bool = False
    drop_path: float = 0.0
    lora_rank: int = 0
    lora_scale: float = 1.0
    dtype: Any = jnp.float32

    @nn.compact
    def tokens(self, x: Array, keys: Array | None = None) -> Array:
        """Normed tokens of the last blocks: class token, registers, patches row by row.

        x: [B, H, W, 3] normalised, H and W multiples of the patch's side. keys: as in a call.
        Returns [levels, B, T, C].
        """
        kind, channels = self.kind, self.size.channels
        patches = nn.Conv(
            channels,
            (kind.patch, kind.patch),
            strides=kind.patch,
            padding="VALID",
            dtype=self.dtype,
            name="patch_embed",
        )(x)
        small = nn.initializers.normal(0.02)
        tokens = [self.param("cls_token", small, (1, 1, channels))]
        angles = None
        if kind.kernel:
            positions = self.param("pos_embed", small, (1, 1 + POSITIONS**2, channels))
            square = positions[0, 1:].reshape(POSITIONS, POSITIONS, channels)
            patches += resized(square, patches.shape[1:3], kind.kernel).astype(self.dtype)
            tokens = [tokens[0] + positions[:, :1]]  # += would write into NumPy parameters
        else:
            angles = turns(patches.shape[1:3], channels // self.size.heads)
        # Pretraining puts it in place of hidden patches. Here it only goes out as it came in.
        shape = (1, channels) if kind.kernel else (1, 1, channels)  # as files have it
        self.param("mask_token", nn.initializers.zeros, shape)
        if kind.registers:
            tokens.append(self.param("register_tokens", small, (1, kind.registers, channels)))
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
            x = block(x, factors, angles)
            return (x, jnp.concatenate([last[1:], x[None]])), None

        scanned = nn.scan(
            nn.remat(step, prevent_cse=False) if self.remat else step,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=self.size.blocks,
        )
        adapted = (self.lora_rank, self.lora_scale)
        block = Block(self.size, kind, *adapted, self.dtype, name="blocks")
        last = jnp.zeros((self.levels, *x.shape), x.dtype)
        factors = None
        if keys is not None and self.drop_path:
            factors = branch_factors(keys, self.size.blocks, self.drop_path)
        (_, last), _ = scanned(block, (x, last), factors)
        return nn.LayerNorm(epsilon=kind.epsilon, dtype=self.dtype, name="norm")(last)

    def __call__(
        self, x: Array, train: bool = False, keys: Array | None = None
    ) -> tuple[Array, ...]:
        """x: [B, H, W, 3] normalised. Returns the levels, [B, ceil(H / n), ceil(W / n), C] for
        patches of n pixels.

        keys: [B] random keys, by which branches are left out; None leaves out none. `train` is not
        read.
        """
        x = padded(x, self.kind.patch)
        rows, columns = (length // self.kind.patch for length in x.shape[1:3])
        tokens = self.tokens(x, keys)[:, :, 1 + self.kind.registers :]
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


def padded(x: Array, patch: int) -> Array:
    """x: [B, H, W, F] with zeros around it, so that both sides are multiples of a patch's."""
    missing = [-length % patch for length in x.shape[1:3]]
    around = [(n // 2, n - n // 2) for n in missing]
    return jnp.pad(x, ((0, 0), *around, (0, 0))) if any(missing) else x


def build(size: Size, kind: Kind, model: ConfigDict, dtype: Any) -> VisionTransformer:
    """The network of a config's section, whose `width` is not read: each size has its name."""
    if model.levels == 1 and model.head == "deeplab_v2":
        raise UserError("model.levels is 1, but deeplab_v2 has a head on the last level but one")
    return VisionTransformer(
        size=size,
        kind=kind,
        levels=model.levels,
        remat=model.remat,
        drop_path=model.drop_path,
        lora_rank=model.lora_rank,
        lora_scale=adapters.scale(model),
        dtype=dtype,
    )


def rate_factor(path: str, blocks: int, decay: float) -> float | np.ndarray:
    """`decay` to the power of the depth below the last norm [cited: BEiT].

    The mask token takes no part in anything and stays as it is.
    """
    if path == "mask_token":
        return 0.0
    if path.startswith("norm/"):
        return 1.0
    if path.startswith("blocks/"):
        return decay ** (blocks - np.arange(blocks, dtype=np.float32))
    return decay ** (blocks + 1)


# ------------------------------------------------------------------------------- files of weights


def sources(names: Mapping[str, tuple[str, ...]], path: str, shape: Shape) -> dict[str, Shape]:
    """The keys of a variable, block by block, and their shapes.

    Args:
      names: our modules and tokens: their names in a file, {} for a block's number. Several names
        are of the parts of one of ours.
    """
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
    """A file's tensors of a variable: one, or the same number for each block."""
    if number == 1:
        return [to_pytorch(variable)]
    parts = number // len(variable)
    return [part for block in variable for part in np.split(block.T, parts)]


def network(shapes: Mapping[str, Shape], sizes: Mapping[str, Size]) -> str:
    """Which of the sizes has these tensors, by the number of blocks and the commonest length."""
    blocks = {match[1] for key in shapes if (match := re.search(r"\.(\d+)\..*norm1\.", f".{key}"))}
    lengths = Counter(shape[0] for shape in shapes.values() if len(shape) == 1)
    channels = lengths.most_common(1)[0][0] if lengths else 0
    for name, size in sizes.items():
        if (size.channels, size.blocks) == (channels, len(blocks)):
            return name
    return f"a vision transformer of {len(blocks)} blocks and {channels} channels"
