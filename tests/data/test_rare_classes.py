"""Source images of rare classes come more often, and the classes are counted once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labor_jax.data import rare_classes
from labor_jax.data.domain import Domain
from labor_jax.util.errors import UserError

PIXELS = hnp.arrays(
    np.int64, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.integers(0, 9)
).filter(np.any)


def labels(*maps):
    """A domain of these label maps, and the images whose labels were read."""
    read = []

    def read_label(index):
        read.append(index)
        return np.array(maps[index], np.uint8)

    ids = tuple(map(str, range(len(maps))))
    return Domain("streets", ids, lambda index: None, read_label), read


@given(PIXELS, st.floats(0.005, 1))
def test_a_class_is_drawn_the_more_often_the_rarer_it_is_and_never_if_no_image_has_it(pixels, t):
    shares, total = rare_classes.class_shares(pixels, t), pixels.sum(0)
    np.testing.assert_allclose(shares.sum(), 1)
    assert (shares[total == 0] == 0).all()
    there = np.argsort(total)[(total == 0).sum() :]
    assert (np.diff(shares[there]) <= 1e-12).all()


def test_the_shares_are_daformers():
    # Frequencies 0.98 and 0.02: softmax of (0.02, 0.98) / 0.5.
    shares = rare_classes.class_shares(np.array([[98, 2, 0]]), 0.5)
    odds = np.exp((0.98 - 0.02) / 0.5)
    np.testing.assert_allclose(shares, [1 / (1 + odds), odds / (1 + odds), 0])


@given(PIXELS, st.integers(0, 10**9), st.integers(0, 99))
def test_the_image_that_is_drawn_has_a_class_and_is_a_function_of_seed_and_row(pixels, row, seed):
    draw = rare_classes.image_of_row(pixels, 0.01, seed)
    image = draw(row)
    assert pixels[image].any()
    assert image == rare_classes.image_of_row(pixels, 0.01, seed)(row)


def test_images_with_the_rare_class_share_its_draws():
    pixels = np.array([[900, 0], [900, 10], [900, 0], [900, 10]])
    draw = rare_classes.image_of_row(pixels, 0.01, seed=0)
    drawn = np.bincount([draw(row) for row in range(400)], minlength=4)
    assert drawn[[0, 2]].sum() == 0  # at this temperature the rare class is always drawn
    assert (drawn[[1, 3]] > 150).all()
    even = rare_classes.image_of_row(pixels, 100.0, seed=0)
    drawn = np.bincount([even(row) for row in range(400)], minlength=4)
    assert (drawn[[0, 2]] > 30).all() and (drawn[[1, 3]] > 110).all()


def test_pixels_are_counted_once_void_apart_and_again_where_the_images_are_others(tmp_path):
    path = tmp_path / "source_pixels.npy"
    domain, read = labels([[0, 1], [1, 255]], [[2, 2], [2, 0]])
    found = rare_classes.counted(domain, 3, path)
    assert found.pixels.tolist() == [[1, 2, 0], [1, 0, 3]] and found.ids == domain.ids
    assert rare_classes.counted(domain, 3, path).pixels.tolist() == found.pixels.tolist()
    assert read == [0, 1]
    assert found.take([1]).pixels.tolist() == [[1, 0, 3]]
    assert rare_classes.counted(labels([[0]])[0], 3, path).pixels.tolist() == [[1, 0, 0]]
    path.write_bytes(path.read_bytes()[:20])
    assert rare_classes.counted(domain, 3, path).pixels.tolist() == found.pixels.tolist()


def test_a_source_without_a_class_is_refused(tmp_path):
    with pytest.raises(UserError, match="streets has a pixel with a class"):
        rare_classes.counted(labels([[255]])[0], 3, tmp_path / "pixels.npy")
