"""Checks: who gets which, that nobody learns from them, and what they tell of people."""

import itertools

import numpy as np
import pytest

from labor_jax.annotation import checks, journal, ledger, quality, trust
from labor_jax.annotation import queries as q
from labor_jax.annotation.desk import Desk
from labor_jax.data.domain import Domain
from labor_jax.data.labels import CAMVID
from labor_jax.util.errors import UserError

SIZE = (20, 30)
IDS = itertools.count()


@pytest.fixture
def val():
    """Two images of two halves and a thin line, with a void corner."""
    label = np.full(SIZE, 3, np.uint8)
    label[:, 15:], label[:, 20], label[:5, :5] = 8, 2, 255
    return Domain("val", ("a", "z"), lambda i: np.zeros((*SIZE, 3), np.uint8), lambda i: label)


def desk_of(workdir, make, share=0.4, images="abcdefghij"):
    """A desk that asks two points of each image, once."""

    def supply(asked, busy):
        free = [image for image in images if image not in asked and image not in busy]
        return q.point_query(free[0], 1, SIZE, [(2, 3), (9, 9)]) if free else None

    if not q.queries_path(workdir, 1).exists():
        q.write_queries(workdir, 1, [])
    return Desk(workdir, CAMVID, supply=supply, check=checks.Checks(make, share, seed=0))


def answer_all(desk, name, label=3, most=99):
    """Answers until nothing is asked, or so many tasks; returns their ids in order."""
    done = []
    while len(done) < most and (task := desk.take(f"page of {name}", name)["task"]):
        pieces = range(len(desk.view(task)["points"]))
        one = {"task": task, "class": label, "seconds": 1.0}
        said = [one | {"id": f"number-{next(IDS)}", "piece": piece} for piece in pieces]
        assert desk.record(f"page of {name}", name, said)["refused"] == {}
        done.append(task)
    return done


def test_a_share_of_what_a_person_begins_is_checks_and_a_restart_gives_the_same(tmp_path, val):
    make = checks.from_labels(val, 2, seed=0)
    one = answer_all(desk_of(tmp_path / "one", make), "ana")
    number = sum(task.startswith("check/") for task in one)
    assert 2 <= number <= 12 and len(one) == 10 + number
    other = []
    for _ in range(40):  # a desk of its own for each task
        other += answer_all(desk_of(tmp_path / "other", make), "ana", most=1)
    assert other == one
    made = [checks.read(tmp_path / name) for name in ("one", "other")]
    assert made[0] == made[1] and len(made[0]) == number


def test_a_check_that_was_not_answered_is_given_again_and_to_nobody_else(tmp_path, val):
    make = checks.from_labels(val, 2, seed=0)
    desk = desk_of(tmp_path, make, share=0.99)
    assert desk.take("page", "ana")["task"] == "check/1"
    assert desk_of(tmp_path, make, share=0.99).take("other page", "ana")["task"] == "check/1"
    assert desk.take("third", "ben")["task"] == "check/2"
    told = desk.record("third", "ben", [{"id": "number-x", "task": "check/1", "seconds": 1}])
    assert "somebody else" in told["refused"]["number-x"]
    skip = {"task": "check/1", "class": None, "seconds": 1}
    desk.record(
        "page", "ana", [skip | {"id": f"number-s{piece}", "piece": piece} for piece in (0, 1)]
    )
    assert desk.take("page", "ana")["task"] == "1/a", "what was skipped does not block the way"


def test_nobody_who_has_no_work_is_checked(tmp_path, val):
    desk = desk_of(tmp_path, checks.from_labels(val, 2, seed=0), share=0.99, images="")
    assert desk.take("page", "ana")["task"] is None and not checks.read(tmp_path)


def test_checks_of_labels_are_clear_of_other_classes_of_all_classes_and_never_the_same(val):
    make, before = checks.from_labels(val, 4, seed=0), []
    label = val.read_label(0)
    for number in range(20):
        check = make(f"check/{number}", "ana", before, ())
        for (x, y), known in zip(check["points"], check["known"], strict=True):
            around = label[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
            assert (around == known).all() and known in (3, 8)
        before.append(check)
    assert {check["image"] for check in before[:2]} == {"val:a", "val:z"}
    points = [(c["image"], *point) for c in before for point in c["points"]]
    assert len(set(points)) == len(points)
    known = [label for check in before for label in check["known"]]
    assert 0.3 < known.count(8) / len(known) < 0.7, "classes are drawn alike"


def test_what_is_known_does_not_leave_the_server_and_gives_no_label(tmp_path, val):
    desk = desk_of(tmp_path, checks.from_labels(val, 2, seed=0), share=0.5, images="abcdef")
    done, own = [], {"pixel": [0, 19], "class": 3, "seconds": 1}
    while task := desk.take("page of ana", "ana")["task"]:
        view = desk.view(task)
        assert not {"known", "by", "for"} & set(view) and view["image"] == ""
        if task.startswith("check/"):
            chosen = own | {
                "id": f"number-{next(IDS)}",
                "task": task,
            }  # a pixel of one's own choice
            desk.record("page of ana", "ana", [chosen])
        done += answer_all(desk, "ana", most=1)
    assert any(task.startswith("check/") for task in done)
    lines = journal.lines(tmp_path, CAMVID)
    assert {entry["image"] for entry in journal.read(tmp_path, CAMVID)} == set("abcdef")
    assert all(line["image"].startswith("val:") for line in lines if line.get("check"))
    rows = ledger.rows(q.read_queries(tmp_path, 1), lines)
    assert [row["clicks"] for row in rows] == [2] * 6, "checks spend no budget"
    assert Desk(tmp_path, CAMVID).spent()["clicks"] == len(lines), "the journal is whole"


def test_another_persons_answers_are_asked_of_those_who_did_not_see_them(tmp_path):
    make = checks.from_people(1, seed=0)
    desk = desk_of(tmp_path, make, share=0.5)
    assert not [task for task in answer_all(desk, "ana", most=5) if task.startswith("check/")]
    answer_all(desk, "ben", label=8)
    made = checks.read(tmp_path)
    assert made and {check["for"] for check in made} == {"ben"}
    assert {check["by"] for check in made} == {"ana"}
    assert {label for check in made for label in check["known"]} == {3}
    asked = [(check["image"], *point) for check in made for point in check["points"]]
    assert len(set(asked)) == len(asked)
    by_id = {check["id"]: check for check in made}
    (row,) = quality.checked(journal.lines(tmp_path, CAMVID), by_id, len(CAMVID))
    assert (row["annotator"], row["by"], row["answers"]) == ("ben", "ana", len(made))
    assert row["right"]["value"] == 0 and row["right"]["high"] < 1


def test_the_share_of_right_answers_is_told_for_each_person_and_class():
    check = {"known": [3, 3, 8, None, 8], "by": None, "for": "ana", "id": "check/1"}
    labels = [3, 4, 8, 8, 255]
    lines = [
        {"query": "check/1", "piece": n, "class": label, "annotator": "ana", "check": True}
        | {"point": [n, 0], "kind": "points"}
        for n, label in enumerate(labels)
    ]
    (row,) = quality.checked(lines, {"check/1": check}, len(CAMVID))
    assert (row["answers"], row["unsure"]) == (3, 1)
    assert row["right"]["value"] == pytest.approx(2 / 3)
    assert row["classes"][3]["answers"] == 2 and row["classes"][3]["right"]["value"] == 0.5
    assert row["classes"][8]["right"]["value"] == 1 and row["classes"][0]["right"]["value"] is None
    (line,) = quality.describe([row])
    assert line.startswith("ana: 66.7% of 3 answers known from labels are right (90 %: ")


@pytest.mark.parametrize("entry", ["ana", "=1", "ana=x", "ana=-1", "ana=inf"])
def test_trust_that_is_none_is_told(entry):
    with pytest.raises(UserError, match="NAME=WEIGHT"):
        trust.weights((entry,))


def test_trust_names_people_and_only_a_live_run_weighs():
    weights = trust.weights(("ana=0", "a=b=0.5"))
    assert weights == {"ana": 0.0, "a=b": 0.5}
    answers = [{"annotator": name} for name in ("ana", "a=b", "cem")]
    assert [a["annotator"] for a in trust.kept(answers, weights)] == ["a=b", "cem"]
    trust.check_whole(("ana=0", "ben=1"))
    with pytest.raises(UserError, match="only a live run weighs"):
        trust.check_whole(("ana=0.5",))
