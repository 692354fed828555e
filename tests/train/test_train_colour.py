"""Colours on the device are changed as on the host."""

import functools

import cv2
import jax
import ml_collections
import numpy as np
import pytest

from labor_jax.data import colour as on_host
from labor_jax.train import colour

OFF = {"jitter": 0.0, "hue": 0.0, "jittered": 1.0, "grey": 0.0, "blur": 0.0}


def some_image(seed=0, low=0, high=256):
    draw = np.random.default_rng(seed)
    blocks = draw.integers(low, high, (6, 8, 3))
    return np.kron(blocks, np.ones((4, 4, 1), int)).astype(np.uint8)


class Fixed:
    """A generator that draws what it is told."""

    def __init__(self, *numbers):
        self.numbers = np.array(numbers)

    def uniform(self, low, high, number=None):
        return self.numbers if number else self.numbers[0]


def near(one, other):
    np.testing.assert_allclose(np.asarray(one), np.asarray(other, float), atol=2.5)


@pytest.mark.parametrize(
    "by", [(0.3, 0.0, 0.0), (0.0, -0.4, 0.0), (0.0, 0.0, 0.5), (-0.2, 0.4, -0.5)]
)
def test_jitter_is_the_hosts(by):
    image = some_image()
    wanted = on_host.jitter(Fixed(*by), image, 0.5)
    near(colour.jitter(image.astype(np.float32), *(1 + np.array(by))), wanted)


@pytest.mark.parametrize("turn", [0.0, 0.1, -0.25])
def test_a_turn_of_the_hue_is_the_hosts(turn):
    image = some_image()
    wanted = on_host.turn_hue(Fixed(turn), image, 0.5)
    near(colour.turn_hue(image.astype(np.float32), turn), wanted)


@pytest.mark.parametrize("sigma", [0.15, 0.6, 1.15])
def test_a_blur_is_opencvs(sigma):
    image = some_image().astype(np.float32)
    wanted = cv2.GaussianBlur(image, (9, 9), sigma)
    np.testing.assert_allclose(colour.blur(image, sigma), wanted, atol=0.05)


def test_grey_is_the_hosts():
    image = some_image()
    near(colour.without_colour(image.astype(np.float32)), on_host.without_colour(image))


@pytest.mark.parametrize(
    ("values", "changed"),
    [
        ({"grey": 0.3}, lambda view: np.ptp(view, axis=-1).max() == 0),
        ({"blur": 0.3}, None),
        ({"jitter": 0.4, "hue": 0.2, "jittered": 0.3}, None),
        ({"jitter": 0.4, "jittered": 0.0}, lambda view: False),
    ],
)
def test_a_share_of_the_images_is_changed_each_by_its_own_key(values, changed):
    config, image = ml_collections.ConfigDict(OFF | values), some_image(low=40, high=200)
    vary = jax.jit(jax.vmap(functools.partial(colour.vary, config=config), (0, None)))
    views = np.asarray(vary(jax.random.split(jax.random.key(0), 200), image))
    assert views.dtype == np.uint8
    other = [view for view in views if (view != image).any()]
    assert len(other) == 0 if values.get("jittered") == 0.0 else 40 < len(other) < 80
    if changed:
        assert all(changed(view) for view in other)
    if values.get("jittered") == 0.3:
        assert len({view.tobytes() for view in other}) == len(other)
