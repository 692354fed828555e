"""What a drawn shape covers: pixel centres decide, and numbers that do not add up are refused."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import draw

from labor_jax.annotation.formats import regions
from labor_jax.util.tally import LeftOut

SIZE = (14, 17)
X, Y = st.floats(0, SIZE[1]), st.floats(0, SIZE[0])
POINTS = st.tuples(X, Y)
EDGE = 1e-3
"""How near a border a centre is that another program may count otherwise."""


def mask(pixels):
    found = np.zeros(SIZE, bool)
    found.flat[pixels] = True
    assert found.sum() == len(pixels), "each pixel once"
    return found


def centres():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    return np.stack([x, y], axis=-1)


def distance_to_border(corners):
    """Of every pixel's centre to the nearest border."""
    nearest = np.full(SIZE, np.inf)
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along = b - a
        length = along @ along
        part = ((centres() - a) @ along / length).clip(0, 1) if length else np.zeros(SIZE)
        gone = centres() - a - part[..., None] * along
        nearest = np.minimum(nearest, np.hypot(*np.moveaxis(gone, -1, 0)))
    return nearest


@given(st.lists(POINTS, min_size=3, max_size=9))
def test_a_polygon_covers_what_scikit_image_says(corners):
    corners = np.array(corners)
    theirs = draw.polygon2mask(SIZE, corners[:, ::-1] - 0.5)
    clear = distance_to_border(corners) > EDGE
    np.testing.assert_array_equal(mask(regions.polygon(corners, SIZE))[clear], theirs[clear])


@given(POINTS, st.floats(0.6, 6), st.floats(0.6, 6), st.floats(-400, 400))
def test_an_ellipse_covers_what_scikit_image_says(middle, across, down, degrees):
    rows, columns = draw.ellipse(
        middle[1] - 0.5, middle[0] - 0.5, down, across, SIZE, -math.radians(degrees)
    )
    theirs = np.zeros(SIZE, bool)
    theirs[rows, columns] = True
    moved = centres() - middle
    turn = math.radians(degrees)
    u = (math.cos(turn) * moved[..., 0] + math.sin(turn) * moved[..., 1]) / across
    v = (-math.sin(turn) * moved[..., 0] + math.cos(turn) * moved[..., 1]) / down
    clear = np.abs(u**2 + v**2 - 1) > EDGE
    ours = mask(regions.ellipse(middle, (across, down), degrees, SIZE))
    np.testing.assert_array_equal(ours[clear], theirs[clear])


@given(st.lists(st.integers(1, 2 * SIZE[1] - 1), max_size=4), st.integers(0, 25), st.integers(1, 9))
def test_shapes_side_by_side_share_no_pixel_and_leave_none_out(cuts, top, height):
    edges = [0, *sorted({x / 2 for x in cuts}), SIZE[1]]
    top, bottom = top / 2, min(SIZE[0], top / 2 + height)
    counts = np.zeros(SIZE, int)
    for left, right in itertools.pairwise(edges):
        counts += mask(regions.box((left, top), (right, bottom), 0, None, SIZE))
    whole = mask(regions.box((0, top), (SIZE[1], bottom), 0, None, SIZE))
    np.testing.assert_array_equal(counts, whole)


@given(POINTS, st.lists(st.floats(0, 2 * math.pi), min_size=3, max_size=8, unique=True))
def test_a_fan_of_triangles_covers_each_pixel_once(middle, angles):
    angles = sorted(angles)
    rim = [(8 + 7 * math.cos(a), 7 + 6 * math.sin(a)) for a in angles]
    fan = np.zeros(SIZE, int)
    for a, b in itertools.pairwise(rim):
        triangle = np.array([middle, a, b])
        assume(distance_to_border(triangle).min() > EDGE)
        fan ^= mask(regions.polygon(triangle, SIZE))
    together = mask(regions.polygon([middle, *rim], SIZE))
    np.testing.assert_array_equal(fan.astype(bool), together)


@given(hnp.arrays(np.int64, 4, elements=st.integers(1, 12)))
def test_a_box_on_the_grid_has_its_own_area(numbers):
    x, y, width, height = np.minimum(numbers, [8, 7, 9, 7]).tolist()
    pixels = regions.box((x, y), (x + width, y + height), 0, None, SIZE)
    assert len(pixels) == width * height


@given(st.integers(1, 5), st.integers(1, 4), st.sampled_from([90, 180, 270, -90, 450]))
def test_a_box_that_is_turned_by_a_right_angle_stays_on_the_grid(width, height, degrees):
    box = regions.box((8, 7), (8 + width, 7 + height), degrees, (8, 7), SIZE)
    assert len(box) == width * height
    rows, columns = np.divmod(box, SIZE[1])
    if degrees in (90, 450) and box.size:  # clockwise: what was right of the pivot is below it
        assert (rows >= 7).all() and (columns < 8).all()
    if degrees in (270, -90) and box.size:
        assert (rows < 7).all() and (columns >= 8).all()


def test_a_bay_whose_banks_touch_is_a_hole():
    ring = [(1, 1), (9, 1), (9, 9), (1, 9), (1, 1), (3, 3), (3, 6), (6, 6), (6, 3), (3, 3)]
    assert len(regions.polygon(ring, SIZE)) == 64 - 9


def test_several_polygons_cover_their_union():
    one, other = [(0, 0), (4, 0), (4, 4), (0, 4)], [(2, 2), (6, 2), (6, 6), (2, 6)]
    assert len(regions.polygons([one, other], SIZE)) == 16 + 16 - 4


def test_a_turned_box_is_cut_at_the_border_of_the_image():
    pixels = regions.box((0, 0), (4, 4), 45, None, SIZE)
    assert 0 < len(pixels) < 16 and mask(pixels)[1, 1]


BAD = [math.nan, math.inf, -math.inf, None, "x", [1], True, 1e9, -50]


@pytest.mark.parametrize("bad", BAD)
def test_numbers_that_are_not_finite_or_not_inside_are_refused(bad):
    with pytest.raises(LeftOut, match="geometry"):
        regions.polygon([(1, 1), (5, 1), (5, bad)], SIZE)
    with pytest.raises(LeftOut, match="geometry"):
        regions.box((1, 1), (bad, 5), 0, None, SIZE)
    with pytest.raises(LeftOut, match="geometry"):
        regions.ellipse((bad, 5), (2, 2), 0, SIZE)
    if bad not in (1e9, -50):
        with pytest.raises(LeftOut, match="geometry"):
            regions.ellipse((5, 5), (2, 2), bad, SIZE)


@pytest.mark.parametrize("corners", [((5, 1), (1, 4)), ((1, 4), (5, 1)), ((1, 1), (1, 4))])
def test_a_box_whose_corners_are_not_in_order_is_refused(corners):
    with pytest.raises(LeftOut, match="geometry"):
        regions.box(*corners, 0, None, SIZE)


def test_a_corner_that_rounding_put_outside_is_taken():
    assert len(regions.polygon([(-0.3, 0), (4, -1e-9), (4, 4.0), (0, 4)], SIZE)) == 16


@pytest.mark.parametrize("corners", [[], [(1, 1)], [(1, 1), (2, 2)], [(1, 2, 3)] * 3, ["ab"] * 3])
def test_corners_that_make_no_polygon_are_refused(corners):
    with pytest.raises(LeftOut, match="geometry"):
        regions.polygon(corners, SIZE)


@pytest.mark.parametrize("place", [(-1, 0), (15, 0), (0, 12), (0.5, 0), ("x", 0)])
def test_a_mask_that_leaves_the_image_is_refused(place):
    with pytest.raises(LeftOut, match="geometry"):
        regions.mask(np.ones((3, 3), bool), *place, SIZE)
