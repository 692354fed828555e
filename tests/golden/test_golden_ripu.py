"""RIPU's scores, losses and selections are the published ones, pixel by pixel."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import golden

from labor_jax.config import default_config
from labor_jax.selection import ripu
from labor_jax.selection.segments import windows
from labor_jax.selection.spacing import NEVER, dilated, spaced_maxima
from labor_jax.train import losses

SIZE = (48, 64)


@pytest.fixture(scope="module")
def reference():
    return golden.load("ripu")


@pytest.fixture(scope="module")
def logits():
    """[1, 48, 64, 19] float32."""
    drawn = 2 * golden.rng("ripu_logits").standard_normal((1, 19, *SIZE))
    return jnp.asarray(golden.nhwc(drawn), jnp.float32)


@pytest.fixture(scope="module")
def labels():
    return golden.rng("ripu_label").integers(0, 19, (1, *SIZE)).astype(np.uint8)


def test_the_scores_of_regions_are_the_published_ones(reference, logits):
    found = jax.jit(ripu.region_score, static_argnums=1)(jax.nn.softmax(logits), 1)
    for value, name in zip(found, ("score", "impurity", "uncertainty"), strict=True):
        np.testing.assert_allclose(value[0], reference[name], rtol=1e-4, atol=1e-6)


def test_the_losses_are_the_published_ones(reference, logits, labels):
    config = default_config()  # with RIPU's threshold, 0.05
    for loss, name in (
        (losses.negative_learning(logits, labels, config), "negative_learning"),
        (losses.local_consistency(logits, labels, config), "local_consistency"),
    ):
        np.testing.assert_allclose(losses.normalise(loss, None), reference[name], rtol=1e-4)


def asked_in_rounds(score, rounds, number, radius, apart):
    """[H, W] bool: the squares asked in rounds, none where the published program has closed."""
    asked = np.zeros(SIZE, bool)
    for _ in range(rounds):
        closed = dilated(jnp.asarray(asked)[None], apart - radius)
        open_ = jnp.where(closed, NEVER, score)
        points, found, _ = spaced_maxima(open_, number=number, radius=apart)
        assert found.all()
        squares = windows(np.asarray(points[0]), radius, SIZE, number, in_pixels=False)
        assert not (asked & (squares > 0)).any()
        asked |= squares > 0
    return asked


def test_a_round_of_regions_selects_the_published_pixels(reference, logits):
    score = ripu.region_score(jax.nn.softmax(logits), 1)[0]
    number = math.ceil(SIZE[0] * SIZE[1] * 0.2 / 5 / 9)
    asked = asked_in_rounds(score, 1, number, radius=1, apart=2)
    np.testing.assert_array_equal(asked, reference["region_selected"])


def test_two_rounds_of_points_select_the_published_pixels(reference, logits):
    score = ripu.point_score(jax.nn.softmax(logits), 2)
    number = math.ceil(40 / 5 / (1280 * 640) * (2048 * 1024))
    asked = asked_in_rounds(score, 2, number, radius=0, apart=2)
    np.testing.assert_array_equal(asked, reference["point_selected"])
    assert asked.sum() == 2 * number
