"""Every image once, in order, in batches that the networks can take."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labor_jax.data.domain import Domain, Headers
from labor_jax.infer.batches import CANVASES, canvases, inferred

SIZE = (8, 10)


def of_sizes(sizes, known=True):
    """Images whose number can be read off any pixel; their labels must not be read."""

    def refuse(index):
        raise AssertionError(f"the label of image {index} was read")

    return Domain(
        "streets",
        tuple(map(str, range(len(sizes)))),
        lambda index: np.full((*sizes[index], 3), index, np.uint8),
        refuse,
        headers=(lambda index: Headers(sizes[index])) if known else None,
    )


def run(domain, batch_size):
    """The batches, and what comes of each image: its number and its native size."""
    batches = []

    def infer(batch):
        batches.append(batch)
        sizes = [batch.canvas] * len(batch.images) if batch.natives is None else batch.natives
        return list(zip(batch.images[:, 0, 0, 0].tolist(), map(tuple, sizes), strict=True))

    return batches, list(inferred(domain, SIZE, batch_size, infer))


def test_inference_goes_through_all_images_once_in_order():
    batches, found = run(of_sizes([SIZE] * 6), 4)
    assert [batch.indices for batch in batches] == [[0, 1, 2, 3], [4, 5]]
    assert all(batch.images.shape == (4, *SIZE, 3) for batch in batches), "the last is filled up"
    assert found == [(index, (index, SIZE)) for index in range(6)]


@pytest.mark.parametrize("known", [True, False])
def test_images_of_a_few_sizes_are_batched_by_size_and_come_in_order(known):
    sizes = [(8, 10), (8, 10), (16, 20), (8, 10)]
    batches, found = run(of_sizes(sizes, known), 4)
    assert sorted(batch.indices for batch in batches) == [[0, 1, 3], [2]]
    assert all(batch.natives is None for batch in batches)
    assert found == [(index, (index, size)) for index, size in enumerate(sizes)]


def test_images_of_many_sizes_share_a_few_canvases_and_come_in_order():
    draw = np.random.default_rng(0)
    sizes = [tuple(size) for size in draw.integers(5, 60, (200, 2)).tolist()]
    batches, found = run(of_sizes(sizes), 4)
    assert found == [(index, (index, size)) for index, size in enumerate(sizes)]
    shapes = {(batch.canvas, batch.images.shape) for batch in batches}
    assert len(shapes) <= CANVASES and len(batches) <= 200 / 4 + 2 * CANVASES


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), max_size=30))
def test_a_canvas_holds_its_images_and_few_sizes_are_their_own(sizes):
    found = canvases(sizes)
    assert set(found) == set(sizes) and len(set(found.values())) <= CANVASES
    assert all(h <= high and w <= wide for (h, w), (high, wide) in found.items())
    if len(set(sizes)) <= CANVASES:
        assert all(size == canvas for size, canvas in found.items())


def test_one_large_image_and_upright_ones_have_canvases_of_their_own():
    small = [(60 + n, 80) for n in range(9)]
    upright = [(w, h) for h, w in small]
    found = canvases([*small, *upright, (400, 600)])
    assert found[400, 600] == (400, 600) and found[60, 80][0] < 80 and found[80, 60][1] < 80
