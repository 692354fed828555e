"""Low-rank adapters: little matrices that are trained beside a backbone that is not.

A frozen matrix of attention W gets a neighbour of rank r, W + alpha / r U D [cited: LoRA, Hu et al.
2021, on query and value]. U starts at zeros, so training starts from the frozen network, and its
product is added to W when training is over.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array, lax
from ml_collections import ConfigDict

__all__ = ["PARTS", "Adapter", "is_adapter", "joined", "merged", "scale", "split"]

PREFIX = "adapter_"
PARTS = {f"{PREFIX}q": 0, f"{PREFIX}v": 2}
"""The adapters of attention by name, and which third of `qkv` each belongs to."""


class Adapter(nn.Module):
    """What is added to a linear layer's output.

    Attributes:
      rank: of the two matrices' product.
      scale: its factor.
      dtype: of the computation.
    """

    rank: int
    scale: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x: [B, T, C]; returns [B, T, C]."""
        down = nn.Dense(self.rank, use_bias=False, dtype=self.dtype, name="down")
        zeros = nn.initializers.zeros
        up = nn.Dense(x.shape[-1], use_bias=False, kernel_init=zeros, dtype=self.dtype, name="up")
        return self.scale * up(down(x))


def scale(model: ConfigDict) -> float:
    """The factor of an adapter's product, alpha / r; 0 without adapters."""
    return model.lora_alpha / model.lora_rank if model.lora_rank else 0.0


def is_adapter(path: str) -> bool:
    """Whether a variable's path, such as "backbone/blocks/adapter_q/up/kernel", is an adapter's."""
    return f"/{PREFIX}" in path


def split(params: Any, model: ConfigDict) -> tuple[Any, Any]:
    """A network's parameters that are trained, and those that are not; {} where all are trained.

    Args:
      params: {"backbone": ..., head: ...}.
      model: the config's section. With adapters they alone of the backbone are trained.
    """
    if not model.lora_rank:
        return params, {}
    parts: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for path, value in flatten_dict(params, sep="/").items():
        parts[path.startswith("backbone/") and not is_adapter(path)][path] = value
    trained, fixed = (unflatten_dict(part, sep="/") for part in parts)
    return trained, fixed


def joined(trained: Any, fixed: Any) -> Any:
    """The parameters of which `split` made two parts."""
    if not fixed:
        return trained
    return unflatten_dict(flatten_dict(fixed) | flatten_dict(trained))


def merged(params: Any, model: ConfigDict) -> Any:
    """The parameters without adapters, which are added to the layers that they belong to.

    Args:
      params: {"backbone": {"blocks": {"qkv": {"kernel": [N, C, 3 C]}, adapter: {"down": {"kernel":
        [N, C, r]}, "up": {"kernel": [N, r, C]}}, ...}, ...}, ...} float32, all N blocks' at once.
      model: the config's section, with adapters.
    """
    flat = flatten_dict(params, sep="/")
    qkv = "backbone/blocks/qkv/kernel"
    thirds = jnp.split(jnp.asarray(flat[qkv]), 3, axis=-1)
    for name, part in PARTS.items():
        down, up = (flat[f"backbone/blocks/{name}/{n}/kernel"] for n in ("down", "up"))
        thirds[part] += scale(model) * jnp.matmul(down, up, precision=lax.Precision.HIGHEST)
    kept = {path: value for path, value in flat.items() if not is_adapter(path)}
    return unflatten_dict(kept | {qkv: jnp.concatenate(thirds, -1)}, sep="/")
