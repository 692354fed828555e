"""mIoU and the mask's score against brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labor_jax.infer import metrics

C = 4
TRUTH = hnp.arrays(np.uint8, (3, 5), elements=st.sampled_from([0, 1, 2, 255]))
PREDICTED = hnp.arrays(np.uint8, (3, 5), elements=st.integers(0, C - 2))


@given(PREDICTED, TRUTH)
def test_confusion_counts_every_pixel_that_is_not_void(predicted, truth):
    expected = np.zeros((C, C), int)
    for p, t in zip(predicted.ravel(), truth.ravel(), strict=True):
        if t != 255:
            expected[t, p] += 1
    found = metrics.confusion(predicted, truth, C)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, expected)


@given(PREDICTED, TRUTH)
def test_iou_is_intersection_over_union_of_the_classes_that_occur(predicted, truth):
    iou = metrics.per_class_iou(metrics.confusion(predicted, truth, C))
    valid = truth != 255
    for c in range(C):
        hit = (valid & (predicted == c) & (truth == c)).sum()
        union = (valid & ((predicted == c) | (truth == c))).sum()
        if union:
            assert iou[c] == pytest.approx(100 * hit / union)
        else:
            assert np.isnan(iou[c])


def test_the_mean_leaves_out_classes_that_do_not_occur():
    confusion = np.zeros((3, 3), np.int64)
    confusion[0, 0], confusion[1, 0] = 3, 1
    assert metrics.mean_of(metrics.per_class_iou(confusion)) == pytest.approx((75 + 0) / 2)


def test_the_mean_of_nothing_is_nan():
    assert np.isnan(metrics.mean_of(metrics.per_class_iou(np.zeros((3, 3), np.int64))))


def test_counts_beyond_what_int32_holds_give_the_right_iou():
    confusion = np.array([[2**40, 0], [3 * 2**40, 5]], np.int64)
    np.testing.assert_allclose(metrics.per_class_iou(confusion), [25, 500 / (3 * 2**40 + 5)])


@given(hnp.arrays(bool, (3, 5)), PREDICTED, TRUTH)
def test_the_masks_score_is_what_counting_pixel_by_pixel_gives(mask, predicted, truth):
    pixels = [
        (m, p != t, t != 255)
        for m, p, t in zip(mask.ravel(), predicted.ravel(), truth.ravel(), strict=True)
    ]
    inside = sum(m for m, _, _ in pixels)
    valid = sum(v for _, _, v in pixels)
    valid_inside = sum(m and v for m, _, v in pixels)
    wrong = sum(w and v for _, w, v in pixels)
    wrong_inside = sum(m and w and v for m, w, v in pixels)
    score = metrics.mask_score(metrics.mask_counts(mask, predicted, truth))
    assert score["share"] == inside / len(pixels)
    assert score["precision"] == (wrong_inside / valid_inside if valid_inside else 0)
    assert score["recall"] == (wrong_inside / wrong if wrong else 0)
    assert score["error_rate"] == (wrong / valid if valid else 0)
