"""What a reader took, left out and changed is told with counts, reasons and three examples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labor_jax.util.errors import UserError
from labor_jax.util.tally import LeftOut, Tally, one_line


def test_each_reason_has_a_line_with_its_count_and_three_examples():
    tally = Tally("answer")
    tally.take(2)
    for name in ("a", "b", "b", "c", "d"):
        tally.leave_out("shape", "of an unknown class", name)
    tally.leave_out("pixel", "outside of what is asked", "a (3, 4)", 1200)
    tally.change("turned", "image", "as its EXIF data say", "e.jpg")
    assert list(tally.reasons()) == [
        "turned: 1 image as its EXIF data say, such as e.jpg",
        "left out: 5 shapes of an unknown class, such as a; b; c",
        "left out: 1,200 pixels outside of what is asked, such as a (3, 4)",
    ]
    assert tally.total() == "2 answers taken; left out: 5 shapes, 1,200 pixels"


def test_the_last_line_says_that_nothing_was_left_out():
    tally = Tally("image")
    tally.take()
    assert list(tally.reasons()) == []
    assert tally.total() == "1 image taken; nothing left out"


def test_the_last_line_adds_all_reasons_of_one_noun():
    tally = Tally("image")
    tally.leave_out("file", "without a label", "a")
    tally.leave_out("file", "that is empty", "b", 2)
    assert tally.total() == "0 images taken; left out: 3 files"


@given(st.text(), st.integers(1, 200))
def test_a_text_from_a_file_is_told_in_one_printable_line(text, length):
    line = one_line(text, length)
    assert len(line) <= length and line.isprintable() and line == line.strip()


def test_a_part_that_cannot_be_read_is_left_out_whatever_is_wrong_with_it():
    tally, done = Tally("image"), []
    for error in (
        LeftOut("without a label", "it is empty"),
        LeftOut("without a label"),
        UserError("b.png: unreadable"),
        KeyError("size"),
        RecursionError(),
        ZeroDivisionError("by zero"),
        MemoryError(),
    ):
        with tally.spare("file", "a.json"):
            raise error
        done.append(error)
    assert len(done) == 7
    assert tally.left_out == {
        ("file", "without a label"): (2, ("a.json: it is empty", "a.json")),
        ("file", "that cannot be read"): (
            5,
            ("b.png: unreadable", "a.json: it has no 'size'", "a.json: it is nested too deep"),
        ),
    }


def test_an_interruption_is_no_damage():
    tally = Tally("image")
    with pytest.raises(KeyboardInterrupt), tally.spare("file", "a.json"):
        raise KeyboardInterrupt
    assert tally.left_out == {}


def test_an_example_is_only_made_if_it_is_kept():
    tally, made = Tally("image"), []
    for number in range(9):
        tally.leave_out("file", "without a label", lambda number=number: made.append(number) or "a")
    assert tally.left_out["file", "without a label"].number == 9 and len(made) == 9
    for number in range(9):
        tally.leave_out("file", "that is empty", lambda n=number: made.append(n) or str(n))
    assert tally.left_out["file", "that is empty"].examples == ("0", "1", "2") and len(made) == 12
