"""Depthwise convolutions as shifted multiply-adds: XLA runs grouped convolutions slowly on CPUs.

Elsewhere their gradients are those of the grouped convolution: see docs/accelerators.md.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax

__all__ = [
    "depthwise",
    "grouped",
    "multiply_add",
    "padding",
    "shifted_views",
]


def padding(
    size: tuple[int, ...], window: int, stride: int, dilation: int, style: str
) -> list[tuple[int, int]]:
    """(before, after) of the rows and the columns, around a square window.

    style: "pytorch" pads alike on both sides; "tensorflow" is TensorFlow's SAME, which puts the
    odd pixel behind.
    """
    reach = (window - 1) * dilation
    if style == "pytorch":
        return [(reach // 2, reach // 2)] * 2
    return list(lax.padtype_to_pads(size, (reach + 1, reach + 1), (stride, stride), "SAME"))


def shifted_views(x: Array, window: int, stride: int, dilation: int, style: str) -> list[Array]:
    """The inputs of each tap of a padded window, row by row.

    x: [B, H, W, C]; each view is [B, ceil(H / stride), ceil(W / stride), C].
    """
    x = jnp.pad(x, ((0, 0), *padding(x.shape[1:3], window, stride, dilation, style), (0, 0)))
    reach = (window - 1) * dilation
    high, wide = x.shape[1] - reach, x.shape[2] - reach
    starts = range(0, reach + 1, dilation)
    return [
        x[:, row : row + high : stride, column : column + wide : stride]
        for row in starts
        for column in starts
    ]


def multiply_add(x: Array, kernel: Array, stride: int, dilation: int, style: str) -> Array:
    """`depthwise` with the gradients that JAX derives."""
    window = kernel.shape[0]
    views = shifted_views(x, window, stride, dilation, style)
    taps = kernel.reshape(window * window, -1)
    return sum(view * tap for view, tap in zip(views, taps, strict=True))


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def depthwise(
    x: Array, kernel: Array, stride: int = 1, dilation: int = 1, style: str = "tensorflow"
) -> Array:
    """A depthwise convolution, one multiply-add for each tap; they fuse into one loop.

    x: [B, H, W, C]; kernel: [K, K, 1, C], K odd; returns
    [B, ceil(H / stride), ceil(W / stride), C].
    """
    return multiply_add(x, kernel, stride, dilation, style)


def grouped(x: Array, kernel: Array, stride: int, dilation: int, style: str) -> Array:
    """`depthwise` as XLA's grouped convolution."""
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        padding(x.shape[1:3], kernel.shape[0], stride, dilation, style),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def _forward(
    x: Array, kernel: Array, stride: int, dilation: int, style: str
) -> tuple[Array, tuple[Array, Array]]:
    return multiply_add(x, kernel, stride, dilation, style), (x, kernel)


def _backward(
    stride: int, dilation: int, style: str, saved: tuple[Array, Array], gradient: Array
) -> tuple[Array, Array]:
    def by_taps(x: Array, kernel: Array, gradient: Array) -> tuple[Array, Array]:
        return _gradients_by_taps(x, kernel, gradient, stride, dilation, style)

    def of_grouped(x: Array, kernel: Array, gradient: Array) -> tuple[Array, Array]:
        return jax.vjp(lambda x, k: grouped(x, k, stride, dilation, style), x, kernel)[1](gradient)

    return lax.platform_dependent(*saved, gradient, cpu=by_taps, default=of_grouped)


def _gradients_by_taps(
    x: Array, kernel: Array, gradient: Array, stride: int, dilation: int, style: str
) -> tuple[Array, Array]:
    views = shifted_views(x, kernel.shape[0], stride, dilation, style)
    # XLA's CPU reductions over leading axes do not vectorise, sums of arrays do: adding up the
    # examples first makes this gradient five times faster.
    examples = range(x.shape[0])
    taps = jnp.stack([sum(view[i] * gradient[i] for i in examples) for view in views])
    to_x = _gradient_of_input(x.shape[1:3], kernel, stride, dilation, style, gradient)
    return to_x, taps.sum((1, 2)).reshape(kernel.shape)


def _gradient_of_input(
    size: tuple[int, ...], kernel: Array, stride: int, dilation: int, style: str, gradient: Array
) -> Array:
    """The transposed convolution. At stride 1 it is one by the turned kernel, whose shifted
    multiply-adds take half to a third of the time of the padded sums that JAX derives (CPU)."""
    if stride > 1:
        shape = (gradient.shape[0], *size, gradient.shape[3])
        return jax.linear_transpose(
            lambda x: multiply_add(x, kernel, stride, dilation, style),
            jax.ShapeDtypeStruct(shape, gradient.dtype),
        )(gradient)[0]
    window, reach = kernel.shape[0], (kernel.shape[0] - 1) * dilation
    pads = [
        (reach - before, reach - after)
        for before, after in padding(size, window, stride, dilation, style)
    ]
    padded = jnp.pad(gradient, ((0, 0), *pads, (0, 0)))
    taps = kernel[::-1, ::-1].reshape(window * window, -1)
    starts = range(0, reach + 1, dilation)
    views = [
        padded[:, row : row + size[0], column : column + size[1]]
        for row in starts
        for column in starts
    ]
    return sum(view * tap for view, tap in zip(views, taps, strict=True))


depthwise.defvjp(_forward, _backward)
