"""The score on held answers, its interval, and what is concluded from it."""

import numpy as np
import pytest

from labor_jax.infer import metrics
from labor_jax.live import scores


def made(right, images=60, points=5, seed=0, classes=3):
    """Answers of images and predictions of which a share is right."""
    random = np.random.default_rng(seed)
    truth = random.integers(classes, size=images * points)
    wrong = (truth + 1 + random.integers(classes - 1, size=len(truth))) % classes
    # The same answers stay right with a larger share: classifiers are alike.
    told = np.where(np.random.default_rng(9).random(len(truth)) < right, truth, wrong)
    return np.repeat(np.arange(images), points), told, truth


def score(*args, **more):
    return scores.scored(*made(*args, **more), 3, seed=0)


def test_the_score_is_the_mean_iou_of_the_held_answers():
    images, told, truth = made(0.7)
    found = scores.scored(images, told, truth, 3, seed=0)
    confusion = metrics.confusion(told.astype(np.uint8), truth.astype(np.uint8), 3)
    assert found.miou == pytest.approx(metrics.mean_of(metrics.per_class_iou(confusion)))
    assert found.low < found.miou < found.high


def test_the_interval_narrows_with_more_images_and_not_with_more_points_of_the_same_one():
    few, many = score(0.7, images=20), score(0.7, images=320)
    assert many.high - many.low < 0.5 * (few.high - few.low)
    images, told, truth = made(0.7, images=40, points=1)
    alike = [np.repeat(values, 20) for values in (images, told, truth)]
    once, often = (scores.scored(*x, 3, seed=0) for x in ((images, told, truth), alike))
    assert often.high - often.low == pytest.approx(once.high - once.low)


def test_ninety_percent_intervals_hold_the_truth_about_nine_times_of_ten():
    random, inside = np.random.default_rng(0), 0
    for _ in range(200):
        truth = random.integers(2, size=400)
        told = np.where(random.random(400) < 0.8, truth, 1 - truth)
        found = scores.scored(np.repeat(np.arange(80), 5), told, truth, 2, seed=0)
        inside += found.low <= 100 * 0.8 / 1.2 <= found.high
    assert 0.82 <= inside / 200 <= 0.96


def test_a_gain_is_compared_answer_by_answer():
    now, before = score(0.8), score(0.6)
    gained = scores.gain(now, before)
    assert gained["low"] < gained["gain"] < gained["high"]
    assert gained["gain"] == pytest.approx(now.miou - before.miou)
    assert gained["high"] - gained["low"] < (now.high - now.low) + (before.high - before.low)


@pytest.mark.parametrize(
    ("now", "before", "images", "word"),
    [(0.9, 0.5, 60, "helps"), (0.8, 0.8, 60, "little"), (0.9, 0.5, 5, "early")],
)
def test_advice_is_drawn_from_the_gain_where_there_are_answers_enough(now, before, images, word):
    gained = scores.gain(score(now, images=images), score(before, images=images))
    assert scores.advice(gained, 5 * images) == word


def test_a_gain_that_may_be_any_is_told_as_such():
    assert scores.advice({"gain": 2.0, "low": -3.0, "high": 7.0}, 100) == "unclear"


def test_of_few_images_no_interval_is_told():
    found = score(0.7, images=scores.FEWEST - 1)
    assert found.miou is not None and (found.low, found.high) == (None, None)
    assert scores.gain(found, found) is None


def test_without_held_answers_there_is_no_score():
    nothing = np.zeros(0, int)
    found = scores.scored(nothing, nothing, nothing, 3, seed=0)
    assert (found.miou, found.low, found.answers) == (None, None, 0)
    assert scores.gain(found, found) is None


def test_classes_with_few_answers_are_named():
    assert scores.lacking(np.array([0, 0, 0, 2]), 4, few=2) == [1, 2, 3]
