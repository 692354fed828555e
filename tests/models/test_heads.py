"""What each head makes of a backbone's levels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from support.filling import filled

from labor_jax.config import default_config
from labor_jax.models import heads
from labor_jax.models.build import build_segmenter, build_selector
from labor_jax.models.linear import ContextPooling, PooledLinear, features_at, kept
from labor_jax.models.resize import interpolated, upsample
from labor_jax.models.selector import selector_from_segmenter

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), np.uint8)


def model(head: str, **values) -> ConfigDict:
    c = default_config().model
    c.update({"head": head, "width": 0.125, "dilations": (1, 2), "output_stride": 16} | values)
    return c


@pytest.mark.parametrize(
    ("head", "size", "channels"),
    [("deeplab_v2", (4, 6), 64), ("deeplab_v3plus", (16, 24), 128), ("linear", (8, 12), 216)],
)
def test_a_head_has_its_resolution_and_channels(head, size, channels):
    network = build_segmenter(model(head), 5)
    out, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), IMAGES)
    assert out["main"].shape == (2, *size, 5)
    assert out["features"].shape == (2, *size, channels)
    assert ("aux" in out) == (head == "deeplab_v2") == ("aux" in variables["params"])
    assert set(heads.classifiers(head)) == {name for name in ("main", "aux") if name in out}


@pytest.mark.parametrize("head", heads.NAMES)
def test_levels_made_before_give_the_logits_of_their_images(head):
    network = build_segmenter(model(head), 5)
    values = filled(network, IMAGES)
    levels = network.apply(values, IMAGES, method="levels")
    whole, later = jax.jit(network.apply)(values, IMAGES), jax.jit(network.apply)(values, levels)
    np.testing.assert_allclose(later["main"], whole["main"], rtol=1e-4, atol=1e-4)
    assert np.std(whole["main"]) > 0.01


@pytest.mark.parametrize("head", heads.NAMES)
def test_the_selector_shares_all_but_the_classifiers(head):
    segmenter, selector = (build(model(head), 5) for build in (build_segmenter, build_selector))
    learnt, new = filled(segmenter, IMAGES), filled(selector, IMAGES, seed=1)
    made = selector_from_segmenter(learnt, new)
    assert jax.tree.structure(made) == jax.tree.structure(new)
    assert set(made["params"]) <= {"backbone", "neck", "c1", "c2"}
    out, wanted = (
        jax.jit(net.apply)(v, IMAGES) for net, v in ((selector, made), (segmenter, learnt))
    )
    np.testing.assert_allclose(out["c1"], wanted["main"], atol=1e-5)
    seen = segmenter.apply(learnt, IMAGES, method="levels") if head == "linear" else None
    for one, other in zip(
        jax.tree.leaves(out["seen"]), jax.tree.leaves(seen or wanted["features"]), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_fresh_linear_layer_prefers_no_class():
    network = build_segmenter(model("linear"), 5)
    variables = jax.jit(network.init)(jax.random.key(0), IMAGES)
    assert not network.apply(variables, IMAGES)["main"].any()


def test_context_is_the_mean_of_what_is_inside_the_image():
    rng = np.random.default_rng(0)
    sizes = ((18, 22), (9, 11), (5, 6), (3, 3))
    levels = [rng.standard_normal((1, *size, 2)).astype(np.float32) for size in sizes]
    made = np.asarray(ContextPooling().apply({}, levels))[0]
    assert made.shape == (9, 11, 12)
    np.testing.assert_allclose(made[4, 5, :2], levels[0][0, 8:10, 10:12].mean((0, 1)), rtol=1e-5)
    np.testing.assert_array_equal(made[..., 2:4], levels[1][0])
    for index, radius, channels in ((2, 3, slice(8, 10)), (3, 7, slice(10, 12))):
        here = np.asarray(upsample(jnp.asarray(levels[index]), (9, 11)))[0]
        for row, column in ((0, 0), (4, 5), (8, 2)):
            rows = slice(max(0, row - radius), row + radius + 1)
            columns = slice(max(0, column - radius), column + radius + 1)
            expected = here[rows, columns].mean((0, 1))
            np.testing.assert_allclose(made[row, column, channels], expected, rtol=1e-4, atol=1e-5)


def test_levels_that_are_kept_give_the_features_of_all_levels():
    """At a stride of 8 those that are kept have one resolution, as a transformer's have."""
    rng = np.random.default_rng(0)
    dilated = [((18, 22), 2), ((9, 11), 3), ((9, 11), 4), ((9, 11), 5)]
    for shapes, channels in ((dilated, 23), ([((9, 11), 3)] * 4, 12), ([((9, 11), 3)], 3)):
        levels = [rng.standard_normal((1, *size, n)).astype(np.float32) for size, n in shapes]
        whole = ContextPooling().apply({}, levels)
        assert whole.shape == (1, 9, 11, channels)
        np.testing.assert_allclose(ContextPooling().apply({}, kept(levels)), whole, rtol=1e-6)


def pyramid(shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal((2, *size, n)).astype(np.float32) for size, n in shapes]


SHAPES = {
    "pyramid": [((18, 22), 2), ((9, 11), 3), ((5, 6), 4), ((3, 3), 5)],
    "dilated": [((9, 11), 2), ((9, 11), 3), ((9, 11), 4), ((9, 11), 5)],
    "transformer": [((9, 11), 3)] * 4,
    "one level": [((9, 11), 3)],
}


@pytest.mark.parametrize("name", SHAPES)
def test_levels_that_are_mapped_before_they_are_pooled_give_the_logits_of_their_features(name):
    levels = pyramid(SHAPES[name])
    features = ContextPooling().apply({}, levels)
    rng = np.random.default_rng(1)
    kernel = rng.standard_normal((1, 1, features.shape[-1], 6)).astype(np.float32)
    values = {"params": {"kernel": kernel, "bias": np.arange(6, dtype=np.float32)}}
    made = PooledLinear(6).apply(values, levels)
    wanted = features @ kernel[0, 0] + np.arange(6)
    np.testing.assert_allclose(made, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("places", [1, 4, 300])
@pytest.mark.parametrize("name", SHAPES)
def test_features_at_few_or_many_places_are_those_between_cells(name, places):
    levels = pyramid(SHAPES[name])
    rows, columns = np.random.default_rng(2).random((2, places)).astype(np.float32)
    rows[:1], columns[:1] = 1, 0  # a corner
    found = features_at([level[1] for level in levels], rows, columns)
    whole = ContextPooling().apply({}, levels)[1]
    np.testing.assert_allclose(found, interpolated(whole, rows, columns), rtol=1e-4, atol=1e-5)


def test_the_image_branch_of_v3plus_sees_the_whole_image():
    """A change in one corner reaches the opposite one, which no dilated branch does here."""
    network = build_segmenter(model("deeplab_v3plus"), 5)
    values = filled(network, np.zeros((1, 256, 256, 3), np.uint8))
    changed = np.full((1, 256, 256, 3), 90, np.uint8)
    changed[:, :8, :8] = 255
    apply = jax.jit(network.apply)
    plain, other = (
        apply(values, images)["main"] for images in (np.full_like(changed, 90), changed)
    )
    assert (np.asarray(plain)[0, -1, -1] != np.asarray(other)[0, -1, -1]).any()
