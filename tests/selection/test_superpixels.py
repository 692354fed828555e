"""Segments for people: along edges, no crumbs, largest first."""

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labor_jax.selection import superpixels

SIZE = (7, 9)
VALUES = hnp.arrays(np.int32, SIZE, elements=st.integers(0, 3))


def neighbours(y, x, diagonal):
    for dy, dx in itertools.product((-1, 0, 1), (-1, 0, 1)):
        inside = 0 <= y + dy < SIZE[0] and 0 <= x + dx < SIZE[1]
        if inside and (dy, dx) != (0, 0) and (diagonal or not dy or not dx):
            yield y + dy, x + dx


def flood(values, diagonal):
    found, regions = 0, np.zeros(SIZE, int)
    for start in zip(*np.nonzero(values), strict=True):
        if regions[start]:
            continue
        found, stack = found + 1, [start]
        while stack:
            at = stack.pop()
            if regions[at] or values[at] != values[start]:
                continue
            regions[at] = found
            stack += neighbours(*at, diagonal)
    return regions


def same_up_to_names(a, b):
    pairs = set(zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    return len({x for x, _ in pairs}) == len({y for _, y in pairs}) == len(pairs)


@given(VALUES)
def test_regions_are_those_found_by_walking_from_pixel_to_pixel(values):
    assert same_up_to_names(superpixels.regions(values), flood(values, diagonal=False))


@given(VALUES, st.integers(1, 12))
def test_no_crumb_that_touches_another_piece_is_left_and_nothing_is_cut(values, crumb):
    pieces = superpixels.regions(values)
    merged = superpixels.merge_crumbs(pieces, crumb)
    np.testing.assert_array_equal(merged > 0, pieces > 0)
    assert sorted(set(merged[merged > 0].tolist())) == list(range(1, merged.max() + 1))
    pairs = set(zip(pieces.ravel().tolist(), merged.ravel().tolist(), strict=True))
    assert len(pairs) == len({a for a, _ in pairs}), "a piece goes whole into one"
    islands = flood((pieces > 0).astype(int), diagonal=True)
    for number in range(1, merged.max() + 1):
        piece = merged == number
        assert len(set(islands[piece].tolist())) == 1, "only pieces that touch are joined"
        alone = (islands == islands[piece][0]).sum() == piece.sum()
        assert piece.sum() >= crumb or alone


def test_pieces_follow_the_images_edges_where_a_grid_would_not():
    image = np.full((48, 60, 3), 40, np.uint8)
    image[:, 27:] = (200, 180, 30)
    image[21:, :] //= 2
    colors = (np.arange(48)[:, None] >= 21) * 2 + (np.arange(60) >= 27)
    pieces = superpixels.cut_by_superpixels(np.ones((48, 60), bool), image, 8, 10)
    assert 20 < pieces.max() < 60
    wrong = sum(
        np.bincount(colors[pieces == n]).sum() - np.bincount(colors[pieces == n]).max()
        for n in range(1, pieces.max() + 1)
    )
    assert wrong < 0.03 * pieces.size, "nearly every piece is of one colour"


def test_pieces_come_large_to_small_and_always_the_same():
    draw = np.random.default_rng(0)
    image = draw.integers(0, 255, (40, 50, 3)).astype(np.uint8)
    mask = draw.random((40, 50)) < 0.7
    pieces = superpixels.cut_by_superpixels(mask, image, 8, 6)
    assert mask[pieces > 0].all() and (pieces > 0).sum() > 0.9 * mask.sum()
    sizes = np.bincount(pieces.ravel())[1:]
    assert (np.diff(sizes) <= 0).all() and sizes.max() > sizes.min() >= 6
    np.testing.assert_array_equal(pieces, superpixels.cut_by_superpixels(mask, image, 8, 6))


@pytest.mark.parametrize(("length", "pieces"), [(0, 0), (3, 0), (4, 1), (9, 1)])
def test_a_thin_line_is_one_piece_and_a_crumb_alone_is_not_asked(length, pieces):
    mask = np.zeros((9, 9), bool)
    mask[range(length), range(length)] = True
    found = superpixels.cut_by_superpixels(mask, np.zeros((9, 9, 3), np.uint8), 16, 4)
    assert found.max() == pieces
    np.testing.assert_array_equal(found > 0, mask if pieces else np.zeros_like(mask))


@given(VALUES, hnp.arrays(np.uint8, (*SIZE, 3)), st.sampled_from([0.01, 0.3, 0.5, 1.0]))
def test_a_core_is_the_share_of_a_piece_that_is_nearest_to_its_mean_colour(pieces, image, share):
    found = superpixels.cores(pieces, image, share)
    assert set(np.unique(found[found != pieces])) <= {0}
    colour = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(float)
    for number in set(pieces[pieces > 0].tolist()):
        own, core = pieces == number, found == number
        assert core.sum() == np.ceil(share * own.sum())
        distance = np.linalg.norm(colour - colour[own].mean(0), axis=-1)
        left_out = distance[own & ~core]
        assert not left_out.size or distance[core].max() <= left_out.min() + 1e-9
