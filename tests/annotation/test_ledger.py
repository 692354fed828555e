"""The ledger against brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labor_jax.annotation import journal, ledger, oracle
from labor_jax.annotation import queries as q
from labor_jax.selection.segments import components

SIZE = (4, 5)
TRUTH = hnp.arrays(np.uint8, SIZE, elements=st.sampled_from([0, 1, 255]))
MASK = hnp.arrays(bool, SIZE)
PLACES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), unique=True, max_size=6)


@given(TRUTH, MASK, PLACES)
def test_rows_count_what_was_asked_and_answered(truth, mask, places):
    segments = components(np.zeros(SIZE, np.uint8), mask)
    queries = [
        q.segment_query("a", 1, SIZE, segments),
        q.point_query("a", 2, SIZE, places),
        q.point_query("b", 2, SIZE, []),
    ]
    answers = [entry for query in queries for entry in oracle.annotate(query, truth)]
    first, second, third = ledger.rows(queries, answers)
    parts = sum(
        components(truth, segments == number).max() for number in range(1, segments.max() + 1)
    )
    void_parts = sum(
        components(truth, (segments == number) & (truth == 255)).max()
        for number in range(1, segments.max() + 1)
    )
    assert first == {
        "image": "a",
        "stage": 1,
        "pixels": mask.sum(),
        "points": 0,
        "segments": segments.max(),
        "clicks": parts,
        "volunteered": 0,
        "void": void_parts,
        "seconds": None,
    }
    assert second == {
        "image": "a",
        "stage": 2,
        "pixels": len(places),
        "points": len(places),
        "segments": 0,
        "clicks": len(places),
        "volunteered": 0,
        "void": sum(truth[place] == 255 for place in places),
        "seconds": None,
    }
    assert set(third.values()) == {"b", 2, 0, None}


def test_points_that_people_chose_are_clicks_and_none_that_was_asked():
    query = q.point_query("a", 1, SIZE, [(1, 2)]) | {"origin": q.VOLUNTEERED}
    answers = oracle.annotate(query, np.zeros(SIZE, np.uint8))
    (own,) = ledger.rows([query], [*answers, *answers])
    assert (own["points"], own["pixels"]) == (0, 1)
    assert own["clicks"] == own["volunteered"] == 2


def row(image, stage, **counts):
    zero = dict.fromkeys(ledger.COUNTS, 0)
    return {"image": image, "stage": stage, **zero, "seconds": None, **counts}


def test_a_budget_sums_rows_over_a_pool_that_has_images_nobody_asked():
    rows = [
        row("a", 1, pixels=3, points=3, clicks=3, void=1, seconds=2.5),
        row("a", 2, pixels=4, segments=1, clicks=2, seconds=1.0),
        row("b", 1),
    ]
    assert ledger.budget(rows, {"a": 50, "b": 150}) == {
        "images": 1,
        "pixels": 7,
        "points": 3,
        "segments": 1,
        "clicks": 5,
        "volunteered": 0,
        "void": 1,
        "fraction": 7 / 200,
        "seconds": 3.5,
        "points_per_image": 1.5,
        "clicks_per_image": 2.5,
    }


@pytest.mark.parametrize("pool", [{}, {"a": 10}])
def test_nothing_asked_costs_nothing(pool):
    total = ledger.budget([], pool)
    assert total["seconds"] is None
    assert not any(value for name, value in total.items() if name != "seconds")


# ----------------------------------------------------------------------------------- annotators

POINTS = q.point_query("a", 1, SIZE, [(0, 0), (1, 1), (2, 2), (3, 3)])


def say(name, *labels, query=POINTS, **more):
    return [
        journal.answer(query, i, label, name, point=query["points"][i], **more)
        for i, label in enumerate(labels)
    ]


def test_people_are_counted_by_name_with_idle_time_cut_and_what_they_took_back():
    ana = say("ana", 1, 255, None, seconds=2.0)
    ana += [ana[0] | {"undo": True, "seconds": 1.0}, ana[0] | {"seconds": 1000.0}]
    ben = say("ben", 3, query=q.point_query("b", 1, SIZE, [(0, 0)]))
    assert ledger.annotators(ana + ben) == [
        {"annotator": "ana", "clicks": 3, "unsure": 1, "skipped": 1, "undone": 1, "seconds": 67.0},
        {"annotator": "ben", "clicks": 1, "unsure": 0, "skipped": 0, "undone": 0, "seconds": None},
    ]
    (row,) = ledger.rows([POINTS], ana)
    assert (row["clicks"], row["void"], row["seconds"]) == (3, 1, 67.0)


def test_a_second_opinion_costs_the_run_nothing():
    lines = say("ana", 1, 2, 3, 4, seconds=1.0) + say("ben", 1, 2, 3, 4, seconds=1.0, second=True)
    (row,) = ledger.rows([POINTS], lines)
    assert (row["clicks"], row["seconds"]) == (4, 4.0)


def test_agreement_is_over_the_pixels_to_which_both_gave_a_class():
    other = q.point_query("b", 1, SIZE, [(0, 0)])
    lines = say("ana", 1, 1, 2, 2) + say("ana", 5, query=other)
    lines += say("ben", 1, 2, 2, 255, second=True) + say("cem", 5, query=other, second=True)
    both, single = ledger.agreement(lines)
    # ana 1, 1, 2 and ben 1, 2, 2: by chance they agree on 2/3 * 1/3 + 1/3 * 2/3 = 4/9.
    assert both == {
        "annotators": ["ana", "ben"],
        "images": 1,
        "pixels": 3,
        "agree": pytest.approx(2 / 3),
        "kappa": pytest.approx((2 / 3 - 4 / 9) / (5 / 9)),
    }
    assert (single["annotators"], single["agree"], single["kappa"]) == (["ana", "cem"], 1.0, None)


def test_agreement_on_segments_counts_pixels_however_they_were_cut():
    query = q.segment_query("a", 1, SIZE, np.ones(SIZE, np.int32))
    whole = [v for r in range(4) for v in (5 * r, 5)]
    lines = [journal.answer(query, 0, 1, "ana", runs=whole)]
    lines += [
        journal.answer(query, 0, label, "ben", runs=runs, second=True)
        for label, runs in ((1, whole[:2]), (2, whole[2:]))
    ]
    (row,) = ledger.agreement(lines)
    assert (row["pixels"], row["agree"]) == (20, 0.25)
