"""PPL's representative points against plain NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.growth import measure

from labor_jax.models.resize import interpolation_matrix
from labor_jax.selection.prototypes import representative_points

B, H, W, C = 2, 6, 7, 3
WEIGHTS = hnp.arrays(np.int8, (B, H, W, C), elements=st.integers(0, 4))
MASK = hnp.arrays(bool, (B, H, W))
SOME = hnp.arrays(bool, (B, H, W), elements=st.sampled_from([False, False, False, True]))


@functools.cache
def kernel(number, radius, distance="cosine"):
    return jax.jit(
        functools.partial(
            representative_points, points_per_class=number, radius=radius, distance=distance
        )
    )


def probabilities(weights):
    p = 1.0 + weights
    return (p / p.sum(-1, keepdims=True)).astype(np.float32)


def similarity(p, mean, distance):
    if distance == "l2":
        return -((p - mean) ** 2).sum(-1)
    return (p @ mean) / np.linalg.norm(p, axis=-1) / np.linalg.norm(mean)


def check_image(p, mask, taken, points, found, number, radius, distance):
    """Follows the kernel's choices; each must be as good as the best that NumPy finds."""
    p = p.astype(np.float64)
    rows, columns = np.indices(mask.shape)
    for k in range(p.shape[-1]):
        members = mask & (p.argmax(-1) == k)
        allowed = members & ~taken
        if members.any():
            score = similarity(p, p[members].mean(0), distance)
        for n in range(number):
            assert found[k, n] == allowed.any()
            if not allowed.any():
                continue
            row, column = points[k, n]
            assert allowed[row, column]
            assert score[row, column] >= score[allowed].max() - 1e-5
            allowed = allowed & (np.maximum(abs(rows - row), abs(columns - column)) > radius)


@pytest.mark.parametrize("distance", ["cosine", "l2"])
@pytest.mark.parametrize(("number", "radius"), [(1, 0), (3, 1)])
def test_points_are_the_most_similar_that_numpy_finds(number, radius, distance):
    @given(WEIGHTS, MASK, SOME)
    def holds(weights, mask, taken):
        p = probabilities(weights)
        points, found = jax.device_get(kernel(number, radius, distance)(p, mask, taken))
        assert points.shape == (B, C, number, 2) and points.dtype == np.int32
        for b in range(B):
            check_image(p[b], mask[b], taken[b], points[b], found[b], number, radius, distance)

    holds()


@pytest.mark.parametrize("natives", [None, [[6, 7], [5, 4]]])
def test_of_features_the_points_are_those_most_like_the_mean_of_interpolated_ones(natives):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((B, 3, 4, 5)).astype(np.float32)
    p, mask = probabilities(rng.integers(0, 5, (B, H, W, C))), np.ones((B, H, W), bool)
    taken = rng.random((B, H, W)) < 0.2
    inside = np.array(natives or [[H, W]] * B)
    for b, (height, width) in enumerate(inside):
        mask[b, height:] = mask[b, :, width:] = False
    points, found = jax.jit(
        functools.partial(representative_points, points_per_class=2, radius=1, distance="features")
    )(p, mask, taken, features=features, natives=natives and jnp.array(natives))
    unit = features / np.linalg.norm(features, axis=-1, keepdims=True)
    for b, (height, width) in enumerate(inside):
        rows, columns = interpolation_matrix(height, 3), interpolation_matrix(width, 4)
        seen = np.einsum("Hh,Ww,hwf->HWf", rows, columns, unit[b])
        for k in range(C):
            members = mask[b] & (p[b].argmax(-1) == k)
            mean = seen[members[:height, :width]].mean(0)
            score = np.full((H, W), -np.inf)
            score[:height, :width] = seen @ mean / np.linalg.norm(mean)
            allowed = members & ~taken[b]
            assert found[b, k, 0] == allowed.any()
            if found[b, k, 0]:
                best = points[b, k, 0]
                assert allowed[tuple(best)]
                assert score[tuple(best)] >= score[allowed].max() - 1e-5


def test_an_empty_mask_asks_nothing():
    p = probabilities(np.random.default_rng(0).integers(0, 5, (B, H, W, C)))
    _, found = kernel(3, 1)(p, np.zeros((B, H, W), bool), np.zeros((B, H, W), bool))
    assert not found.any()


def test_an_image_whose_pixels_are_all_taken_asks_nothing_while_the_other_does():
    p = probabilities(np.random.default_rng(0).integers(0, 5, (B, H, W, C)))
    taken = np.zeros((B, H, W), bool)
    taken[0] = True
    _, found = kernel(3, 1)(p, np.ones((B, H, W), bool), taken)
    assert not found[0].any() and found[1].any()


def test_pixels_that_were_taken_still_shape_the_prototype():
    p = np.full((1, 1, 4, 2), 0.5, np.float32)
    p[0, 0, :, 0] = [0.9, 0.9, 0.8, 0.6]
    p[0, 0, :, 1] = 1 - p[0, 0, :, 0]
    taken = np.array([[[True, True, False, False]]])
    points, _ = kernel(1, 0, "l2")(p, np.ones((1, 1, 4), bool), taken)
    # The mean of all four is 0.8; of the two open ones it would be 0.7, as far from either.
    assert points[0, 0, 0].tolist() == [0, 2]


def test_ties_go_to_the_first_pixel_in_reading_order():
    p = np.zeros((B, H, W, C), np.float32) + probabilities(np.array([0, 3, 1]))
    mask = np.zeros((B, H, W), bool)
    mask[:, 2:, 3:] = True
    points, found = kernel(3, 1)(p, mask, np.zeros((B, H, W), bool))
    assert found[:, 1].all() and not found[:, [0, 2]].any()
    for b in range(B):
        assert points[b, 1].tolist() == [[2, 3], [2, 5], [4, 3]]


def test_cosine_and_l2_are_told_apart():
    p = np.array([[[[0.5, 0.1, 0.4], [0.6, 0.4, 0.0], [1.0, 0.0, 0.0]]]], np.float32)
    mask, taken = np.ones((1, 1, 3), bool), np.zeros((1, 1, 3), bool)
    # The mean is (0.7, 0.17, 0.13): the middle pixel is nearest, the last one most parallel.
    for distance, column in (("l2", 1), ("cosine", 2)):
        points, _ = kernel(1, 0, distance)(p, mask, taken)
        assert points[0, 0, 0].tolist() == [0, column]


def test_the_program_does_not_grow_with_classes_images_or_points():
    def size(b, h, w, c, number):
        p = jax.ShapeDtypeStruct((b, h, w, c), jnp.float32)
        mask = jax.ShapeDtypeStruct((b, h, w), bool)
        function = functools.partial(representative_points, points_per_class=number, radius=4)
        operations, largest = measure(function, p, mask, mask)
        return operations, largest / (b * h * w * c)

    operations, largest = size(2, 64, 64, 19, 1)
    assert size(1, 8, 8, 3, 1)[0] == operations == size(4, 64, 64, 19, 5)[0]
    assert largest <= 1, "memory is O(H W C)"
