"""The ledger against brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labor_jax.annotation import ledger, oracle
from labor_jax.annotation import query as q

SIZE = (4, 5)
TRUTH = hnp.arrays(np.uint8, SIZE, elements=st.sampled_from([0, 1, 255]))
MASK = hnp.arrays(bool, SIZE)
PLACES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), unique=True, max_size=6)


@given(TRUTH, MASK, PLACES)
def test_rows_count_what_was_asked_and_answered(truth, mask, places):
    segments = q.components(np.zeros(SIZE, np.uint8), mask)
    queries = [
        q.segment_query("a", 1, SIZE, segments),
        q.point_query("a", 2, SIZE, places),
        q.point_query("b", 2, SIZE, []),
    ]
    answers = [entry for query in queries for entry in oracle.annotate(query, truth)]
    first, second, third = ledger.rows(queries, answers)
    parts = sum(
        q.components(truth, segments == number).max() for number in range(1, segments.max() + 1)
    )
    void_parts = sum(
        q.components(truth, (segments == number) & (truth == 255)).max()
        for number in range(1, segments.max() + 1)
    )
    assert first == {
        "image": "a",
        "stage": 1,
        "pixels": mask.sum(),
        "points": 0,
        "segments": segments.max(),
        "clicks": parts,
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
        "void": sum(truth[place] == 255 for place in places),
        "seconds": None,
    }
    assert set(third.values()) == {"b", 2, 0, None}


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
