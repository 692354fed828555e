"""Annotators beside the oracle: noisy, replayed, people."""

import numpy as np
import pytest

from labor_jax.annotation import annotators, journal, oracle
from labor_jax.annotation import queries as q
from labor_jax.config import default_config
from labor_jax.data.domain import Domain
from labor_jax.data.labels import CAMVID
from labor_jax.util.errors import UserError

SIZE = (60, 80)
CLASSES = len(CAMVID)


def make_truth():
    """Two halves of classes 3 and 5, a corner of void."""
    truth = np.full(SIZE, 3, np.uint8)
    truth[:, 40:] = 5
    truth[:10, :10] = 255
    return truth


def every_point():
    return q.point_query("a", 1, SIZE, np.ndindex(SIZE))


def noisy(error, border, seed=0, query=None):
    random = np.random.default_rng(seed)
    query = query or every_point()
    return oracle.annotate_noisily(query, make_truth(), CLASSES, error, border, random)


def test_a_noisy_oracle_errs_at_the_given_rate_and_more_at_borders():
    truth = make_truth()
    answers = noisy(0.1, 4.0)
    judged = [(a, truth[a["point"][1], a["point"][0]]) for a in answers]
    assert all(a["class"] == 255 for a, true in judged if true == 255)
    judged = [(a, true) for a, true in judged if true != 255]
    wrong = [a for a, true in judged if a["class"] != true]
    assert len(wrong) / len(judged) == pytest.approx(0.1, abs=0.015)
    at_border = [a for a in wrong if 37 <= a["point"][0] < 43]
    assert len(at_border) / (6 * 60) == pytest.approx(
        4 * (len(wrong) - len(at_border)) / (len(judged) - 6 * 60), rel=0.35
    )
    assert {a["class"] for a in at_border} == {3, 5}, "the class beside is what is mistaken"
    assert {a["class"] for a in wrong} == set(range(CLASSES))
    assert {a["annotator"] for a in answers} == {"noisy"}


def test_without_errors_a_noisy_oracle_is_the_oracle_and_a_seed_gives_the_same_errors():
    exact = oracle.annotate(every_point(), make_truth())
    assert noisy(0.0, 4.0) == [a | {"annotator": "noisy"} for a in exact]
    assert noisy(0.3, 4.0, seed=1) == noisy(0.3, 4.0, seed=1) != noisy(0.3, 4.0, seed=2)


def test_a_noisy_oracle_mistakes_whole_parts_of_segments():
    segments = np.zeros(SIZE, np.int32)
    segments[20:40, 30:50], segments[50:, :5] = 1, 2
    query = q.segment_query("a", 1, SIZE, segments)
    answers = noisy(1.0, 1.0, query=query)
    assert [(a["piece"], a["class"]) for a in answers][:2] == [(0, 5), (0, 3)]
    assert answers[2]["class"] != 3
    label = journal.label_map(answers, SIZE)
    np.testing.assert_array_equal(label != 255, segments > 0)


def make(tmp_path, name, **values):
    config = default_config()
    config.annotator = name
    config.update_from_flattened_dict(values)
    target = Domain("streets", ("a",), lambda _: None, lambda _: make_truth())
    return annotators.make(config, target, CAMVID)


def test_the_loops_noisy_oracle_is_a_function_of_the_seed_and_the_query(tmp_path):
    first, second = (make(tmp_path, "noisy", **{"noisy.error": 0.4, "seed": s}) for s in (0, 1))
    assert first(every_point()) == first(every_point()) != second(every_point())


def test_a_replay_gives_the_answers_of_a_journal_with_what_was_taken_back_left_out(tmp_path):
    query = q.point_query("a", 1, SIZE, [(0, 1), (2, 3)])
    said = [
        journal.answer(query, 0, 7, "ana", point=[1, 0], seconds=1.5),
        journal.answer(query, 1, 2, "ana", point=[3, 2], seconds=2.5),
    ]
    said.append(said[1] | {"undo": True})
    said.append(said[1] | {"class": 4})
    journal.append(tmp_path, said, CAMVID)
    assert make(tmp_path, "replay", replay=str(tmp_path))(query) == [said[0], said[3]]


def test_a_replay_of_another_or_an_unfinished_run_is_refused(tmp_path):
    query = q.point_query("a", 1, SIZE, [(0, 1), (2, 3)])
    for directory in ("", str(tmp_path / "empty")):
        config = default_config()
        config.annotator, config.replay = "replay", directory
        with pytest.raises(UserError, match=r"config\.replay: no answers in"):
            annotators.check(config)
    journal.append(tmp_path, [journal.answer(query, 0, 7, "ana", point=[1, 0])], CAMVID)
    replay = make(tmp_path, "replay", replay=str(tmp_path))
    with pytest.raises(UserError, match="does not answer all that is asked about a at stage 1"):
        replay(query)
    with pytest.raises(UserError, match="was asked something else about a at stage 1"):
        replay(q.point_query("a", 1, SIZE, [(5, 5)]))


def test_a_run_of_every_pixel_learns_from_what_another_run_has_answered(tmp_path):
    queries = [every_point() | {"id": f"1/a#{n}", "points": [[3 * n, n + 12]]} for n in range(5)]
    for query in queries:
        q.append_query(tmp_path, query)
        journal.append(tmp_path, oracle.annotate(query, make_truth()), CAMVID)
    config = default_config()
    config.method, config.annotator, config.replay = "full", "replay", str(tmp_path)
    domain = Domain("it", ("a", "b"), lambda i: np.zeros((*SIZE, 3), np.uint8), None)
    annotate = annotators.make(config, domain, CAMVID)
    for image, wanted in (("a", 5), ("b", 0)):
        whole = q.segment_query(image, 1, SIZE, np.ones(SIZE, np.int32))
        answers = annotate(whole)
        assert not journal.open_pieces(whole, answers)
        label = journal.label_map(answers, SIZE)
        assert (label != 255).sum() == wanted
        assert (label[label != 255] == make_truth()[label != 255]).all()
    small = q.segment_query("a", 1, (6, 8), np.ones((6, 8), np.int32))
    with pytest.raises(UserError, match="another size"):
        annotate(small)
