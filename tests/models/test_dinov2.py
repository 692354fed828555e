"""DINOv2's images of any size, its levels, and what it computes twice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from support.filling import filled

from labor_jax.config import default_config
from labor_jax.models import positions, vision_transformer
from labor_jax.models.build import build_segmenter
from labor_jax.models.dinov2 import PLAIN
from labor_jax.models.vision_transformer import Size, VisionTransformer
from labor_jax.util.errors import UserError

TINY = Size(24, 3, 2)
IMAGE = np.random.default_rng(0).standard_normal((2, 43, 57, 3)).astype(np.float32)


def model(**values) -> ConfigDict:
    c = default_config().model
    c.update({"backbone": "dinov2_small", "output_stride": 14, "head": "linear"} | values)
    return c


def test_an_image_of_any_size_is_padded_on_both_sides_with_zeros():
    network = VisionTransformer(TINY, PLAIN)
    variables = filled(network, IMAGE)
    levels = network.apply(variables, IMAGE)
    assert [level.shape for level in levels] == [(2, 4, 5, 24)] * 4
    whole = np.zeros((2, 56, 70, 3), np.float32)
    whole[:, 6:49, 6:63] = IMAGE
    for level, same in zip(levels, network.apply(variables, whole), strict=True):
        np.testing.assert_array_equal(level, same)


def test_patches_of_sides_of_14_k_and_1_lie_where_logits_are_interpolated():
    image = np.zeros((1, 43, 57, 3), np.float32)
    numbered = image + np.arange(43)[None, :, None, None]
    rows = np.asarray(vision_transformer.padded(numbered, 14))[0, :, 10, 0]
    # A patch's centre is between its pixels 6 and 7.
    np.testing.assert_array_equal(rows.reshape(-1, 14)[:, 6], 14 * np.arange(4))


def test_fewer_levels_are_the_last_ones():
    network = VisionTransformer(TINY, PLAIN)
    variables = filled(network, IMAGE)
    four = network.apply(variables, IMAGE)
    (one,) = network.clone(levels=1).apply(variables, IMAGE)
    np.testing.assert_array_equal(one, four[-1])
    assert not np.allclose(four[-2], four[-1])


def test_the_linear_head_sees_the_levels_alone():
    for levels in (1, 4):
        network = build_segmenter(model(levels=levels), 5)
        image = jax.ShapeDtypeStruct((2, 43, 57, 3), np.uint8)
        out, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), image)
        assert out["features"].shape == (2, 4, 5, 384 * levels)
        assert out["main"].shape == (2, 4, 5, 5)


def test_the_head_of_two_levels_is_told_to_need_them():
    with pytest.raises(UserError, match=r"model\.levels is 1, but deeplab_v2"):
        build_segmenter(model(levels=1, head="deeplab_v2"), 5)


def test_blocks_that_are_computed_twice_have_the_same_gradient():
    network = VisionTransformer(TINY, PLAIN)
    variables = filled(network, IMAGE)

    def gradient(remat: bool):
        def loss(variables):
            return sum(
                jnp.square(x).mean() for x in network.clone(remat=remat).apply(variables, IMAGE)
            )

        return jax.jit(jax.grad(loss))(variables)["params"]["blocks"]

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        gradient(False),
        gradient(True),
    )


def test_bfloat16_is_near_float32_and_leaves_parameters_as_they_are():
    network = build_segmenter(model(dtype="bfloat16"), 5)
    image = jax.ShapeDtypeStruct((1, 28, 28, 3), np.uint8)
    out, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), image)
    assert out["features"].dtype == jnp.bfloat16 and out["main"].dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}
    exact = VisionTransformer(TINY, PLAIN, levels=1)
    variables = filled(exact, IMAGE)
    (wanted,) = exact.apply(variables, IMAGE)
    (rough,) = exact.clone(dtype=jnp.bfloat16).apply(variables, IMAGE)
    assert np.abs(np.asarray(rough, np.float32) - wanted).max() < 0.05 * np.abs(wanted).max()


@pytest.mark.parametrize("kernel", positions.KERNELS)
@pytest.mark.parametrize("size", [1, 5, 26, 37, 60])
def test_positions_that_are_all_alike_stay_so(kernel, size):
    matrix = positions.cubic_matrix(size, 37, kernel)
    assert matrix.shape == (size, 37)
    np.testing.assert_allclose(matrix.sum(1), 1, rtol=1e-6)
