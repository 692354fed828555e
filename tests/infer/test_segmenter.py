"""`labor_jax.load`: the segmenter in other programs."""

import numpy as np
import pytest

import labor_jax
from labor_jax.data.transforms import resize_image
from labor_jax.infer import restore
from labor_jax.util.errors import UserError


@pytest.fixture(scope="module")
def segmenter(finished):
    return labor_jax.load(finished)


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(0, 256, (60, 50, 3), np.uint8)


def test_predict_gives_what_the_run_gives_for_the_image_as_the_network_sees_it(
    segmenter, photo, finished
):
    run = restore.restore(finished)
    wanted = run.predict(resize_image(photo, run.config.input.size)[None], photo.shape[:2])[0]
    labels = segmenter.predict(photo)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, wanted)
    assert segmenter.classes == run.table.names and segmenter.palette == run.table.palette
    assert segmenter.size == run.config.input.size == (48, 64)


def test_the_most_likely_class_is_the_one_predicted(segmenter, photo):
    shares = segmenter.probabilities(photo)
    assert shares.shape == (60, 50, len(segmenter.classes)) and shares.dtype == np.float32
    np.testing.assert_allclose(shares.sum(-1), 1, atol=1e-5)
    assert (shares.argmax(-1) == segmenter.predict(photo)).mean() > 0.999  # but for ties


def test_probabilities_are_averaged_over_views_and_mirror_images(finished, photo):
    seen = resize_image(photo, (48, 64))[None]
    plain = restore.restore(finished)
    both = restore.restore(finished, {"flip": True})
    mirrored = plain.probabilities(seen[:, :, ::-1], (48, 64))[:, :, ::-1]
    wanted = (plain.probabilities(seen, (48, 64)) + mirrored) / 2
    np.testing.assert_allclose(both.probabilities(seen, (48, 64)), wanted, atol=1e-6)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 5), np.uint8),
        np.zeros((4, 5, 4), np.uint8),
        np.zeros((4, 5, 3), np.float32),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_refused_with_its_shape(segmenter, image):
    with pytest.raises(ValueError, match=r"an image is \[H, W, 3\] uint8 RGB, not \("):
        segmenter.predict(image)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="no run in"):
        labor_jax.load(tmp_path)
