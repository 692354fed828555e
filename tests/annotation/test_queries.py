"""Queries: runs of pixels, connected regions, and hard budgets."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labor_jax.annotation import queries as q
from labor_jax.util.errors import UserError

SIZE = (5, 6)
SEGMENTS = hnp.arrays(np.int32, SIZE, elements=st.integers(0, 3))
VALUES = hnp.arrays(np.uint8, SIZE, elements=st.integers(0, 2))
MASK = hnp.arrays(bool, SIZE)


# ----------------------------------------------------------------------------------------- runs


@given(SEGMENTS)
def test_runs_hold_exactly_each_segments_pixels(segments):
    runs = q.label_runs(segments)
    assert len(runs) == segments.max()
    for number, one in enumerate(runs, start=1):
        np.testing.assert_array_equal(q.run_pixels(one), np.flatnonzero(segments == number))


@given(SEGMENTS)
def test_a_run_never_crosses_a_row(segments):
    for runs in q.label_runs(segments):
        for start, length in zip(runs[::2], runs[1::2], strict=True):
            assert length > 0
            assert start // SIZE[1] == (start + length - 1) // SIZE[1]


def test_pixel_runs_end_with_their_rows():
    assert q.pixel_runs(np.array([3, 4, 5, 8, 9, 10, 11]), 5) == [3, 2, 5, 1, 8, 2, 10, 2]
    assert q.pixel_runs(np.zeros(0, int), 5) == []


@given(SEGMENTS)
def test_a_segment_query_asks_the_pixels_of_its_segments(segments):
    query = q.segment_query("a", 1, SIZE, segments)
    assert sorted(q.asked_pixels(query)) == np.flatnonzero(segments).tolist()


def test_a_point_query_asks_the_pixels_of_its_points():
    query = q.point_query("a", 2, SIZE, [(0, 5), (4, 1)])
    assert query["points"] == [[5, 0], [1, 4]]  # x, y
    assert q.asked_pixels(query).tolist() == [5, 4 * 6 + 1]


@pytest.mark.parametrize(
    "query",
    [q.point_query("a", 1, SIZE, []), q.segment_query("a", 1, SIZE, np.zeros(SIZE, np.int32))],
    ids=["points", "segments"],
)
def test_an_empty_query_asks_nothing(query):
    assert q.asked_pixels(query).size == 0


# -------------------------------------------------------------------------------------- regions


def flood(values, mask):
    """8-connected regions of equal value, by walking from pixel to pixel."""
    regions, found = np.zeros(mask.shape, int), 0
    for start in zip(*np.nonzero(mask), strict=True):
        if regions[start]:
            continue
        found += 1
        stack = [start]
        while stack:
            y, x = stack.pop()
            inside = 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1]
            if not inside or not mask[y, x] or regions[y, x] or values[y, x] != values[start]:
                continue
            regions[y, x] = found
            stack += itertools.product((y - 1, y, y + 1), (x - 1, x, x + 1))
    return regions


@given(VALUES, MASK)
def test_components_are_the_connected_regions_of_one_value(values, mask):
    ours, walked = q.components(values, mask), flood(values, mask)
    assert ours.dtype == np.int32
    pairs = set(zip(ours.ravel().tolist(), walked.ravel().tolist(), strict=True))
    # The same regions under other numbers: the numbers are matched one to one.
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
    assert (0, 0) in pairs or mask.all()
    assert sorted(set(ours[mask].tolist())) == list(range(1, ours.max() + 1))


@given(MASK, st.integers(1, 7))
def test_cut_segments_are_the_connected_regions_within_each_cell_of_a_grid(mask, cell):
    ours = q.cut_segments(mask, cell)
    cells = np.add.outer(100 * (np.arange(SIZE[0]) // cell), np.arange(SIZE[1]) // cell)
    walked = flood(cells, mask)
    pairs = set(zip(ours.ravel().tolist(), walked.ravel().tolist(), strict=True))
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
    np.testing.assert_array_equal(ours > 0, mask)


@given(VALUES, MASK)
def test_a_segments_majority_is_its_most_frequent_class(selected, mask):
    segments = q.cut_segments(mask, 3)
    found = q.majority(segments, selected)
    assert len(found) == segments.max()
    for number, most in enumerate(found, start=1):
        counts = np.bincount(selected[segments == number])
        assert counts[most] == counts.max()


# -------------------------------------------------------------------------------------- budgets


@given(st.integers(0, 1000), st.lists(st.integers(0, 400), min_size=1, max_size=6))
def test_a_budget_is_never_exceeded_whatever_each_stage_wants(total, wants):
    used = 0
    for stage, want in enumerate(wants, start=1):
        allowed = q.stage_allowance(total, used, stage, len(wants))
        assert allowed >= 0
        used += min(want, allowed)
        assert used <= total * stage // len(wants)
    assert used <= total


@given(st.integers(0, 1000), st.integers(1, 6))
def test_stages_that_take_all_they_may_use_the_budget_up(total, stages):
    used = 0
    for stage in range(1, stages + 1):
        used += q.stage_allowance(total, used, stage, stages)
    assert used == total


def test_what_a_stage_leaves_the_next_may_take():
    assert [q.stage_allowance(40, 0, stage, 4) for stage in (1, 2, 4)] == [10, 20, 40]


def cap(segments, selected, limit, seed=0, costs=None):
    costs = np.bincount(segments.ravel())[1:] if costs is None else costs
    return q.cap_segments(segments, selected, limit, np.random.default_rng(seed), costs)


@given(VALUES, MASK, st.integers(1, 6), st.integers(0, 30), st.integers(0, 3))
def test_segments_are_capped_whole_and_in_seeded_order(selected, mask, cell, limit, seed):
    segments = q.cut_segments(mask, cell)
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
    segments = q.components(selected, np.ones((2, 3), bool))
    kept = cap(segments, selected, 6)
    np.testing.assert_array_equal(kept, segments)


@pytest.mark.parametrize("seed", range(5))
def test_capped_segments_are_balanced_over_classes(seed):
    # Fifty segments of class 0 and ten each of 1 and 2, a pixel each, apart from one another.
    selected, mask = np.zeros((20, 14), np.uint8), np.zeros((20, 14), bool)
    mask[::2, ::2] = True
    selected[::2, 10], selected[::2, 12] = 1, 2
    kept = cap(q.components(selected, mask), selected, 15, seed)
    assert np.bincount(selected[kept > 0]).tolist() == [5, 5, 5]


def test_another_seed_keeps_other_segments():
    mask = np.zeros((20, 14), bool)
    mask[::2, ::2] = True
    selected = np.zeros(mask.shape, np.uint8)
    segments = q.components(selected, mask)
    first, second = (cap(segments, selected, 15, seed) > 0 for seed in (0, 1))
    assert (first != second).any()


def test_large_segments_are_met_before_crumbs():
    # Ten blocks of 9 pixels and ninety of 1, apart from one another; room for half of the blocks.
    mask = np.zeros((40, 40), bool)
    mask[1::4, 2::4] = True
    for row in range(0, 40, 4):
        mask[row : row + 3, 1:4] = True
    segments = q.cut_segments(mask, 4)
    assert sorted(np.bincount(segments.ravel())[1:]) == [1] * 90 + [9] * 10
    large = []
    for seed in range(20):
        kept = cap(segments, np.zeros(mask.shape, np.uint8), 45, seed)
        large.append((np.bincount(kept.ravel())[1:] == 9).sum())
    # A sample of pixels would have half of its pixels in each kind; one of segments, a tenth.
    assert 1.5 < np.mean(large) < 4


@given(VALUES, MASK, st.integers(0, 12), st.integers(0, 3))
def test_segments_that_cost_a_click_each_are_capped_by_their_number(selected, mask, limit, seed):
    segments = q.cut_segments(mask, 2)
    number = int(segments.max())
    kept = cap(segments, selected, limit, seed, costs=np.ones(number, np.int64))
    assert kept.max() == min(limit, number)


PIECES = hnp.arrays(np.int32, (5, 6), elements=st.integers(0, 7)).map(q.renumbered)


@given(PIECES, st.randoms(use_true_random=False), st.integers(0, 30))
def test_the_first_pieces_that_fit_are_kept_and_numbered_in_their_order(pieces, draw, limit):
    costs = np.bincount(pieces.ravel())[1:]
    order = np.array(draw.sample(range(len(costs)), len(costs)), np.int64)
    kept = q.keep_first(pieces, order, costs, limit)
    assert (kept > 0).sum() <= limit
    numbers = [int(kept[pieces == piece + 1].max()) for piece in order]
    assert [n for n in numbers if n] == list(range(1, int(kept.max()) + 1))
    assert all(
        n or costs[p] > limit - (kept > 0).sum() for n, p in zip(numbers, order, strict=True)
    )


def test_owners_take_turns_each_with_its_own_best():
    owner = np.array([7, 7, 9, 9, 7, 7])
    assert q.in_turns(np.array([4, 2, 0, 1, 3, 5]), owner).tolist() == [4, 2, 0, 3, 1, 5]


def test_windows_are_cut_at_the_border_and_stop_at_the_limit():
    centres = np.array([[0, 0], [3, 4], [7, 7]])
    found = q.windows(centres, 1, (8, 8), 13, in_pixels=True)
    assert [(found == n).sum() for n in (1, 2, 3)] == [4, 9, 0]
    assert (found[2:5, 3:6] == 2).all()
    assert q.windows(centres, 1, (8, 8), 3, in_pixels=False).max() == 3
    assert (q.windows(centres, 0, (8, 8), 2, in_pixels=True) > 0).sum() == 2


def test_a_query_costs_points_clicks_or_pixels():
    points = q.point_query("a", 1, (4, 5), [(0, 1), (2, 3)])
    assert [q.cost(points, unit) for unit in ("points", "pixels", "clicks")] == [2, 2, 2]
    whole = q.segment_query("a", 1, (2, 3), np.array([[1, 1, 0], [2, 1, 0]], np.int32), whole=True)
    assert whole["whole"] and [q.cost(whole, unit) for unit in ("pixels", "clicks")] == [4, 2]


# ---------------------------------------------------------------------------------------- files


def test_queries_survive_the_file(tmp_path):
    queries = [
        q.point_query("x/a", 1, SIZE, [(1, 2)]),
        q.segment_query("b", 1, SIZE, np.eye(5, 6, dtype=np.int32)),
    ]
    q.write_queries(tmp_path, 1, queries)
    assert q.read_queries(tmp_path, 1) == queries
    assert q.read_queries(tmp_path, 2) == []


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_parts_of_several_processes_become_one_file_in_the_images_order(tmp_path, processes):
    queries = [q.point_query(f"{i}", 1, SIZE, [(i, 2)]) for i in range(4)]
    for part in range(processes):
        q.write_queries(tmp_path, 1, queries[part::processes], part)
    q.write_queries(tmp_path, 1, queries, 7)  # of a run of more processes that was killed
    assert q.read_queries(tmp_path, 1) == []
    q.join_parts(tmp_path, 1, processes)
    assert q.read_queries(tmp_path, 1) == queries
    assert [path.name for path in (tmp_path / "queries").iterdir()] == ["stage_1.jsonl"]


def test_an_error_while_queries_are_made_leaves_none(tmp_path):
    def made():
        yield q.point_query("a", 1, SIZE, [(1, 2)])
        raise UserError("an image cannot be read")

    with pytest.raises(UserError, match="an image"):
        q.write_queries(tmp_path, 1, made(), 0)
    assert list((tmp_path / "queries").iterdir()) == []


def test_a_damaged_query_file_is_named(tmp_path):
    q.write_queries(tmp_path, 1, [q.point_query("a", 1, SIZE, [(1, 2)])])
    path = q.queries_path(tmp_path, 1)
    path.write_text(path.read_text()[:-5])
    with pytest.raises(UserError, match=r"stage_1\.jsonl.*damaged"):
        q.read_queries(tmp_path, 1)


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_queries_that_were_cut_between_two_lines_are_noticed(tmp_path, kept):
    images = ["a", "b", "c"]
    q.write_queries(tmp_path, 1, [q.point_query(image, 1, SIZE, [(1, 2)]) for image in images])
    q.check_complete(tmp_path, 1, images)
    path = q.queries_path(tmp_path, 1)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:kept]))
    with pytest.raises(UserError, match=r"stage_1\.jsonl: damaged"):
        q.check_complete(tmp_path, 1, images)


def test_a_query_phase_is_over_when_both_its_files_are_there(tmp_path):
    assert q.missing(tmp_path, 1) == q.score_path(tmp_path, 1)
    q.score_path(tmp_path, 1).parent.mkdir()
    q.score_path(tmp_path, 1).write_text('{"share": 0.5}')
    assert q.missing(tmp_path, 1) == q.queries_path(tmp_path, 1)
    q.write_queries(tmp_path, 1, [])
    assert q.missing(tmp_path, 1) is None
    assert q.read_score(tmp_path, 1) == {"share": 0.5} and q.read_score(tmp_path, 2) is None
    q.score_path(tmp_path, 1).write_text('{"share"')
    with pytest.raises(UserError, match=r"stage_1\.score\.json: damaged"):
        q.read_score(tmp_path, 1)
