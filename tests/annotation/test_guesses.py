"""Guesses to be confirmed: what is drawn blind, what the page is told, what a line says."""

import numpy as np
import pytest

from labor_jax.annotation import guesses, journal
from labor_jax.annotation import queries as q
from labor_jax.annotation.desk import Desk
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
    told = guesses.told(asked, 0)
    line = journal.answer(asked, 0, 3, "ana", point=[0, 0], **(told | wrong))
    journal.append(tmp_path, [line], CAMVID)
    with pytest.raises(UserError, match="line 1 is damaged"):
        journal.lines(tmp_path, CAMVID)
