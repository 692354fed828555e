"""The journal, and the labels that derive from it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from labor_jax.annotation import journal
from labor_jax.annotation import queries as q
from labor_jax.data.images import read_label_png
from labor_jax.data.labels import CAMVID, CITYSCAPES
from labor_jax.util.errors import UserError

SIZE = (4, 6)
POINTS = q.point_query("a", 1, SIZE, [(0, 1), (3, 5)])
SEGMENTS = q.segment_query("deep/b", 2, SIZE, np.eye(4, 6, dtype=np.int32) * 1)


def answers():
    return [
        journal.answer(POINTS, 0, 3, "oracle", point=[1, 0]),
        journal.answer(POINTS, 1, 255, "oracle", point=[5, 3]),
        journal.answer(SEGMENTS, 0, 7, "oracle", runs=SEGMENTS["segments"][0]),
    ]


def test_answers_come_back_in_order_with_all_they_held(tmp_path):
    journal.append(tmp_path, answers()[:2], CAMVID)
    journal.append(tmp_path, answers()[2:], CAMVID)
    back = journal.read(tmp_path, CAMVID)
    assert [{k: v for k, v in entry.items() if k != "classes"} for entry in back] == answers()
    assert {entry["classes"] for entry in back} == {CAMVID.digest()}


def test_a_line_has_the_keys_that_others_build_on(tmp_path):
    journal.append(tmp_path, answers(), CAMVID)
    first, _, last = (json.loads(x) for x in journal.path(tmp_path).read_text().splitlines())
    keys = ["query", "piece", "image", "stage", "kind", "class"]
    keys += ["seconds", "annotator", "version", "classes"]
    assert set(first) == {*keys, "point"}
    assert set(last) == {*keys, "runs"}


def test_a_journal_that_is_not_there_yet_is_empty(tmp_path):
    assert journal.read(tmp_path, CAMVID) == []


@given(st.integers(1, 400))
def test_a_half_written_last_line_is_cut_off_and_answers_can_go_on(tmp_path_factory, cut):
    tmp_path = tmp_path_factory.mktemp("journal")
    journal.append(tmp_path, answers(), CAMVID)
    whole = journal.path(tmp_path).read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    journal.path(tmp_path).write_bytes(whole[: -min(cut, last)])
    assert len(journal.read(tmp_path, CAMVID)) == 2
    journal.append(tmp_path, answers()[2:], CAMVID)
    assert journal.path(tmp_path).read_bytes() == whole


@pytest.mark.parametrize("damage", ["{not json", '"text"', "{}", "", '{"classes": null'])
def test_a_damaged_line_in_the_middle_is_refused_and_left_alone(tmp_path, damage):
    journal.append(tmp_path, answers(), CAMVID)
    lines = journal.path(tmp_path).read_text().splitlines()
    lines[1] = damage
    journal.path(tmp_path).write_text("\n".join(lines) + "\n")
    before = journal.path(tmp_path).read_bytes()
    with pytest.raises(UserError, match=r"journal\.jsonl: line 2 is damaged"):
        journal.read(tmp_path, CAMVID)
    assert journal.path(tmp_path).read_bytes() == before


def test_answers_of_another_class_table_are_refused(tmp_path):
    journal.append(tmp_path, answers(), CAMVID)
    with pytest.raises(UserError, match=r"line 1 was answered with another class table"):
        journal.read(tmp_path, CITYSCAPES)


def test_a_label_map_has_each_answers_pixels_and_nothing_else():
    label = journal.label_map([a | {"image": "a"} for a in answers()], SIZE)
    expected = np.full(SIZE, 255, np.uint8)
    expected[np.arange(4), np.arange(4)] = 7
    expected[0, 1] = 3
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, expected)


def test_labels_are_written_for_every_answered_image_and_come_again_when_deleted(tmp_path):
    sizes = {"a": SIZE, "deep/b": SIZE}
    journal.write_labels(tmp_path, answers(), sizes, CAMVID)
    first = journal.labels_path(tmp_path, "deep/b").read_bytes()
    np.testing.assert_array_equal(
        read_label_png(journal.labels_path(tmp_path, "deep/b")),
        journal.label_map(answers()[2:], SIZE),
    )
    with Image.open(journal.labels_path(tmp_path, "a")) as image:
        assert image.convert("RGB").getpixel((1, 0)) == CAMVID.palette[3]
    for path in (tmp_path / "annotations" / "labels").rglob("*.png"):
        path.unlink()
    journal.write_labels(tmp_path, answers(), sizes, CAMVID)
    assert journal.labels_path(tmp_path, "deep/b").read_bytes() == first
    assert journal.labels_path(tmp_path, "a").exists()


def test_places_tell_a_querys_answers_apart():
    parts = [
        journal.answer(SEGMENTS, piece, 0, "oracle", runs=runs)
        for piece, runs in ((0, [0, 1]), (0, [7, 1]), (1, [0, 1]))
    ]
    assert len({journal.place(entry) for entry in answers()[:2] + parts}) == 5


# ------------------------------------------------------------------- taken back, skipped, second


def test_an_answer_that_was_taken_back_does_not_stand_and_may_be_given_again(tmp_path):
    first, second, third = answers()
    journal.append(tmp_path, [first, second, second | {"undo": True}, third], CAMVID)
    assert [a["class"] for a in journal.read(tmp_path, CAMVID)] == [3, 7]
    journal.append(tmp_path, [second | {"class": 9}], CAMVID)
    assert [a["class"] for a in journal.read(tmp_path, CAMVID)] == [3, 7, 9]
    assert len(journal.lines(tmp_path, CAMVID)) == 5, "nothing is ever taken out"


def test_a_skipped_piece_and_a_second_opinion_give_no_label(tmp_path):
    first, second, third = answers()
    other = [first | {"class": 1, "annotator": "ben", "second": True}, second | {"class": None}]
    journal.append(tmp_path, [first, third, *other], CAMVID)
    assert [a["class"] for a in journal.read(tmp_path, CAMVID)] == [3, 7]
    # A second opinion that is taken back leaves the first one alone.
    journal.append(tmp_path, [other[0] | {"undo": True}], CAMVID)
    assert [a["class"] for a in journal.read(tmp_path, CAMVID)] == [3, 7]


def test_pieces_are_open_until_every_pixel_of_theirs_is_answered():
    first, second, third = answers()
    assert journal.open_pieces(POINTS, []) == [0, 1]
    assert journal.open_pieces(POINTS, [second]) == [0]
    assert journal.open_pieces(POINTS, [first, second]) == []
    runs = third["runs"]
    assert journal.open_pieces(SEGMENTS, []) == [0]
    assert journal.open_pieces(SEGMENTS, [third | {"runs": runs[:4]}]) == [0]
    parts = [third | {"runs": runs[:4]}, third | {"runs": runs[4:]}]
    assert journal.open_pieces(SEGMENTS, parts) == []


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    journal.append(tmp_path, answers()[:1], CAMVID)
    before = journal.path(tmp_path).read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(journal.os, "fsync", full)
        journal.append(tmp_path, answers()[1:], CAMVID)
    assert journal.path(tmp_path).read_bytes() == before
    journal.append(tmp_path, answers()[1:], CAMVID)
    assert len(journal.read(tmp_path, CAMVID)) == 3


# ------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize(
    "change",
    [
        {"class": 77},
        {"class": "3"},
        {"class": 3.5},
        {"piece": -1},
        {"piece": None},
        {"stage": "1"},
        {"query": 5},
        {"annotator": None},
        {"seconds": -1},
        {"seconds": float("nan")},
        {"kind": "lines"},
        {"kind": "segments"},
        {"point": None},
        {"point": [1]},
        {"point": [1, -2]},
        {"runs": [0, 1]},
        {"id": 7},
    ],
)
def test_a_line_that_this_program_has_not_written_is_told_by_its_number(tmp_path, change):
    first, second, _ = answers()
    journal.append(tmp_path, [first, second | change], CAMVID)
    with pytest.raises(UserError, match=r"journal.jsonl: line 2 is damaged; restore it"):
        journal.read(tmp_path, CAMVID)


@pytest.mark.parametrize("runs", [[], [0], [0, 0], [0, -1], [-1, 1], [0, 2**40], ["0", 1], 3])
def test_runs_that_are_none_are_damage(tmp_path, runs):
    journal.append(tmp_path, [answers()[2] | {"runs": runs}], CAMVID)
    with pytest.raises(UserError, match="line 1 is damaged"):
        journal.read(tmp_path, CAMVID)


@pytest.mark.parametrize(
    "change", [{"piece": 9}, {"image": "c"}, {"point": [0, 99]}, {"point": [99, 0]}]
)
def test_an_answer_to_something_else_than_was_asked_is_told(tmp_path, change):
    journal.append(tmp_path, [answers()[0] | change], CAMVID)
    written = journal.on_disk(tmp_path, CAMVID)
    with pytest.raises(UserError, match=r"journal.jsonl: an answer to .* restore both files"):
        journal.answers_to(POINTS, written)
