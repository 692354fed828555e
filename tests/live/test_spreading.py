"""Pseudo answers: which pixels get the answer of a similar one."""

import numpy as np
import pytest

from labor_jax.live import spreading


def by_hand(features, answered, number, above):
    """The definition, pixel by pixel: {pixel: answer}."""
    cosine = [
        [float(a @ f / np.linalg.norm(a) / np.linalg.norm(f)) for f in features] for a in answered
    ]
    reached = {}
    for answer, row in enumerate(cosine):
        for pixel in sorted(range(len(row)), key=lambda i: -row[i])[:number]:
            if row[pixel] > above:
                reached.setdefault(pixel, []).append((row[pixel], answer))
    return {pixel: max(found)[1] for pixel, found in sorted(reached.items())}


@pytest.mark.parametrize("number", [1, 3, 40])
def test_each_answer_reaches_the_pixels_most_like_it_and_the_most_similar_one_counts(number):
    random = np.random.default_rng(0)
    features = random.standard_normal((30, 4)).astype(np.float32)
    answered = random.standard_normal((5, 4)).astype(np.float32)
    pixels, answers = spreading.spread(features, answered, number, above=0.3)
    expected = by_hand(features, answered, number, above=0.3)
    assert len(expected) > 3 and len(set(expected.values())) > 2
    assert dict(zip(pixels.tolist(), answers.tolist(), strict=True)) == expected
    assert pixels.tolist() == sorted(pixels.tolist())


def test_no_pixel_is_reached_that_is_not_like_an_answer():
    answered = np.array([[1, 0]], np.float32)
    features = np.array([[0, 1], [-1, 0], [0, 0], [2, 0.1]], np.float32)
    pixels, answers = spreading.spread(features, answered, 4)
    assert (pixels.tolist(), answers.tolist()) == ([3], [0])
    assert not len(spreading.spread(features[:3], answered, 4)[0])
    assert not len(spreading.spread(features[:0], answered, 4)[0])


@pytest.mark.parametrize("size", [(360, 480), (480, 360), (1024, 2048), (100, 3000), (5, 7)])
def test_the_pixels_that_may_be_reached_lie_evenly_in_the_image(size):
    rows, columns = np.divmod(spreading.grid(size), size[1])
    assert len(rows) == len(set(zip(rows.tolist(), columns.tolist(), strict=True)))
    assert rows.min() >= 0 and rows.max() < size[0] and columns.max() < size[1]
    assert abs(len(rows) - min(spreading.PLACES, size[0] * size[1])) < 0.15 * spreading.PLACES
    for places, length in ((rows, size[0]), (columns, size[1])):
        steps = np.diff([-1, *sorted(set(places.tolist())), length])
        assert steps.max() <= 2 * max(1, np.sqrt(size[0] * size[1] / spreading.PLACES))
