"""Segments: runs of pixels, connected regions, cuts and windows."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labor_jax.selection.segments import (
    components,
    cut_segments,
    majority,
    pixel_runs,
    run_pixels,
    segment_runs,
    windows,
)

SIZE = (5, 6)
SEGMENTS = hnp.arrays(np.int32, SIZE, elements=st.integers(0, 3))
VALUES = hnp.arrays(np.uint8, SIZE, elements=st.integers(0, 2))
MASK = hnp.arrays(bool, SIZE)


@given(SEGMENTS)
def test_runs_hold_exactly_each_segments_pixels(segments):
    runs = segment_runs(segments)
    assert len(runs) == segments.max()
    for number, one in enumerate(runs, start=1):
        np.testing.assert_array_equal(run_pixels(one), np.flatnonzero(segments == number))


@given(SEGMENTS)
def test_a_run_never_crosses_a_row(segments):
    for runs in segment_runs(segments):
        for start, length in zip(runs[::2], runs[1::2], strict=True):
            assert length > 0
            assert start // SIZE[1] == (start + length - 1) // SIZE[1]


def test_pixel_runs_end_with_their_rows():
    assert pixel_runs(np.array([3, 4, 5, 8, 9, 10, 11]), 5) == [3, 2, 5, 1, 8, 2, 10, 2]
    assert pixel_runs(np.zeros(0, int), 5) == []


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
    ours, walked = components(values, mask), flood(values, mask)
    assert ours.dtype == np.int32
    pairs = set(zip(ours.ravel().tolist(), walked.ravel().tolist(), strict=True))
    # The same regions under other numbers: the numbers are matched one to one.
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
    assert (0, 0) in pairs or mask.all()
    assert sorted(set(ours[mask].tolist())) == list(range(1, ours.max() + 1))


@given(MASK, st.integers(1, 7))
def test_cut_segments_are_the_connected_regions_within_each_cell_of_a_grid(mask, cell):
    ours = cut_segments(mask, cell)
    cells = np.add.outer(100 * (np.arange(SIZE[0]) // cell), np.arange(SIZE[1]) // cell)
    walked = flood(cells, mask)
    pairs = set(zip(ours.ravel().tolist(), walked.ravel().tolist(), strict=True))
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
    np.testing.assert_array_equal(ours > 0, mask)


@given(VALUES, MASK)
def test_a_segments_majority_is_its_most_frequent_class(selected, mask):
    segments = cut_segments(mask, 3)
    found = majority(segments, selected)
    assert len(found) == segments.max()
    for number, most in enumerate(found, start=1):
        counts = np.bincount(selected[segments == number])
        assert counts[most] == counts.max()


def test_windows_are_cut_at_the_border_and_stop_at_the_limit():
    centres = np.array([[0, 0], [3, 4], [7, 7]])
    found = windows(centres, 1, (8, 8), 13, in_pixels=True)
    assert [(found == n).sum() for n in (1, 2, 3)] == [4, 9, 0]
    assert (found[2:5, 3:6] == 2).all()
    assert windows(centres, 1, (8, 8), 3, in_pixels=False).max() == 3
    assert (windows(centres, 0, (8, 8), 2, in_pixels=True) > 0).sum() == 2
