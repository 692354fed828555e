"""Guesses to be confirmed: what is drawn blind, what the page is told, what a line says."""

import numpy as np
import pytest

from labor_jax.annotation import guesses, journal
from labor_jax.annotation import queries as q
from labor_jax.annotation.desk import Desk
from labor_jax.annotation.guessing import at_pieces
from labor_jax.data.labels import CAMVID
from labor_jax.util.errors import UserError

SIZE = (20, 30)


def query(number=1, points=200, blind=0.25, seed=0):
    places = zip(*np.divmod(np.arange(points), SIZE[1]), strict=True)
    asked = q.point_query("a", 1, SIZE, places) | {"id": f"1/a#{number}"}
    return guesses.add(asked, 7, [3] * points, [0.123456] * points, blind, seed)


def test_the_share_of_blind_pieces_is_drawn_anew_for_each_query_and_the_same_after_a_restart():
    drawn = [query(n)["blind"] for n in (1, 2)]
    assert drawn == [query(n)["blind"] for n in (1, 2)] and drawn[0] != drawn[1]
    assert drawn[0] != query(1, seed=1)["blind"]
    assert all(20 < len(some) < 80 for some in drawn)
    assert query(blind=0.0)["blind"] == [] and len(query(blind=1.0)["blind"]) == 200


def test_a_blind_pieces_guess_does_not_leave_the_server_and_stands_in_its_line(tmp_path):
    asked = query(points=8, blind=0.5)
    q.write_queries(tmp_path, 1, [asked])
    desk = Desk(tmp_path, CAMVID)
    told = desk.view(asked["id"])
    blind = asked["blind"]
    assert 0 < len(blind) < 8
    assert told["guesses"] == [None if piece in blind else 3 for piece in range(8)]
    assert not {"blind", "guessed_by", "model", "origin"} & set(told)
    answers = [
        {"id": f"number-{n}", "task": asked["id"], "piece": n, "class": 3, "seconds": 1.0}
        for n in range(8)
    ]
    for one, guess in zip(answers, told["guesses"], strict=True):
        one["guess"] = guess
    seen = next(piece for piece in range(8) if piece not in blind)
    answers[seen] |= {"together": 2}
    over = {"model": 9, "guess": 5}
    answers[blind[0]] |= {"shown": over}  # the prediction was over the image
    assert desk.record("page", "ana", answers)["refused"] == {}
    lines = {line["piece"]: line for line in journal.lines(tmp_path, CAMVID)}
    for piece, line in lines.items():
        assert (line["guess"], line["confidence"], line["model"]) == (3, 0.1235, 7)
        assert line["shown"] is (piece not in blind[1:])
        assert line.get("together") == (2 if piece == seen else None)


def test_guesses_come_to_what_nobody_has_begun_and_stay_through_a_restart(tmp_path):
    plain = [q.point_query(image, 1, SIZE, [(0, 1), (2, 3)]) for image in "abc"]
    q.write_queries(tmp_path, 1, plain)
    desk = Desk(tmp_path, CAMVID, verify=True)
    assert desk.take("page", "ana")["task"] == "1/a"
    assert [x["id"] for x in desk.without_guesses()] == ["1/b", "1/c"]
    version = desk.view("1/b")["version"]
    for asked in plain[:2]:
        desk.add_guesses(guesses.add(asked, 5, [3, 8], [0.5, 0.9], 0.0, 0))
    assert desk.view("1/a")["guesses"] == [None, None], "somebody is at work on it"
    assert desk.view("1/b")["guesses"] == [3, 8]
    assert desk.view("1/b")["version"] != version, "a page that has it fetches it again"
    assert Desk(tmp_path, CAMVID, verify=True).view("1/b")["guesses"] == [3, 8]
    assert Desk(tmp_path, CAMVID).view("1/b")["guesses"] == [None, None], "without --mode=verify"
    assert q.read_queries(tmp_path, 1) == plain, "a run's own file is left alone"
    guesses.path(tmp_path, 1).write_text("{}\n")
    with pytest.raises(UserError, match="damaged"):
        Desk(tmp_path, CAMVID, verify=True)


def test_a_page_that_did_not_show_the_guess_counts_as_blind(tmp_path):
    asked = query(points=2, blind=0.0)
    q.write_queries(tmp_path, 1, [asked])
    one = {"task": asked["id"], "class": 3, "seconds": 1.0}
    stale, fresh = (one | {"id": f"number-{n}", "piece": n} for n in range(2))
    Desk(tmp_path, CAMVID).record("page", "ana", [stale, fresh | {"guess": 3}])
    assert [line["shown"] for line in journal.lines(tmp_path, CAMVID)] == [False, True]


def test_the_guess_at_a_segment_is_the_likeliest_class_of_its_pixels_together():
    segments = np.zeros(SIZE, np.int32)
    segments[0, :4], segments[5, 5] = 1, 2
    probabilities = np.zeros((*SIZE, 3), np.float32)
    probabilities[..., 2] = 1
    probabilities[0, :4] = [0.4, 0.6, 0.0]
    probabilities[0, 0] = [1.0, 0.0, 0.0]
    labels, confidences = at_pieces(q.segment_query("a", 1, SIZE, segments), probabilities)
    assert labels.tolist() == [0, 2]
    np.testing.assert_allclose(confidences, [0.55, 1.0])
    labels, _ = at_pieces(q.point_query("a", 1, SIZE, [(0, 0), (0, 1)]), probabilities)
    assert labels.tolist() == [0, 1]


@pytest.mark.parametrize("together", [1, 9, -2, True, "2", 2.0])
def test_pieces_are_not_confirmed_at_once_with_more_than_there_are(tmp_path, together):
    asked = query(points=8)
    q.write_queries(tmp_path, 1, [asked])
    one = {"id": "number-1", "task": asked["id"], "piece": 0, "class": 3, "seconds": 1.0}
    told = Desk(tmp_path, CAMVID).record("page", "ana", [one | {"together": together}])
    assert list(told["refused"].values()) == ["so many pieces cannot be confirmed at once"]


@pytest.mark.parametrize("wrong", [{"guess": "sky"}, {"guess": -1}, {"confidence": None}])
def test_a_line_whose_guess_is_none_is_damaged(tmp_path, wrong):
    asked = query(points=1)
    told = guesses.told(asked, 0, 3)
    line = journal.answer(asked, 0, 3, "ana", point=[0, 0], **(told | wrong))
    journal.append(tmp_path, [line], CAMVID)
    with pytest.raises(UserError, match="line 1 is damaged"):
        journal.lines(tmp_path, CAMVID)
