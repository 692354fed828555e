"""The highest scores, apart from each other, against plain NumPy."""

import functools

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labor_jax.selection.spacing import dilated, spaced_maxima, window_sums

SIZE = (6, 7)
SCORES = hnp.arrays(np.int8, (2, *SIZE), elements=st.integers(0, 9))  # many are equal
ROWS, COLUMNS = np.indices(SIZE)


@functools.cache
def kernel(number, radius):
    return jax.jit(functools.partial(spaced_maxima, number=number, radius=radius))


def within(row, column, radius):
    return np.maximum(abs(ROWS - row), abs(COLUMNS - column)) <= radius


@pytest.mark.parametrize("radius", [0, 1, 2])
@given(scores=SCORES)
def test_each_point_is_the_highest_that_is_not_near_one_before(radius, scores):
    scores = np.where(scores < 2, -np.inf, scores).astype(np.float32)
    points, found, values = jax.device_get(kernel(12, radius)(scores))
    for score, chosen, there, worth in zip(scores, points, found, values, strict=True):
        left = score.copy()
        for (row, column), is_there, value in zip(chosen, there, worth, strict=True):
            assert is_there == (left.max() > -np.inf)
            if not is_there:
                continue
            assert value == left[row, column] == left.max()
            equal = np.argwhere(left == left.max())
            key = (lambda x: (x[1], x[0])) if radius else tuple
            assert (row, column) == tuple(min(equal.tolist(), key=key))
            left[within(row, column, radius)] = -np.inf


def test_more_points_than_pixels_are_not_asked():
    points, found, _ = spaced_maxima(np.zeros((1, 2, 3), np.float32), number=10, radius=0)
    assert points.shape == (1, 6, 2) and found.all()


@given(hnp.arrays(bool, (2, *SIZE), elements=st.sampled_from([False, False, False, True])))
def test_dilating_closes_what_is_within_the_radius_and_nothing_else(mask):
    for radius in (0, 2):
        expected = np.zeros_like(mask)
        for image, row, column in np.argwhere(mask):
            expected[image] |= within(row, column, radius)
        np.testing.assert_array_equal(dilated(mask, radius), expected)


def test_window_sums_count_nothing_outside_the_image():
    sums = window_sums(np.ones((1, *SIZE, 2), np.float32), 1)
    assert sums.shape == (1, *SIZE, 2)
    assert sums[0, 0, 0].tolist() == [4, 4]
    assert sums[0, 2, 0].tolist() == [6, 6]
    assert sums[0, 2, 3].tolist() == [9, 9]
