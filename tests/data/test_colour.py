"""Colour augmentation: what it changes, how much and how often."""

import ml_collections
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labor_jax.data import colour

OFF = {"jitter": 0.0, "hue": 0.0, "jittered": 1.0, "grey": 0.0, "blur": 0.0}


def some_image():
    return np.random.default_rng(0).integers(60, 190, (8, 8, 3)).astype(np.uint8)


def luma(image):
    return image @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("strength", [0.0, 0.25])
def test_jitter_changes_colours_within_its_strength(strength):
    image = np.random.default_rng(0).integers(60, 190, (8, 8, 3)).astype(np.uint8)
    views = [colour.jitter(np.random.default_rng(seed), image, strength) for seed in range(20)]
    assert all(view.dtype == np.uint8 and view.shape == image.shape for view in views)
    means = np.array([view.mean() for view in views]) / image.mean()
    if strength:
        assert 1 - 1.1 * strength**0.5 < means.min() < 0.95 and 1.05 < means.max() < 1.7
    else:
        assert all((view == image).all() for view in views)


def test_jitter_of_nothing_but_brightness_scales_grey():
    class Fixed:
        def uniform(self, low, high, number):
            assert (low, high, number) == (-0.3, 0.3, 3)
            return np.array([0.3, 0.0, 0.0])

    grey = np.full((2, 2, 3), 100, np.uint8)
    assert (colour.jitter(Fixed(), grey, 0.3) == 130).all()


@given(st.floats(-0.5, 0.5))
def test_turning_the_hue_leaves_luma_and_grey(turn):
    matrix = colour.hue_matrix(turn)
    np.testing.assert_allclose(matrix @ np.ones(3), 1, atol=1e-5)
    image = some_image().astype(float)
    np.testing.assert_allclose(luma(image @ matrix.T), luma(image), atol=1e-3)


def test_a_turn_of_the_hue_goes_around_the_circle():
    red = np.array([1.0, 0, 0])
    for turn, largest in ((0, 0), (1 / 3, 1), (-1 / 3, 2), (1, 0)):
        assert np.argmax(colour.hue_matrix(turn) @ red) == largest, turn
    np.testing.assert_allclose(
        colour.hue_matrix(0.2) @ colour.hue_matrix(0.3), colour.hue_matrix(0.5), atol=1e-12
    )


@pytest.mark.parametrize(
    ("values", "changed"),
    [
        ({"grey": 0.3}, lambda view, image: (np.ptp(view, axis=-1) == 0).all()),
        ({"blur": 0.3}, lambda view, image: view.std() < image.std()),
        ({"jitter": 0.4, "jittered": 0.3}, lambda view, image: (view != image).any()),
        ({"hue": 0.4, "jittered": 0.3}, lambda view, image: (view != image).any()),
    ],
)
def test_a_share_of_the_views_is_changed_and_the_others_are_not(values, changed):
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)
    config = ml_collections.ConfigDict(OFF | values)
    number = 0
    for seed in range(200):
        view = colour.vary(np.random.default_rng(seed), image, config)
        assert view.dtype == np.uint8 and view.shape == image.shape
        number += (view != image).any() and changed(view, image)
        assert changed(view, image) or (view == image).all()
    assert 40 < number < 80


def test_what_is_switched_off_changes_nothing_and_draws_nothing():
    random, again = np.random.default_rng(3), np.random.default_rng(3)
    view = colour.vary(random, some_image(), ml_collections.ConfigDict(OFF))
    assert (view == some_image()).all()
    assert random.random() == again.random()


def test_a_blur_spreads_a_point_and_keeps_its_sum():
    point = np.zeros((15, 15, 3), np.uint8)
    point[7, 7] = 255
    spread = [colour.blur(point, sigma) for sigma in colour.BLUR]
    assert spread[1][7, 7, 0] < spread[0][7, 7, 0] <= 255
    assert abs(int(spread[1][..., 0].sum()) - 255) < 30
