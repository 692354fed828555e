from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.filling import filled

from labor_jax.models import resnet
from labor_jax.models.batch_norm import BatchNorm
from labor_jax.models.resnet import Bottleneck, ResNet, layer_plan, max_pool

FROZEN = partial(BatchNorm, kind="frozen", dtype=jnp.float32)


@pytest.mark.parametrize(
    ("depth", "style"),
    [("resnet18", "pytorch"), ("resnet50", "pytorch"), ("resnet50", "caffe")],
)
def test_dilated_features_subsampled_are_the_undilated_ones(depth, style):
    image = np.random.default_rng(1).standard_normal((1, 65, 97, 3)).astype(np.float32)
    dense = ResNet(depth, style, width=0.125, output_stride=8)
    sparse = ResNet(depth, style, width=0.125, output_stride=32)
    values = filled(dense, image)
    dense_last = jax.jit(dense.apply)(values, image)[-1]
    sparse_last = jax.jit(sparse.apply)(values, image)[-1]
    assert dense_last.shape[1:3] == (9, 13)
    assert sparse_last.shape[1:3] == (3, 4)
    np.testing.assert_allclose(dense_last[:, ::4, ::4], sparse_last, rtol=1e-4, atol=1e-5)


def numpy_convolution(x, kernel, stride, dilation):
    """x: [H, W, I] float64; kernel: [k, k, I, O]; padded by dilation on all sides where k is 3."""
    size = kernel.shape[0]
    x = np.pad(x, ((size // 2 * dilation,) * 2, (size // 2 * dilation,) * 2, (0, 0)))
    rows, columns = (n - (size - 1) * dilation for n in x.shape[:2])
    y = np.zeros((-(-rows // stride), -(-columns // stride), kernel.shape[3]))
    for i, j in np.ndindex(y.shape[:2]):
        for a, b in np.ndindex(size, size):
            y[i, j] += x[i * stride + a * dilation, j * stride + b * dilation] @ kernel[a, b]
    return y


@pytest.mark.parametrize(("stride", "dilation"), [(2, 1), (1, 2)])
@pytest.mark.parametrize("style", ["pytorch", "caffe"])
def test_a_bottleneck_is_what_its_definition_says(style, stride, dilation):
    x = np.random.default_rng(0).standard_normal((1, 7, 9, 6))
    block = Bottleneck(4, stride, dilation, dilation, FROZEN, stride_first=style == "caffe")
    values = filled(block, jnp.asarray(x, jnp.float32))
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), values["params"])
    stats = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), values["batch_stats"])

    def norm(y, name):
        p, s = params[name], stats[name]
        return (y - s["mean"]) / np.sqrt(s["var"] + 1e-5) * p["scale"] + p["bias"]

    def convolution(y, name, stride=1, dilation=1):
        return numpy_convolution(y, params[name]["kernel"], stride, dilation)

    early, late = (stride, 1) if style == "caffe" else (1, stride)
    y = np.maximum(norm(convolution(x[0], "conv1", early), "bn1"), 0)
    y = np.maximum(norm(convolution(y, "conv2", late, dilation), "bn2"), 0)
    y = norm(convolution(y, "conv3"), "bn3")
    beside = norm(convolution(x[0], "downsample_conv", stride), "downsample_bn")
    found = block.apply(values, jnp.asarray(x, jnp.float32))[0]
    np.testing.assert_allclose(found, np.maximum(y + beside, 0), rtol=1e-4, atol=1e-5)


def test_fixed_statistics_in_the_kernels_and_a_loop_of_blocks_change_no_output_and_no_gradient(
    monkeypatch,
):
    monkeypatch.setitem(resnet.LAYERS, "resnet50", (1, 2, 1 + resnet.LOOPED, 1))
    image = np.random.default_rng(1).standard_normal((1, 33, 41, 3)).astype(np.float32)
    values = filled(ResNet("resnet50", width=0.125), image)
    texts, found = [], []
    for kind in ("sync", "frozen"):  # both by the running statistics, where nothing is trained

        def loss(params, kind=kind):
            network = ResNet("resnet50", width=0.125, batch_norm=kind, axis_name=None)
            levels = network.apply(values | {"params": params}, image)
            return sum((level * jnp.cos(level)).mean() for level in levels)

        found.append(jax.jit(jax.value_and_grad(loss))(values["params"]))
        texts.append(str(jax.make_jaxpr(loss)(values["params"])))
    assert "scan" in texts[1] and "scan" not in texts[0]
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-6), *found)


def test_a_training_step_keeps_the_statistics_of_blocks_in_a_loop():
    network = ResNet("resnet50", width=0.125, batch_norm="frozen")
    image = jnp.zeros((1, 32, 32, 3))
    values = jax.eval_shape(network.init, jax.random.key(0), image)
    apply = partial(network.apply, train=True, mutable=["batch_stats"])
    _, updated = jax.eval_shape(apply, values, image)
    assert updated["batch_stats"] == values["batch_stats"]


def test_the_first_block_of_a_dilated_layer_is_dilated_by_style():
    assert layer_plan(8, "caffe") == [(1, 1, 1), (2, 1, 1), (1, 2, 2), (1, 4, 4)]
    assert layer_plan(8, "pytorch") == [(1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)]
    assert layer_plan(16, "caffe") == [(1, 1, 1), (2, 1, 1), (2, 1, 1), (1, 2, 2)]


@pytest.mark.parametrize(
    ("style", "size", "expected"),
    [
        ("caffe", (720, 1280), (91, 161)),
        ("caffe", (512, 1024), (65, 129)),
        ("caffe", (321, 321), (41, 41)),
        ("pytorch", (720, 1280), (90, 160)),
        ("pytorch", (321, 321), (41, 41)),
    ],
)
def test_output_sizes_are_the_published_ones(style, size, expected):
    network = ResNet("resnet101", style)
    image = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    levels, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), image)
    earlier, last = levels[-2:]
    assert earlier.shape == (1, *expected, 1024)
    assert last.shape == (1, *expected, 2048)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("size", [(1, 2), (6, 7), (9, 12)])
def test_max_pooling_takes_the_largest_of_each_window(ceil_mode, size):
    x = -np.random.default_rng(0).random((2, *size, 3)).astype(np.float32)
    pooled = np.asarray(max_pool(jnp.asarray(x), ceil_mode))
    rounding = np.ceil if ceil_mode else np.floor
    rows, columns = (int(rounding((length - 1) / 2)) + 1 for length in size)
    assert pooled.shape == (2, rows, columns, 3)
    for row in range(rows):
        for column in range(columns):
            window = x[
                :, max(2 * row - 1, 0) : 2 * row + 2, max(2 * column - 1, 0) : 2 * column + 2
            ]
            np.testing.assert_array_equal(pooled[:, row, column], window.max((1, 2)))
