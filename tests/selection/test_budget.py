"""Hard budgets: never exceeded, used up, balanced over classes, and in seeded order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labor_jax.selection.budget import cap_segments, keep_first, round_robin, stage_allowance
from labor_jax.selection.segments import components, cut_segments, renumbered

SIZE = (5, 6)
VALUES = hnp.arrays(np.uint8, SIZE, elements=st.integers(0, 2))
MASK = hnp.arrays(bool, SIZE)


@given(st.integers(0, 1000), st.lists(st.integers(0, 400), min_size=1, max_size=6))
def test_a_budget_is_never_exceeded_whatever_each_stage_wants(total, wants):
    used = 0
    for stage, want in enumerate(wants, start=1):
        allowed = stage_allowance(total, used, stage, len(wants))
        assert allowed >= 0
        used += min(want, allowed)
        assert used <= total * stage // len(wants)
    assert used <= total


@given(st.integers(0, 1000), st.integers(1, 6))
def test_stages_that_take_all_they_may_use_the_budget_up(total, stages):
    used = 0
    for stage in range(1, stages + 1):
        used += stage_allowance(total, used, stage, stages)
    assert used == total


def test_what_a_stage_leaves_the_next_may_take():
    assert [stage_allowance(40, 0, stage, 4) for stage in (1, 2, 4)] == [10, 20, 40]


def cap(segments, selected, limit, seed=0, costs=None):
    costs = np.bincount(segments.ravel())[1:] if costs is None else costs
    return cap_segments(segments, selected, limit, np.random.default_rng(seed), costs)


@given(VALUES, MASK, st.integers(1, 6), st.integers(0, 30), st.integers(0, 3))
def test_segments_are_capped_whole_and_in_seeded_order(selected, mask, cell, limit, seed):
    segments = cut_segments(mask, cell)
    kept = cap(segments, selected, limit, seed)
    assert (kept > 0).sum() <= limit
    assert not (kept > 0)[~mask].any()
    np.testing.assert_array_equal(kept, cap(segments, selected, limit, seed))
    for number in range(1, kept.max() + 1):
        original = np.unique(segments[kept == number])
        assert len(original) == 1, "numbers are dense and one a segment"
        np.testing.assert_array_equal(kept == number, segments == original[0])
    left = np.bincount(segments[(kept == 0) & mask], minlength=1)
    room = limit - (kept > 0).sum()
    assert all(size == 0 or size > room for size in left), "what fits is kept"


def test_a_mask_within_the_budget_is_asked_whole():
    selected = np.array([[0, 1, 1], [2, 2, 0]], np.uint8)
    segments = components(selected, np.ones((2, 3), bool))
    kept = cap(segments, selected, 6)
    np.testing.assert_array_equal(kept, segments)


@pytest.mark.parametrize("seed", range(5))
def test_capped_segments_are_balanced_over_classes(seed):
    # Fifty segments of class 0 and ten each of 1 and 2, a pixel each, apart from one another.
    selected, mask = np.zeros((20, 14), np.uint8), np.zeros((20, 14), bool)
    mask[::2, ::2] = True
    selected[::2, 10], selected[::2, 12] = 1, 2
    kept = cap(components(selected, mask), selected, 15, seed)
    assert np.bincount(selected[kept > 0]).tolist() == [5, 5, 5]


def test_another_seed_keeps_other_segments():
    mask = np.zeros((20, 14), bool)
    mask[::2, ::2] = True
    selected = np.zeros(mask.shape, np.uint8)
    segments = components(selected, mask)
    first, second = (cap(segments, selected, 15, seed) > 0 for seed in (0, 1))
    assert (first != second).any()


def test_large_segments_are_met_before_crumbs():
    # Ten blocks of 9 pixels and ninety of 1, apart from one another; room for half of the blocks.
    mask = np.zeros((40, 40), bool)
    mask[1::4, 2::4] = True
    for row in range(0, 40, 4):
        mask[row : row + 3, 1:4] = True
    segments = cut_segments(mask, 4)
    assert sorted(np.bincount(segments.ravel())[1:]) == [1] * 90 + [9] * 10
    large = []
    for seed in range(20):
        kept = cap(segments, np.zeros(mask.shape, np.uint8), 45, seed)
        large.append((np.bincount(kept.ravel())[1:] == 9).sum())
    # A sample of pixels would have half of its pixels in each kind; one of segments, a tenth.
    assert 1.5 < np.mean(large) < 4


@given(VALUES, MASK, st.integers(0, 12), st.integers(0, 3))
def test_segments_that_cost_a_click_each_are_capped_by_their_number(selected, mask, limit, seed):
    segments = cut_segments(mask, 2)
    number = int(segments.max())
    kept = cap(segments, selected, limit, seed, costs=np.ones(number, np.int64))
    assert kept.max() == min(limit, number)


PIECES = hnp.arrays(np.int32, (5, 6), elements=st.integers(0, 7)).map(renumbered)


@given(PIECES, st.randoms(use_true_random=False), st.integers(0, 30))
def test_the_first_pieces_that_fit_are_kept_and_numbered_in_their_order(pieces, draw, limit):
    costs = np.bincount(pieces.ravel())[1:]
    order = np.array(draw.sample(range(len(costs)), len(costs)), np.int64)
    kept = keep_first(pieces, order, costs, limit)
    assert (kept > 0).sum() <= limit
    numbers = [int(kept[pieces == piece + 1].max()) for piece in order]
    assert [n for n in numbers if n] == list(range(1, int(kept.max()) + 1))
    assert all(
        n or costs[p] > limit - (kept > 0).sum() for n, p in zip(numbers, order, strict=True)
    )


def test_owners_take_turns_each_with_its_own_best():
    owner = np.array([7, 7, 9, 9, 7, 7])
    assert round_robin(np.array([4, 2, 0, 1, 3, 5]), owner).tolist() == [4, 2, 0, 3, 1, 5]
