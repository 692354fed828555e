import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from ml_collections import ConfigDict
from support.filling import filled, fresh

from labor_jax.models.build import build_segmenter, build_selector
from labor_jax.models.deeplab_v2 import DeepLabHead
from labor_jax.models.normalise import normalise
from labor_jax.models.selector import selector_from_segmenter
from labor_jax.util.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 40, 56, 3), np.uint8)


def config(**changes) -> ConfigDict:
    defaults = {
        "backbone": "resnet18",
        "head": "deeplab_v2",
        "style": "pytorch",
        "width": 0.125,
        "output_stride": 8,
        "dilations": (1, 2),
        "batch_norm": "sync",
        "remat": False,
        "dtype": "float32",
    }
    return ConfigDict(defaults | changes)


def test_the_head_is_a_sum_of_dilated_convolutions():
    """Dilations 6 and 9 reach past the 5x8 map in one and in both directions."""
    features = np.random.default_rng(0).standard_normal((2, 5, 8, 6)).astype(np.float32)
    head = DeepLabHead(3, (1, 2, 6, 9))
    params = head.init(jax.random.key(0), features)["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape, np.float32), params)
    expected = sum(
        lax.conv_general_dilated(
            features,
            params[f"branch_{i}"]["kernel"],
            (1, 1),
            [(dilation, dilation)] * 2,
            rhs_dilation=(dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        + params[f"branch_{i}"]["bias"]
        for i, dilation in enumerate((1, 2, 6, 9))
    )
    np.testing.assert_allclose(head.apply({"params": params}, features), expected, atol=1e-4)


def test_fresh_heads_have_small_weights_and_no_bias():
    params = fresh(DeepLabHead(11, (6,)), jnp.ones((1, 2, 2, 64)))["params"]
    np.testing.assert_allclose(params["branch_0"]["kernel"].std(), 0.01, rtol=0.05)
    assert not params["branch_0"]["bias"].any()


def test_images_are_normalised_as_each_style_was_trained():
    red = np.zeros((1, 1, 1, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_allclose(
        normalise(red, "caffe")[0, 0, 0],
        [-104.00698793, -116.66876762, 255 - 122.67891434],
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        normalise(red, "pytorch")[0, 0, 0],
        [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225],
        rtol=1e-5,
    )
    np.testing.assert_allclose(normalise(red, "tensorflow")[0, 0, 0], [1, -1, -1])


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v2"])
def test_computing_in_bfloat16_leaves_parameters_and_logits_float32(backbone):
    network = build_segmenter(config(backbone=backbone, dtype="bfloat16"), 5)
    output, values = jax.eval_shape(network.init_with_output, jax.random.key(0), IMAGES)
    assert output["main"].dtype == output["aux"].dtype == jnp.float32
    assert output["features"].dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(values)} == {np.dtype("float32")}


def test_both_heads_share_the_resolution_of_the_output_stride():
    for stride, size in ((8, (5, 7)), (16, (3, 4))):
        network = build_segmenter(config(output_stride=stride), 5)
        output, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), IMAGES)
        assert output["main"].shape == output["aux"].shape == (2, *size, 5)
        assert output["features"].shape == (2, *size, 64)


@pytest.mark.parametrize("style", ["caffe", "pytorch", "tensorflow"])
def test_uint8_and_float_images_are_the_same_images(style):
    from_floats = normalise(IMAGES.astype(np.float32), style)
    np.testing.assert_array_equal(normalise(IMAGES, style), from_floats)


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v2"])
def test_a_selector_made_from_a_segmenter_starts_with_its_main_logits(backbone):
    segmenter = build_segmenter(config(backbone=backbone), 5)
    selector = build_selector(config(backbone=backbone), 5)
    learnt, new = filled(segmenter, IMAGES), filled(selector, IMAGES, seed=1)
    made = selector_from_segmenter(learnt, new)
    assert jax.tree.structure(made) == jax.tree.structure(new)

    wanted = jax.jit(segmenter.apply)(learnt, IMAGES)
    output = jax.jit(selector.apply)(made, IMAGES)
    np.testing.assert_allclose(output["c1"], wanted["main"], atol=1e-6)
    assert np.abs(output["c2"] - output["c1"]).max() > 1e-3
    np.testing.assert_array_equal(
        made["params"]["c2"]["branch_0"]["kernel"], new["params"]["c2"]["branch_0"]["kernel"]
    )


def test_heads_alone_give_no_gradient_to_the_backbone():
    selector = build_selector(config(batch_norm="frozen"), 5)
    values = filled(selector, IMAGES)

    def difference(params):
        changed = {**values, "params": params}
        features = lax.stop_gradient(selector.apply(changed, IMAGES)["seen"])
        heads = selector.apply(changed, features, method="heads")
        return jnp.abs(heads["c1"] - heads["c2"]).mean()

    gradient = jax.jit(jax.grad(difference))(values["params"])
    assert not any(leaf.any() for leaf in jax.tree.leaves(gradient["backbone"]))
    assert all(leaf.any() for leaf in jax.tree.leaves(gradient["c1"]["branch_0"]))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("backbone", "vgg16"),
        ("style", "tensorflow"),
        ("output_stride", 4),
        ("batch_norm", "local"),
        ("dtype", "int8"),
    ],
)
def test_an_unknown_value_is_refused_by_the_name_of_its_key(key, value):
    with pytest.raises(UserError, match=f"model.{key} is {value!r}: use one of"):
        build_segmenter(config(**{key: value}), 5)
