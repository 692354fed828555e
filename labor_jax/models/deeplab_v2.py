"""DeepLab-V2's head: the paper's classifier."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax

__all__ = [
    "DeepLabHead",
    "LastLevel",
    "shifted",
]


class LastLevel(nn.Module):
    """The neck of the paper's head: its classifiers see the backbone's last level as it is."""

    def __call__(self, levels: Sequence[Array], train: bool = False) -> Array:
        """levels: [B, h, w, F] each; returns the last one. `train` is not read."""
        return levels[-1]


class DeepLabHead(nn.Module):
    """The sum of 3x3 convolutions with bias, one for each dilation [cited: DeepLab-V2].

    Each convolution is padded by its dilation. Each of its taps is a matrix product with [F, C].
    One product computes all taps of all branches, and its maps are then shifted and added. With few
    classes this is far cheaper than dilated convolutions. Taps that fall outside the map (dilation
    24 on a map of 15x20) cost nothing.
    """

    num_classes: int
    dilations: tuple[int, ...] = (6, 12, 18, 24)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """features: [B, h, w, F]; returns logits [B, h, w, num_classes] float32."""
        _, height, width, channels = features.shape

        def fresh(key: Array) -> dict[str, Array]:
            kernel = 0.01 * jax.random.normal(key, (3, 3, channels, self.num_classes))
            return {"kernel": kernel, "bias": jnp.zeros(self.num_classes)}

        branches = [self.param(f"branch_{i}", fresh) for i in range(len(self.dilations))]
        taps = [
            (branch["kernel"][row + 1, column + 1], row * dilation, column * dilation)
            for branch, dilation in zip(branches, self.dilations, strict=True)
            for row in (-1, 0, 1)
            for column in (-1, 0, 1)
            if abs(row) * dilation < height and abs(column) * dilation < width
        ]
        exact = jnp.promote_types(jnp.float32, self.dtype)
        kernel = jnp.concatenate([tap.astype(self.dtype) for tap, _, _ in taps], axis=1)
        maps = jnp.matmul(features.astype(self.dtype), kernel, preferred_element_type=exact)
        by_tap = jnp.split(maps, len(taps), axis=-1)
        logits = sum(
            shifted(tap_map, down, right)
            for tap_map, (_, down, right) in zip(by_tap, taps, strict=True)
        )
        return logits + sum(branch["bias"] for branch in branches)


def shifted(x: Array, down: int, right: int) -> Array:
    """x: [B, H, W, C]; returns y with y[:, i, j] = x[:, i + down, j + right], 0 from outside."""
    zero = jnp.zeros((), x.dtype)
    return lax.pad(x, zero, [(0, 0, 0), (-down, down, 0), (-right, right, 0), (0, 0, 0)])
