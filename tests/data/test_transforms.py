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
    plain = {"crop": (), "scale": (1.0, 1.0), "flip": False}
    plain |= {"jitter": 0.0, "hue": 0.0, "jittered": 1.0, "grey": 0.0, "blur": 0.0}
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


def numbered(height, width):
    """An image each of whose pixels tells its own row and column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.full_like(rows, 200)], -1).astype(np.uint8)


@given(st.integers(1, 14), st.integers(1, 14), st.integers(0, 99))
def test_a_crop_at_zoom_1_is_a_piece_of_the_image_pixel_by_pixel(height, width, seed):
    image, label = numbered(9, 11), np.zeros((9, 11), np.uint8)
    config = make_config(crop=(height, width))
    view = transforms.augment(np.random.default_rng(seed), image, label, config, (9, 11))
    assert view["image"].shape == (height, width, 3) and view["label"].shape == (height, width)
    inside = view["label"] != 255
    assert inside.sum() == min(height, 9) * min(width, 11)
    assert (view["image"][~inside] == 0).all()
    rows, columns = np.nonzero(inside)
    found = view["image"][inside]
    assert (found[:, 0] - rows == found[0, 0] - rows[0]).all()
    assert (found[:, 1] - columns == found[0, 1] - columns[0]).all()


@pytest.mark.parametrize(("zoom", "seen"), [(1.0, 16), (2.0, 8), (0.5, 32)])
def test_a_crop_shows_the_image_as_large_as_the_whole_zoomed_image_would(zoom, seen):
    # The image is twice as large as the network sees it, so a crop of 8 is 16 of its pixels.
    image = numbered(64, 48)
    config = make_config(scale=(zoom, zoom), crop=(8, 4))
    for seed in range(5):
        view = transforms.augment(
            np.random.default_rng(seed), image, image[..., 2] * 0, config, (32, 24)
        )
        rows, columns = view["image"][..., 0].astype(int), view["image"][..., 1].astype(int)
        np.testing.assert_allclose(np.diff(rows, axis=0), seen / 8, atol=1)
        np.testing.assert_allclose(np.diff(columns, axis=1), seen / 8, atol=1)


def test_a_crop_as_large_as_the_image_is_the_view_without_a_crop():
    draw = np.random.default_rng(0)
    image = draw.integers(0, 255, (20, 31, 3)).astype(np.uint8)
    label = draw.integers(0, 5, (20, 31)).astype(np.uint8)
    for seed in range(20):
        whole, crop = (
            transforms.augment(
                np.random.default_rng(seed),
                image,
                label,
                make_config(scale=(0.5, 2.0), crop=crop, flip=True, jitter=0.3),
                (15, 22),
            )
            for crop in ((), (15, 22))
        )
        assert all(np.array_equal(whole[name], crop[name]) for name in whole)


def test_source_images_have_a_size_of_their_own_and_crops_of_the_same_size():
    config = ml_collections.ConfigDict({"size": (32, 40), "source_size": (), "crop": ()})
    assert transforms.view_size(config, "source") == transforms.view_size(config, "target")
    config.source_size = (48, 64)
    assert transforms.view_size(config, "source") == (48, 64)
    assert transforms.view_size(config, "target") == (32, 40)
    config.crop = (16, 24)
    assert transforms.view_size(config, "source") == transforms.view_size(config, "target")
    assert transforms.full_size(config, "source") == (48, 64)


@given(st.floats(0.4, 1.6), st.integers(0, 99))
def test_a_view_with_its_own_colours_tells_what_is_outside_the_image(zoom, seed):
    draw = np.random.default_rng(seed)
    image = draw.integers(1, 255, (12, 20, 3)).astype(np.uint8)
    label = draw.choice([0, 3, 255], (12, 20)).astype(np.uint8)
    config = make_config(scale=(zoom, zoom), crop=(10, 14), flip=True, jitter=0.4, grey=0.5)
    view = transforms.augment(
        np.random.default_rng(seed), image, label, config, (12, 20), keep_colours=True
    )
    assert view["inside"].shape == (10, 14) and view["inside"].dtype == bool
    assert (view["label"][~view["inside"]] == 255).all()
    plain = make_config(scale=(zoom, zoom), crop=(10, 14), flip=True)
    without = transforms.augment(np.random.default_rng(seed), image, label, plain, (12, 20))
    np.testing.assert_array_equal(view["image"], without["image"])
    np.testing.assert_array_equal(view["label"], without["label"])
    dense = transforms.augment(np.random.default_rng(seed), image, label * 0, plain, (12, 20))
    np.testing.assert_array_equal(view["inside"], dense["label"] == 0)


@pytest.mark.parametrize(
    ("adapt", "weak"), [("adversarial", False), ("none", False), ("teacher", True), ("both", True)]
)
def test_with_a_teacher_only_the_targets_views_keep_their_colours(adapt, weak):
    config = ml_collections.ConfigDict({"adapt": adapt})
    assert transforms.keeps_colours(config, "target") == weak
    assert not transforms.keeps_colours(config, "source")


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


# --------------------------------------------------------------------------------- flip


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


def test_a_view_is_a_function_of_its_generator():
    draw = np.random.default_rng(0)
    image = draw.integers(0, 255, (20, 30, 3)).astype(np.uint8)
    label = draw.integers(0, 5, (20, 30)).astype(np.uint8)
    config = make_config(scale=(0.8, 1.6), crop=(16, 20), flip=True, jitter=0.2, grey=0.5)
    first, again, other = (
        transforms.augment(np.random.default_rng(seed), image, label, config, (16, 24))
        for seed in (7, 7, 8)
    )
    for name in ("image", "label"):
        np.testing.assert_array_equal(first[name], again[name])
        assert (first[name] != other[name]).any()
        assert first[name].flags.c_contiguous and first[name].dtype == np.uint8
