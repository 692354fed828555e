"""Instance-adaptive pseudo labels against plain NumPy and the published program."""

import functools

import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.growth import measure

from labor_jax.data.labels import IGNORE
from labor_jax.train import pseudo_labels

C, N = 4, 40
CONFIDENCE = hnp.arrays(np.float32, N, elements=st.floats(0.25, 1.0, width=32))
PREDICTED = hnp.arrays(np.int32, N, elements=st.integers(0, C - 2))  # the last one is absent
THRESHOLDS = hnp.arrays(np.float32, C, elements=st.floats(0.25, 0.984375, width=32))

update = jax.jit(pseudo_labels.update_thresholds)
ranked = jax.jit(pseudo_labels._ranked)
label = jax.jit(pseudo_labels.pseudo_labels)


def numpy_update(thresholds, confidence, predicted, alpha, beta, gamma):
    moved = np.zeros(len(thresholds))
    for c, old in enumerate(thresholds.astype(np.float64)):
        sample = np.append(confidence[predicted == c].astype(np.float64), old)
        local = np.percentile(sample, 100 * (1 - alpha * old**gamma))
        moved[c] = beta * old + (1 - beta) * local
    return np.where(moved >= 1, 0.999, moved)


@given(THRESHOLDS, CONFIDENCE, PREDICTED, st.floats(0.05, 1), st.floats(0, 1), st.integers(1, 8))
def test_thresholds_move_as_numpys_percentiles_say(t, confidence, predicted, alpha, beta, gamma):
    moved = update(t, confidence, predicted, alpha=alpha, beta=beta, gamma=float(gamma))
    expected = numpy_update(t, confidence, predicted, alpha, beta, gamma)
    # An expected value of one half ulp below 1 may round to 1 and be capped: both are fine.
    near_one = expected > 1 - 1e-6
    np.testing.assert_allclose(
        np.where(near_one, 0.999, moved), np.where(near_one, 0.999, expected), atol=2e-5
    )


@given(CONFIDENCE, PREDICTED, st.integers(0, 2**16))
def test_the_value_of_a_rank_is_found_to_the_bit(confidence, predicted, number):
    sizes = np.bincount(predicted, minlength=C)
    rank = np.array([number % max(1, size) for size in sizes], np.int32)
    found = np.asarray(ranked(predicted, confidence, rank))
    for c in np.flatnonzero(sizes):
        assert found[c] == np.sort(confidence[predicted == c])[rank[c]]


@given(THRESHOLDS, CONFIDENCE, PREDICTED)
def test_a_class_that_is_absent_keeps_its_threshold(thresholds, confidence, predicted):
    moved = update(thresholds, confidence, predicted, alpha=0.2, beta=0.9, gamma=8.0)
    np.testing.assert_allclose(moved[-1], thresholds[-1], rtol=1e-6)


@given(THRESHOLDS, CONFIDENCE, PREDICTED)
def test_a_pixel_keeps_its_class_only_if_it_is_confident_enough(thresholds, confidence, predicted):
    expected = [
        k if p >= thresholds[k] else 255 for p, k in zip(confidence, predicted, strict=True)
    ]
    got = label(confidence, predicted, thresholds)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, expected)


def test_a_threshold_that_reaches_one_is_capped():
    moved = update(
        np.full(C, 0.9, np.float32), np.ones(N, np.float32), np.zeros(N, np.int32),
        alpha=0.0, beta=0.0, gamma=8.0,
    )  # fmt: skip
    np.testing.assert_allclose(moved, [0.999, 0.9, 0.9, 0.9], rtol=1e-6)


def test_an_unsure_image_gets_no_pseudo_label():
    got = label(np.full(N, 0.5, np.float32), np.zeros(N, np.int32), np.full(C, 0.9, np.float32))
    assert (np.asarray(got) == 255).all()


def test_the_program_does_not_grow_with_classes_or_pixels():
    def size(classes, pixels):
        f32, i32 = (functools.partial(jax.ShapeDtypeStruct, dtype=d) for d in ("float32", "int32"))
        function = functools.partial(
            pseudo_labels.update_thresholds, alpha=0.2, beta=0.9, gamma=8.0
        )
        return measure(function, f32((classes,)), f32((pixels,)), i32((pixels,)))

    operations, largest = size(19, 2 * 64 * 64)
    assert size(3, 50)[0] == operations
    assert largest <= 2 * 64 * 64 + 19, "memory is O(H W)"


@given(
    hnp.arrays(np.float32, (40, 3), elements=st.floats(0, 1, width=32)),
    st.sampled_from([0.1, 0.5, 1.0]),
)
def test_the_surest_pixels_of_each_class_are_labelled_and_no_surer_one_is_left(values, share):
    labels = pseudo_labels.surest(values, share)
    confidence, predicted = values.max(1), values.argmax(1)
    kept = labels != IGNORE
    np.testing.assert_array_equal(labels[kept], predicted[kept])
    for own in (predicted == name for name in np.unique(predicted)):
        assert kept[own].sum() >= share * own.sum() - 1
        assert (confidence[own & kept].min() > confidence[own & ~kept]).all()
        more = own & (confidence > confidence[own & kept].min())
        assert more.sum() <= share * own.sum(), "no more than the share, but for ties"
