import jax
import jax.numpy as jnp
import numpy as np
import pytest
from filling import filled

from labor_jax.models.resnet import ResNet, layer_plan, max_pool


@pytest.mark.parametrize(
    ("depth", "style"),
    [("resnet18", "pytorch"), ("resnet50", "pytorch"), ("resnet50", "caffe")],
)
def test_dilated_features_subsampled_are_the_undilated_ones(depth, style):
    image = np.random.default_rng(1).standard_normal((1, 65, 97, 3)).astype(np.float32)
    dense = ResNet(depth, style, width=0.125, output_stride=8)
    sparse = ResNet(depth, style, width=0.125, output_stride=32)
    values = filled(dense, image)
    _, dense_last = jax.jit(dense.apply)(values, image)
    _, sparse_last = jax.jit(sparse.apply)(values, image)
    assert dense_last.shape[1:3] == (9, 13)
    assert sparse_last.shape[1:3] == (3, 4)
    np.testing.assert_allclose(dense_last[:, ::4, ::4], sparse_last, rtol=1e-4, atol=1e-5)


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
    (earlier, last), _ = jax.eval_shape(network.init_with_output, jax.random.key(0), image)
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
