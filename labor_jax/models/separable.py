"""1x1 and depthwise convolutions as modules, with the kernels' initialisation."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from labor_jax.models.depthwise import depthwise

__all__ = [
    "SMALL",
    "Depthwise",
    "Pointwise",
]

SMALL = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
"""PyTorch's default. Heads begin with it: behind batch norm a kernel's length changes nothing but
how far one step of Adam turns it, and from longer kernels a thousand steps lead less far [ours]."""


class Pointwise(nn.Module):
    """A 1x1 convolution, as the matrix product it is: its gradient is a third faster on CPUs."""

    features: int
    use_bias: bool = False
    kernel_init: nn.initializers.Initializer = nn.initializers.variance_scaling(
        2.0, "fan_out", "normal"
    )
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x: [B, h, w, F]; returns [B, h, w, features] of `dtype`."""
        kernel = self.param("kernel", self.kernel_init, (1, 1, x.shape[-1], self.features))
        y = x.astype(self.dtype) @ kernel[0, 0].astype(self.dtype)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            y = y + bias.astype(self.dtype)
        return y


class Depthwise(nn.Module):
    """A depthwise convolution.

    `style` says how it is padded, see `depthwise.padding`.
    """

    window: int
    stride: int
    dilation: int
    style: str
    use_bias: bool = False
    kernel_init: nn.initializers.Initializer = nn.initializers.he_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x: [B, H, W, C]; returns [B, ceil(H / stride), ceil(W / stride), C] of `dtype`."""
        shape = (self.window, self.window, 1, x.shape[-1])
        kernel = self.param("kernel", self.kernel_init, shape)
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        y = depthwise(x, kernel, self.stride, self.dilation, self.style)
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (x.shape[-1],)).astype(self.dtype)
        return y
