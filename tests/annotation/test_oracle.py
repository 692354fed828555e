"""The simulated annotator answers what is asked and nothing more."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labor_jax.annotation import journal, oracle
from labor_jax.annotation import queries as q
from labor_jax.selection.segments import components, run_pixels
from labor_jax.util.errors import UserError

SIZE = (5, 6)
TRUTH = hnp.arrays(np.uint8, SIZE, elements=st.sampled_from([0, 1, 2, 255]))
SELECTED = hnp.arrays(np.uint8, SIZE, elements=st.integers(0, 1))
MASK = hnp.arrays(bool, SIZE)


@given(TRUTH, SELECTED, MASK)
def test_segments_are_answered_with_the_truth_and_only_there(truth, selected, mask):
    query = q.segment_query("a", 1, SIZE, components(selected, mask))
    label = journal.label_map(oracle.annotate(query, truth), SIZE)
    np.testing.assert_array_equal(label, np.where(mask, truth, 255))


@given(TRUTH, SELECTED, MASK)
def test_each_part_of_a_segment_is_one_class_and_asked_once(truth, selected, mask):
    query = q.segment_query("a", 1, SIZE, components(selected, mask))
    answers = oracle.annotate(query, truth)
    seen = np.zeros(truth.size, int)
    for entry in answers:
        pixels = run_pixels(entry["runs"])
        assert set(truth.flat[pixels].tolist()) == {entry["class"]}
        assert set(pixels) <= set(run_pixels(query["segments"][entry["piece"]]))
        seen[pixels] += 1
    np.testing.assert_array_equal(seen, mask.ravel())


def test_a_segment_of_two_classes_has_a_part_for_each_connected_region():
    truth = np.array([[1, 1, 2, 1, 1]], np.uint8)
    query = q.segment_query("a", 1, (1, 5), np.ones((1, 5), np.int32))
    answers = oracle.annotate(query, truth)
    assert sorted((a["class"], tuple(a["runs"])) for a in answers) == [
        (1, (0, 2)),
        (1, (3, 2)),
        (2, (2, 1)),
    ]


def test_points_are_answered_at_x_and_y():
    truth = np.arange(30, dtype=np.uint8).reshape(SIZE)
    truth[4, 5] = 255
    answers = oracle.annotate(q.point_query("a", 1, SIZE, [(2, 3), (4, 5)]), truth)
    assert [(a["piece"], a["class"], a["point"]) for a in answers] == [
        (0, 2 * 6 + 3, [3, 2]),
        (1, 255, [5, 4]),
    ]


def test_nothing_asked_is_nothing_answered():
    truth = np.zeros(SIZE, np.uint8)
    assert oracle.annotate(q.point_query("a", 1, SIZE, []), truth) == []
    assert oracle.annotate(q.segment_query("a", 1, SIZE, np.zeros(SIZE, int)), truth) == []


def test_a_truth_of_another_size_is_refused_by_name():
    query = q.point_query("street", 1, SIZE, [(0, 0)])
    with pytest.raises(UserError, match="street: its label is 5x6, but was 6x5"):
        oracle.annotate(query, np.zeros((6, 5), np.uint8))


def test_a_segment_that_is_asked_whole_gets_the_class_of_most_of_it_with_one_click():
    truth = np.array([[1, 1, 2, 2, 2], [255, 255, 255, 0, 3]], np.uint8)
    segments = np.array([[1] * 5, [2, 2, 2, 2, 3]], np.int32)
    query = q.segment_query("a", 1, truth.shape, segments, whole=True)
    answers = oracle.annotate(query, truth)
    assert [entry["class"] for entry in answers] == [2, 255, 3]
    assert [entry["runs"] for entry in answers] == query["segments"]
    assert journal.open_pieces(query, answers) == []
    noisy = oracle.annotate_noisily(query, truth, 4, 0.99, 1.0, np.random.default_rng(0))
    assert noisy[0]["class"] != 2 and noisy[1]["class"] == 255
