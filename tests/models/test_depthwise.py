"""Depthwise convolutions are XLA's grouped ones, gradients too."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from labor_jax.models.depthwise import depthwise, grouped


@pytest.mark.parametrize("style", ["tensorflow", "pytorch"])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(6, 9), (7, 8), (1, 3)])
@pytest.mark.parametrize("window", [3, 5])
def test_a_depthwise_convolution_and_its_gradients_agree_with_xla(
    window, size, stride, dilation, style
):
    if stride > 1 and dilation > 1:
        stride = 3  # XLA has it, the network does not
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((3, *size, 5)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((window, window, 1, 5)), jnp.float32)

    def by_xla(x, kernel):
        return lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            "SAME" if style == "tensorflow" else [(window // 2 * dilation,) * 2] * 2,
            rhs_dilation=(dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=5,
        )

    rows, columns = (-(-length // stride) for length in size)
    gradient = jnp.asarray(rng.standard_normal((3, rows, columns, 5)), jnp.float32)

    @partial(jax.jit, static_argnums=0)
    def value_and_gradients(convolution):
        value, pull = jax.vjp(convolution, x, kernel)
        return value, *pull(gradient)

    ours = value_and_gradients(lambda x, kernel: depthwise(x, kernel, stride, dilation, style))
    for one, other in zip(ours, value_and_gradients(by_xla), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("stride, dilation", [(1, 1), (1, 2), (2, 1)])
@pytest.mark.parametrize("style", ["tensorflow", "pytorch"])
def test_what_gradients_come_from_elsewhere_than_on_cpus_is_the_same_convolution(
    stride, dilation, style
):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 7, 8, 5)).astype(np.float32)
    kernel = rng.standard_normal((3, 3, 1, 5)).astype(np.float32)
    ours, other = (f(x, kernel, stride, dilation, style) for f in (depthwise, grouped))
    np.testing.assert_allclose(ours, other, atol=1e-5)
