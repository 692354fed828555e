"""Windows, flips and resizing: what happens to an image happens to its label."""

import itertools

import ml_collections
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labor_jax.data import transforms

SIDES = st.integers(1, 12)


def make_config(**values):
    plain = {"scale": (1.0, 1.0), "flip": False, "jitter": 0.0}
    return ml_collections.ConfigDict(plain | values)


# -------------------------------------------------------------------------------------- windows


@given(SIDES, SIDES, st.floats(0.5, 3), st.integers(0, 99))
def test_a_window_lies_inside_the_image_or_around_it(height, width, zoom, seed):
    window = transforms.random_window(
        np.random.default_rng(seed), (height, width), (min(zoom, 1), max(zoom, 1))
    )
    for start, length, side in (
        (window.top, window.height, height),
        (window.left, window.width, width),
    ):
        assert length >= 1
        assert min(0, side - length) <= start <= max(0, side - length)


def test_every_place_of_a_window_occurs():
    windows = [
        transforms.random_window(np.random.default_rng(seed), (4, 6), (2.0, 2.0))
        for seed in range(200)
    ]
    assert {(w.height, w.width) for w in windows} == {(2, 3)}
    assert {w.top for w in windows} == {0, 1, 2}
    assert {w.left for w in windows} == {0, 1, 2, 3}


@given(hnp.arrays(np.uint8, st.tuples(SIDES, SIDES)), st.floats(0.3, 3), st.integers(0, 99))
def test_what_lies_outside_the_image_is_filled(array, zoom, seed):
    window = transforms.random_window(np.random.default_rng(seed), array.shape, (zoom, zoom))
    out = transforms.cut(array, window, fill=255)
    assert out.shape == (window.height, window.width)
    for y, x in np.ndindex(out.shape):
        row, column = y + window.top, x + window.left
        inside = 0 <= row < array.shape[0] and 0 <= column < array.shape[1]
        assert out[y, x] == (array[row, column] if inside else 255)


def test_zooming_out_surrounds_the_image_with_black_and_the_label_with_void():
    image, label = np.full((8, 8, 3), 100, np.uint8), np.zeros((8, 8), np.uint8)
    view = transforms.augment(
        np.random.default_rng(0), image, label, make_config(scale=(0.5, 0.5)), (16, 16)
    )
    assert (view["label"] == 0).sum() == 64
    np.testing.assert_array_equal(view["image"].max(-1) == 0, view["label"] == 255)


# ------------------------------------------------------------------------------------- resizing


def spread(label):
    """A label as a picture: each class a grey of its own, void black."""
    grey = np.where(label == 255, 0, 20 + 40 * label)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


@given(st.integers(0, 10**6), st.sampled_from([0.5, 1.0, 1.7]))
def test_labels_stay_aligned_with_their_image(seed, zoom):
    draw = np.random.default_rng(seed)
    label = np.kron(draw.integers(0, 5, (3, 4)), np.ones((8, 8), int)).astype(np.uint8)
    config = make_config(scale=(zoom, zoom), flip=True)
    view = transforms.augment(draw, spread(label), label, config, (48, 64))
    expected = spread(view["label"])[..., 0]
    inside = np.ones(expected.shape, bool)  # away from edges, which bilinear resizing blurs
    for shift in itertools.product(range(-4, 5), repeat=2):
        inside &= np.roll(expected, shift, (0, 1)) == expected
    assert inside.any()
    np.testing.assert_array_equal(view["image"][..., 0][inside], expected[inside])


@given(hnp.arrays(np.uint8, st.tuples(SIDES, SIDES)), SIDES, SIDES)
def test_a_larger_label_shows_every_pixel_and_no_other_value(label, more, wider):
    size = (label.shape[0] + more, label.shape[1] + wider)
    out = transforms.resize_label(label, size)
    assert out.shape == size
    assert set(out.ravel().tolist()) == set(label.ravel().tolist())


@given(
    st.tuples(SIDES, SIDES),
    st.integers(0, 11),
    st.integers(0, 11),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11), st.integers(0, 9)), max_size=20),
)
def test_shrinking_loses_a_click_only_to_another_in_the_same_cell(size, less, thinner, clicks):
    height, width = max(1, size[0] - less), max(1, size[1] - thinner)
    label = np.full(size, 255, np.uint8)
    for y, x, value in clicks:
        label[y % size[0], x % size[1]] = value
    out = transforms.resize_label(label, (height, width))
    cells = {}
    for y, x in zip(*np.nonzero(label != 255), strict=True):
        cell = int((y + 0.5) * height / size[0]), int((x + 0.5) * width / size[1])
        cells.setdefault(cell, set()).add(int(label[y, x]))
    for cell in np.ndindex(height, width):
        if cell in cells:
            assert out[cell] in cells[cell]
        else:
            assert out[cell] == 255


def test_a_cell_takes_the_click_nearest_to_its_centre():
    label = np.full((6, 6), 255, np.uint8)
    label[0, 0], label[0, 1] = 1, 2  # cell (0, 0) is 3x3 with its centre at (1, 1)
    assert transforms.resize_label(label, (2, 2)).tolist() == [[2, 255], [255, 255]]


def test_a_dense_label_shrinks_to_the_nearest_pixels():
    label = np.arange(36, dtype=np.uint8).reshape(6, 6)
    np.testing.assert_array_equal(transforms.resize_label(label, (2, 2)), label[1::3, 1::3])


def test_an_image_shrinks_by_area_mean():
    image = np.zeros((4, 4, 3), np.uint8)
    image[::2, ::2] = 200
    assert (transforms.resize_image(image, (2, 2)) == 50).all()


# --------------------------------------------------------------------------------- flip and colour


def test_half_of_the_views_are_flipped_with_their_labels():
    label = np.arange(12, dtype=np.uint8).reshape(3, 4)
    flipped = 0
    for seed in range(100):
        view = transforms.augment(
            np.random.default_rng(seed),
            spread(label % 5),
            label,
            make_config(flip=True),
            (3, 4),
        )
        turned = not np.array_equal(view["label"], label)
        flipped += turned
        np.testing.assert_array_equal(view["label"], label[:, ::-1] if turned else label)
        np.testing.assert_array_equal(view["image"], spread(view["label"] % 5))
    assert 30 < flipped < 70


@pytest.mark.parametrize("strength", [0.0, 0.25])
def test_jitter_changes_colours_within_its_strength(strength):
    image = np.random.default_rng(0).integers(60, 190, (8, 8, 3)).astype(np.uint8)
    views = [transforms.jitter(np.random.default_rng(seed), image, strength) for seed in range(20)]
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
    assert (transforms.jitter(Fixed(), grey, 0.3) == 130).all()


def test_a_view_is_a_function_of_its_generator():
    draw = np.random.default_rng(0)
    image = draw.integers(0, 255, (20, 30, 3)).astype(np.uint8)
    label = draw.integers(0, 5, (20, 30)).astype(np.uint8)
    config = make_config(scale=(0.8, 1.6), flip=True, jitter=0.2)
    first, again, other = (
        transforms.augment(np.random.default_rng(seed), image, label, config, (16, 24))
        for seed in (7, 7, 8)
    )
    for name in ("image", "label"):
        np.testing.assert_array_equal(first[name], again[name])
        assert (first[name] != other[name]).any()
        assert first[name].flags.c_contiguous and first[name].dtype == np.uint8
