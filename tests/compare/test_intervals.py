"""Intervals that hold what they promise, and pair what they compare."""

import numpy as np
import pytest
from support.made_up import confusions

from labor_jax.compare import intervals
from labor_jax.infer import metrics


def test_students_interval_holds_the_true_mean_in_nineteen_of_twenty_samples():
    draw = np.random.default_rng(0)
    for n in (2, 3, 5, 40):
        found = [intervals.over_seeds(draw.normal(1.5, 2.0, n)) for _ in range(4000)]
        assert np.mean([low <= 1.5 <= high for low, high in found]) == pytest.approx(
            0.95, abs=0.012
        )


def test_students_interval_of_a_known_sample():
    low, high = intervals.over_seeds([1.0, 2.0, 3.0])
    assert (low + high) / 2 == pytest.approx(2.0)
    assert high - 2.0 == pytest.approx(4.302653 / np.sqrt(3))


def test_one_seed_has_no_spread_and_no_interval():
    assert intervals.mean_and_spread([45.0]) == (45.0, None)
    assert intervals.over_seeds([0.5]) is None


def test_resampling_each_image_once_gives_the_score_itself():
    found = confusions(0, 0.6)
    (miou,) = intervals.resampled_mious(found, np.ones((1, len(found))))
    assert miou == pytest.approx(metrics.mean_of(metrics.per_class_iou(found.sum(0))))


def test_a_resample_draws_as_many_images_and_is_the_same_every_time():
    weights = intervals.resamples(12, 50)
    assert weights.shape == (50, 12) and (weights.sum(1) == 12).all()
    np.testing.assert_array_equal(weights, intervals.resamples(12, 50))
    assert len(np.unique(weights, axis=0)) == 50


def test_a_run_does_not_differ_from_itself_on_any_images():
    samples = intervals.resampled_mious(confusions(1, 0.5), intervals.resamples(12))
    assert intervals.over_images([samples], [samples]) == (0.0, 0.0)


def test_pairing_makes_the_interval_narrow_where_images_differ_more_than_methods():
    easy_and_hard = confusions(2, 0.6)
    easy_and_hard[::2, range(11), range(11)] //= 4
    better = easy_and_hard.copy()
    better[:, range(11), range(11)] += easy_and_hard[:, range(11), range(11)] // 20
    weights = intervals.resamples(12)
    first, second = (intervals.resampled_mious(c, weights) for c in (easy_and_hard, better))
    low, high = intervals.over_images([first], [second])
    assert 0 < low < high
    assert high - low < 0.3 * (np.percentile(first, 97.5) - np.percentile(first, 2.5))


def test_the_interval_over_images_turns_round_with_the_difference_and_means_over_seeds():
    weights = intervals.resamples(12)
    a, b, c, d = (intervals.resampled_mious(confusions(s, 0.5 + s / 20), weights) for s in range(4))
    low, high = intervals.over_images([a, b], [c, d])
    back = intervals.over_images([c, d], [a, b])
    assert back == pytest.approx((-high, -low))
    point = np.mean([c.mean() + d.mean() - a.mean() - b.mean()]) / 2
    assert low < point < high


def test_a_class_that_a_resample_lacks_does_not_count_in_it():
    found = np.zeros((2, 3, 3), np.int64)
    found[0, 0, 0], found[1, 1, 1], found[1, 1, 0] = 5, 3, 3
    only_first = intervals.resampled_mious(found, np.array([[2.0, 0.0]]))
    assert only_first[0] == pytest.approx(100.0)


def test_p_is_below_a_level_as_often_as_the_level_says_where_there_is_no_difference():
    draw = np.random.default_rng(0)
    for n in (2, 3, 5):
        found = np.array([intervals.p_value(draw.normal(0, 2.0, n)) for _ in range(3000)])
        for level in (0.05, 0.5):
            assert (found < level).mean() == pytest.approx(level, abs=0.03)


def test_p_and_students_interval_agree():
    draw = np.random.default_rng(1)
    for _ in range(200):
        sample = draw.normal(1, 1.0, 4)
        low, high = intervals.over_seeds(sample)
        assert (intervals.p_value(sample) < 0.05) == (low > 0 or high < 0)
    assert intervals.p_value([0.3]) is None
    assert (intervals.p_value([1.0, 1.0]), intervals.p_value([0.0, 0.0])) == (0.0, 1.0)


def test_a_family_of_comparisons_has_a_false_alarm_in_one_of_twenty_after_holm():
    draw = np.random.default_rng(2)
    families = draw.random((4000, 12))
    alarms = [min(intervals.holm(family)) < 0.05 for family in families.tolist()]
    assert np.mean(alarms) == pytest.approx(0.05, abs=0.015)
    assert intervals.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert intervals.holm([0.9, 0.8]) == [1.0, 1.0] and intervals.holm([]) == []


def test_a_difference_of_the_least_that_is_seen_is_shown_in_four_of_five_comparisons():
    draw = np.random.default_rng(3)
    for n in (3, 5, 10):
        standard = np.sqrt(n) * np.resize([1.0, -1.0], n)  # its deviation is known
        effect = intervals.least_seen(standard) / np.std(standard, ddof=1)
        found = [intervals.over_seeds(draw.normal(effect, 1, n))[0] > 0 for _ in range(2000)]
        assert 0.7 < np.mean(found) < 0.9


def test_ranks_are_sure_where_methods_are_apart_and_not_where_they_are_alike():
    draw = np.random.default_rng(4)
    noise = draw.normal(0, 1.0, (4, 3, 500))
    scores = {"best": 10 + noise[0], "one": noise[1], "other": noise[2], "worst": noise[3] - 10}
    found = intervals.ranks(scores)
    assert found["best"] == (1, 1, 1.0) and found["worst"] == (4, 4, 0.0)
    assert (found["one"].low, found["one"].high) == (2, 3)
    assert sum(rank.first for rank in found.values()) == pytest.approx(1)
    alike = intervals.ranks({"a": noise[0], "b": noise[0]})
    assert alike["a"] == alike["b"] == (1, 1, 1.0), "equal scores share a rank"
