"""The desk: who may answer what, what is refused, what is in the journal."""

import itertools

import numpy as np
import pytest

from labor_jax.annotation import journal, ledger
from labor_jax.annotation import queries as q
from labor_jax.annotation.desk import Desk, Review
from labor_jax.data.labels import CAMVID
from labor_jax.util import files

SIZE = (8, 10)
NUMBERS = itertools.count()


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def workdir(tmp_path):
    segments = np.zeros(SIZE, np.int32)
    segments[1:4, 1:5], segments[6, 2:9] = 1, 2
    queries = [
        q.point_query("a", 1, SIZE, [(0, 1), (2, 3)]),
        q.segment_query("b", 1, SIZE, segments),
        q.point_query("empty", 1, SIZE, []),
        q.point_query("c", 1, SIZE, [(7, 9)]),
    ]
    q.write_queries(tmp_path, 1, queries)
    return tmp_path


@pytest.fixture
def desk(workdir, clock):
    return Desk(workdir, CAMVID, clock=clock, lease=45)


def say(task, piece=0, label=3, **more):
    number = f"number-{next(NUMBERS)}"
    return {"id": number, "task": task, "piece": piece, "class": label, "seconds": 1.5, **more}


def undo(of, task):
    return {"id": f"number-{next(NUMBERS)}", "task": task, "undo": of["id"], "seconds": 0.5}


def record(desk, *said, client="page", annotator="ana"):
    """Records and returns the reasons of what was refused."""
    told = desk.record(client, annotator, list(said))
    assert len(told["saved"]) + len(told["refused"]) == len(said)
    return list(told["refused"].values())


def standing(workdir):
    return [(a["image"], a["piece"], a["class"]) for a in journal.read(workdir, CAMVID)]


# ------------------------------------------------------------------------------------ who gets what


def test_pages_get_different_images_until_none_is_left(desk):
    taken = [desk.take(f"page {n}", f"name {n}")["task"] for n in range(4)]
    assert taken == ["1/a", "1/b", "1/c", None]
    assert desk.take("page 3", "name 3")["open"] == 3


def test_a_page_keeps_its_image_and_is_told_what_comes_next(desk):
    for _ in range(2):
        taken = desk.take("page", "ana")
        assert (taken["task"], taken["then"], taken["done"], taken["total"]) == ("1/a", "1/b", 0, 3)
    assert desk.take("page", "ana", want="1/c")["task"] == "1/c"
    assert desk.take("other", "ben")["task"] == "1/a", "a page holds one image only"


def test_an_image_is_free_again_when_its_page_is_silent_or_closed(desk, clock):
    assert desk.take("page", "ana")["task"] == "1/a"
    clock.now = 40
    assert desk.take("page", "ana")["task"] == "1/a"
    clock.now = 80
    assert desk.take("other", "ben", want="1/a")["task"] == "1/b"
    clock.now = 86
    assert desk.take("other", "ben", want="1/a")["task"] == "1/a"
    desk.release("other")
    assert desk.take("third", "cem")["task"] == "1/a"


def test_a_page_that_is_opened_anew_goes_on_for_the_one_that_died(desk):
    assert desk.take("page", "ana")["task"] == "1/a"
    record(desk, say("1/a"))
    assert desk.take("stranger", "ben", opened=True)["task"] == "1/b"
    assert desk.take("new page", "ana", opened=True)["task"] == "1/a"
    assert record(desk, say("1/a", 1)) == ["somebody else is at work on this image"]
    assert desk.take("page", "ana")["task"] == "1/c"


def test_an_image_that_one_has_begun_comes_first(desk):
    desk.take("page", "ana", want="1/b")
    assert record(desk, say("1/b")) == []
    desk.release("page")
    assert desk.take("new page", "ana")["task"] == "1/b"


def test_what_is_asked_at_the_next_stage_appears_when_the_last_one_is_answered(desk, workdir):
    said = [say("1/a", 0), say("1/a", 1), say("1/b", 0), say("1/b", 1), say("1/c")]
    for one in said:
        assert desk.take("page", "ana")["task"] is not None
        assert record(desk, one) == []
    assert desk.take("page", "ana")["task"] is None
    q.write_queries(workdir, 2, [q.point_query("a", 2, SIZE, [(5, 5)])])
    assert desk.take("page", "ana")["task"] == "2/a"


# ------------------------------------------------------------------------------- what is written


def test_an_answer_is_in_the_journal_with_all_that_a_line_has(desk, workdir):
    first, whole = say("1/a", 1, 255), say("1/b", 0, 4)
    assert record(desk, first, whole) == []
    point, segment = journal.lines(workdir, CAMVID)
    assert (point["point"], point["class"], point["annotator"]) == ([3, 2], 255, "ana")
    assert (point["seconds"], point["id"], point["image"]) == (1.5, first["id"], "a")
    assert segment["runs"] == [11, 4, 21, 4, 31, 4]


def test_an_answer_that_is_sent_twice_is_written_once_even_to_another_server(desk, workdir):
    one = say("1/a")
    for _ in range(2):
        assert desk.record("page", "ana", [one])["saved"] == [one["id"]]
    assert Desk(workdir, CAMVID).record("page", "ana", [one])["saved"] == [one["id"]]
    assert len(journal.lines(workdir, CAMVID)) == 1


def test_a_segment_can_be_answered_in_parts_and_the_rest_is_what_is_left(desk, workdir):
    part = say("1/b", 0, 1, runs=[22, 2, 12, 1])
    assert record(desk, part, say("1/b", 0, 2)) == []
    label = journal.label_map(journal.read(workdir, CAMVID), SIZE)
    expected = np.full(SIZE, 255)
    expected[1:4, 1:5] = 2
    expected[2, 2:4] = expected[1, 2] = 1
    np.testing.assert_array_equal(label, expected)
    assert record(desk, say("1/b", 0, 2)) == ["this is answered already"]


def test_what_is_taken_back_is_open_again_and_only_its_giver_may(desk, workdir):
    one = say("1/a", 0, 3)
    record(desk, one)
    desk.release("page")
    assert record(desk, undo(one, "1/a"), client="other", annotator="ben") == [
        "that answer is somebody else's"
    ]
    assert record(desk, undo(one, "1/a"), say("1/a", 0, 5)) == []
    assert record(desk, undo(one, "1/a")) == ["that answer does not stand"]
    assert standing(workdir) == [("a", 0, 5)]


def test_a_part_that_is_taken_back_leaves_the_other_parts(desk, workdir):
    part, rest = say("1/b", 0, 1, runs=[11, 2]), say("1/b", 0, 2)
    assert record(desk, part, rest, undo(part, "1/b")) == []
    (left,) = journal.read(workdir, CAMVID)
    assert left["class"] == 2 and sum(left["runs"][1::2]) == 10
    assert record(desk, say("1/b", 0, 7)) == []
    assert journal.read(workdir, CAMVID)[1]["runs"] == [11, 2]


def test_skipped_pieces_stay_open_and_come_last(desk, workdir):
    assert record(desk, say("1/a", 0, None), say("1/a", 1, None)) == []
    assert desk.take("page", "ana")["task"] == "1/b"
    desk.release("page")
    assert desk.take("other", "ben")["task"] == "1/a", "others may know better"
    desk.release("other")
    record(desk, say("1/b", 0), say("1/b", 1), say("1/c"))
    assert desk.take("page", "ana")["task"] == "1/a"
    assert desk.view("1/a")["skipped"] == [(0, "ana"), (1, "ana")]
    assert [entry[0] for entry in standing(workdir)] == ["b", "b", "c"]


def test_a_new_desk_knows_all_that_the_old_one_did(desk, workdir):
    part, skipped = say("1/b", 0, 1, runs=[11, 2]), say("1/b", 1, None)
    taken_back = say("1/a", 1, 2)
    record(desk, say("1/a", 0, 2), taken_back, undo(taken_back, "1/a"), part, skipped)
    again = Desk(workdir, CAMVID)
    for task in ("1/a", "1/b", "1/c"):
        old, new = desk.view(task), again.view(task)
        assert old == new
    taken = again.take("page", "ana")
    assert (taken["clicks"], taken["seconds"]) == (3, 1.5 * 4 + 0.5)


def test_a_journal_that_cannot_be_written_saves_nothing_and_can_be_tried_again(
    desk, workdir, monkeypatch
):
    one = say("1/a")
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(journal.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "full")))
        desk.record("page", "ana", [one])
    assert journal.lines(workdir, CAMVID) == []
    assert record(desk, one) == []
    assert standing(workdir) == [("a", 0, 3)]


# ------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"task": "1/../../etc/passwd"}, "there is no such task"),
        ({"task": None}, "there is no such task"),
        ({"piece": 2}, "there is no such piece"),
        ({"piece": -1}, "there is no such piece"),
        ({"piece": True}, "there is no such piece"),
        ({"class": 11}, "there is no such class"),
        ({"class": -1}, "there is no such class"),
        ({"class": "3"}, "there is no such class"),
        ({"seconds": -1}, "seconds are a number"),
        ({"seconds": float("nan")}, "seconds are a number"),
        ({"seconds": "1"}, "seconds are a number"),
        ({"runs": [0, 2]}, "these pixels are not asked"),
        ({"runs": [11, 5]}, "these pixels are not asked"),
        ({"runs": [11, 2, 12, 2]}, "these pixels are not asked"),
        ({"runs": [11, 2**30]}, "runs are"),
        ({"runs": [11]}, "runs are"),
        ({"runs": [11, 0]}, "runs are"),
        ({"runs": ["a", "b"]}, "runs are"),
        ({"runs": "11,2"}, "runs are"),
        ({"undo": "number-0"}, "that answer does not stand"),
        ({"undo": {"a": 1}}, "that answer does not stand"),
        ({"id": "short"}, "an answer has an id"),
        ({"id": 5}, "an answer has an id"),
    ],
)
def test_what_cannot_be_an_answer_is_refused_and_the_others_are_saved(desk, workdir, wrong, why):
    good = say("1/b", 1)
    (reason,) = record(desk, say("1/b") | wrong, good)
    assert why in reason
    assert [(a["id"]) for a in journal.lines(workdir, CAMVID)] == [good["id"]]


def test_another_pages_image_cannot_be_answered(desk, workdir):
    desk.take("other", "ben")
    assert record(desk, say("1/a")) == ["somebody else is at work on this image"]
    assert standing(workdir) == []


# ------------------------------------------------------------------------------- second opinions


def test_a_second_opinion_is_asked_of_somebody_else_once_the_first_is_given(workdir):
    desk = Desk(workdir, CAMVID, again=1)
    record(desk, say("1/a", 0, 3), say("1/a", 1, 4), say("1/b", 0), say("1/b", 1), say("1/c"))
    assert desk.take("page", "ana")["task"] is None
    assert desk.take("other", "ben")["task"] == "1/a/again"
    assert record(desk, say("1/a/again", 0, 3)) != []
    given = [say("1/a/again", 0, 3), say("1/a/again", 1, 5)]
    assert record(desk, *given, client="other", annotator="ben") == []
    desk.release("other")
    assert desk.take("third", "cem")["task"] is None
    assert [entry for entry in standing(workdir) if entry[0] == "a"] == [("a", 0, 3), ("a", 1, 4)]
    assert Desk(workdir, CAMVID, again=1).view("1/a/again")["answers"][1]["class"] == 5


# ------------------------------------------------------------------------------ images that went


def test_tasks_about_images_that_are_away_are_not_given_until_they_are_back(workdir, clock):
    away = {"a"}
    desk = Desk(workdir, CAMVID, clock=clock, is_there=lambda image: image not in away)
    told = desk.take("page", "ana")
    assert told["task"] == "1/b" and told["then"] == "1/c"
    assert (told["open"], told["total"]) == (2, 2)
    assert desk.take("page", "ana", want="1/a")["task"] != "1/a"
    away.add("c")
    assert desk.take("page", "ana") | {"task": "1/b", "then": None, "open": 1} == desk.take(
        "page", "ana"
    )
    away.clear()
    assert desk.take("other", "ben")["task"] in ("1/a", "1/c")
    assert desk.take("page", "ana")["open"] == 3


def test_where_all_images_are_away_there_is_no_task(workdir, clock):
    desk = Desk(workdir, CAMVID, clock=clock, is_there=lambda image: False)
    told = desk.take("page", "ana")
    assert told["task"] is None and told["open"] == told["total"] == 0


# ----------------------------------------------------------------- queries that come as one answers


@pytest.fixture
def supplied(tmp_path):
    """A desk of images "a", "b" and "c", each of which is asked about twice, a point at a time."""

    def supply(asked, busy):
        for number in (1, 2):
            for image in "abc":
                if image not in busy and len(asked.get(image, ())) < number:
                    query = q.point_query(image, 1, SIZE, [(number, number)])
                    return query | {"id": q.next_id(query, asked.get(image, ()))}
        return None

    return lambda: Desk(tmp_path, CAMVID, supply=supply), tmp_path


def test_nobody_is_told_which_answers_are_held(tmp_path):
    held = q.point_query("a", 1, SIZE, [(1, 1)]) | {"origin": q.HELD}
    desk = Desk(tmp_path, CAMVID, supply=lambda asked, busy: None if asked else held)
    told = desk.view(desk.take("page", "ana")["task"])
    assert told["points"] == [[1, 1]] and q.HELD not in str(told)


def test_a_supplied_query_is_on_disk_before_it_is_given_and_none_is_made_ahead(supplied):
    make, workdir = supplied
    desk = make()
    assert q.read_queries(workdir, 1) == []
    assert desk.take("page", "ana")["task"] == "1/a#1"
    assert [query["id"] for query in q.read_queries(workdir, 1)] == ["1/a#1"]
    assert desk.take("page", "ana")["task"] == "1/a#1", "the same until it is answered"
    assert not record(desk, say("1/a#1"))
    assert desk.take("page", "ana")["task"] == "1/b#1"
    assert len(q.read_queries(workdir, 1)) == 2


def test_two_people_get_no_query_twice_and_what_one_leaves_open_comes_first(supplied):
    make, _ = supplied
    desk = make()
    assert [desk.take(f"page {n}", f"name {n}")["task"] for n in range(3)] == [
        "1/a#1",
        "1/b#1",
        "1/c#1",
    ]
    assert desk.take("page 3", "name 3")["task"] is None, "each image is at somebody's"
    desk.release("page 1")
    assert desk.take("page 3", "name 3")["task"] == "1/b#1"


def test_a_desk_that_starts_again_goes_on_with_the_same_queries(supplied):
    make, workdir = supplied
    desk = make()
    for task in ("1/a#1", "1/b#1"):
        assert desk.take("page", "ana")["task"] == task
        assert not record(desk, say(task))
    assert desk.take("page", "ana")["task"] == "1/c#1"
    with open(q.queries_path(workdir, 1), "ab") as file:
        file.write(b'{"id": "1/a#')  # a process that is killed in the middle of a line
    files.append_lines(q.queries_path(workdir, 1), b"")
    again = make()
    assert again.take("page", "ana")["task"] == "1/c#1"
    assert not record(again, say("1/c#1"))
    assert again.take("page", "ana")["task"] == "1/a#2"


def test_what_is_skipped_waits_until_nothing_else_is_asked(supplied):
    make, _ = supplied
    desk = make()
    assert not record(desk, say(desk.take("page", "ana")["task"], label=None))
    tasks = []
    while (task := desk.take("page", "ana")["task"]) not in tasks:
        tasks.append(task)
        if task != "1/a#1":
            assert not record(desk, say(task))
    assert tasks == ["1/b#1", "1/c#1", "1/b#2", "1/c#2", "1/a#1"]


def test_any_pixel_can_be_answered_once_and_is_kept_apart(supplied):
    make, workdir = supplied
    desk = make()
    task = desk.take("page", "ana")["task"]
    own = say(task, pixel=[7, 5], label=2)
    assert not record(desk, own) and not record(desk, own)
    (entry,) = journal.read(workdir, CAMVID)
    (query,) = (x for x in q.read_queries(workdir, 1) if x.get("origin"))
    assert (query["origin"], query["points"], query["id"]) == (q.VOLUNTEERED, [[7, 5]], "1/a#2")
    assert (entry["query"], entry["point"], entry["class"]) == ("1/a#2", [7, 5], 2)
    assert record(desk, say(task, pixel=[7, 5])) == ["this pixel is asked about already"]
    assert record(desk, say(task, pixel=[1, 1])) == ["this pixel is asked about already"]
    assert not record(desk, undo(own, task))
    assert journal.read(workdir, CAMVID) == []
    assert desk.take("other", "bob")["task"] == "1/b#1", "nobody is asked about another's pixel"


@pytest.mark.parametrize(
    "pixel", [[-1, 0], [0, 8], [10, 0], [1.0, 2], [1], "1,2", None, [True, 1], [[1], 2]]
)
def test_a_pixel_outside_the_image_is_refused(supplied, pixel):
    make, workdir = supplied
    desk = make()
    assert record(desk, say(desk.take("page", "ana")["task"], pixel=pixel))
    assert len(q.read_queries(workdir, 1)) == 1 and journal.lines(workdir, CAMVID) == []


def test_a_run_that_waits_is_answered_only_where_it_asks(desk, workdir):
    assert record(desk, say("1/a", pixel=[7, 5])) == ["only what is asked can be answered"]


@pytest.fixture
def reviewed(supplied):
    """The same desks, whose images may be reviewed in two pieces: left and right."""
    _, workdir = supplied
    pieces = np.ones(SIZE, np.int32)
    pieces[:, SIZE[1] // 2 :] = 2
    review = Review(lambda image: SIZE if image in ("a", "b") else None, lambda image: pieces)

    def supply(asked, busy):
        query = q.point_query("a", 1, SIZE, [(1, 1)])
        return None if asked.get("a") else query | {"id": q.next_id(query, [])}

    return lambda: Desk(workdir, CAMVID, supply=supply, review=review), workdir


def test_a_region_is_fixed_in_an_image_that_nobody_asked_about_and_is_kept_apart(reviewed):
    make, workdir = reviewed
    desk = make()
    told = desk.view("review/b")
    assert (desk.image("review/b"), told["size"], len(told["segments"])) == ("b", list(SIZE), 2)
    own = say("review/b", piece=1, label=2, runs=[6, 2, 16, 2], shown={"model": 3, "guess": 4})
    assert not record(desk, own) and not record(desk, own)
    (entry,), (query,) = journal.read(workdir, CAMVID), q.read_queries(workdir, 1)
    assert (query["origin"], query["segments"]) == (q.VOLUNTEERED, [[6, 2, 16, 2]])
    assert (entry["runs"], entry["class"], entry["guess"]) == ([6, 2, 16, 2], 2, 4)
    (row,) = ledger.rows([query], [entry])
    assert (row["clicks"], row["volunteered"], row["segments"]) == (1, 1, 0)
    again = make()
    (shown,) = again.view("review/b")["answers"]
    assert (shown["piece"], shown["runs"], shown["class"]) == (1, [6, 2, 16, 2], 2)
    assert again.fixed() == {"b": 1}
    assert again.take("page", "ana")["task"] == "1/a#1", "nobody is asked about it"
    assert record(again, undo(own, "review/b"), annotator="bob"), "it is ana's"
    assert not record(again, undo(own, "review/b"))
    assert journal.read(workdir, CAMVID) == [] and not again.fixed()


@pytest.mark.parametrize(
    "wrong",
    [
        {"runs": None},
        {"runs": []},
        {"runs": [6, 2, 7]},
        {"runs": [6, 0]},
        {"runs": [-1, 2]},
        {"runs": [SIZE[0] * SIZE[1] - 1, 2]},
        {"runs": [0, 2**30]},
        {"runs": [True, 1]},
        {"class": None},
        {"class": 11},
        {"task": "review/d"},
        {"task": "review/"},
    ],
)
def test_what_is_no_region_is_refused_and_leaves_no_query(reviewed, wrong):
    make, workdir = reviewed
    desk = make()
    assert record(desk, say("review/b", runs=[6, 2]) | wrong)
    assert q.read_queries(workdir, 1) == [] and journal.lines(workdir, CAMVID) == []


def test_without_a_review_nothing_can_be_fixed(desk):
    assert desk.view("review/a") is None and desk.image("review/a") is None
    assert record(desk, say("review/a", runs=[6, 2]))


def test_what_is_fixed_of_a_run_of_stages_says_which_stage_learns_it_and_its_files_stay(workdir):
    asked = q.queries_path(workdir, 1).read_bytes()
    review = Review(lambda _: SIZE, lambda _: np.ones(SIZE, np.int32))

    def make():
        return Desk(workdir, CAMVID, review=review)

    desk = make()
    early, late = (say("review/empty", label=n, runs=[10 * n, 5]) for n in (2, 4))
    assert not record(desk, early)
    for task, pieces in {"1/a": 2, "1/b": 2, "1/c": 1}.items():
        assert not record(desk, *(say(task, piece=piece) for piece in range(pieces)))
    assert not record(desk, late)
    stages = [(query["id"], query["stage"]) for query in q.fixes(workdir)["empty"]]
    assert stages == [("1/empty#1", 1), ("2/empty#2", 2)], "the first stage may be learnt by then"
    assert [query["stage"] for query in q.fixes(workdir, 1)["empty"]] == [1]
    assert q.queries_path(workdir, 1).read_bytes() == asked
    again = make()
    assert again.fixed() == {"empty": 2} and again.take("page", "ana")["task"] is None
    assert [a["class"] for a in again.view("review/empty")["answers"]] == [2, 4]
    assert not record(again, undo(late, "review/empty"))
    assert make().fixed() == {"empty": 1}
    (left,) = journal.standing_fixes(workdir, CAMVID)["empty"]
    assert left["id"] == "1/empty#1", "what was taken back may be asked about again"
    fixes, lines = q.fixes(workdir)["empty"], journal.lines(workdir, CAMVID)
    assert [(row["pixels"], row["clicks"]) for row in ledger.rows(fixes, lines)] == [(5, 1), (0, 1)]


def test_fixes_wait_for_the_next_stage_and_its_questions_reach_an_open_page(workdir):
    review = Review(lambda _: SIZE, lambda _: np.ones(SIZE, np.int32))
    desk = Desk(workdir, CAMVID, review=review)
    for task, pieces in {"1/a": 2, "1/b": 2, "1/c": 1}.items():
        assert not record(desk, *(say(task, piece=piece) for piece in range(pieces)))
    for row in range(3):
        assert not record(desk, say("review/empty", runs=[10 * row, 5]))
    assert [query["stage"] for query in q.fixes(workdir)["empty"]] == [2, 2, 2]
    assert desk.take("page", "ana")["task"] is None
    q.write_queries(workdir, 2, [q.point_query("c", 2, SIZE, [(1, 1)])])
    assert desk.take("page", "ana")["task"] == "2/c"
    assert desk.fixed() == {"empty": 3}


def test_what_was_in_sight_stands_in_the_journal(desk, workdir):
    desk.take("page", "ana")
    assert not record(desk, say("1/a", shown={"model": 12, "guess": 4}))
    (line,) = journal.lines(workdir, CAMVID)
    assert (line["shown"], line["model"], line["guess"], line["class"]) == (True, 12, 4, 3)
    for shown in ({}, {"model": 1}, {"model": -1, "guess": 1}, {"model": 1, "guess": 11}, [1], 5):
        assert record(desk, say("1/a", piece=1, shown=shown))
    odd = {"model": 1, "guess": 1, "class": 9}
    assert record(desk, say("1/a", piece=1, shown=odd)), "it cannot overwrite the answer's keys"


def test_a_full_disk_loses_neither_query_nor_answer(supplied, monkeypatch):
    make, workdir = supplied
    desk = make()
    task = desk.take("page", "ana")["task"]
    own = say(task, pixel=[7, 5])

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(OSError):
            desk.record("page", "ana", [own])
    assert not record(desk, own)
    assert len(journal.read(workdir, CAMVID)) == 1
