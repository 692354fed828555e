"""Shares, medians and their intervals; what a guess in sight does to answers."""

import numpy as np
import pytest

from labor_jax.annotation import journal, quality
from labor_jax.annotation import queries as q

SIZE = (20, 30)


def test_an_interval_of_a_share_is_wilsons():
    # By Wilson's formula with z = 1.6448536.
    z, n, p = 1.6448536269514722, 20, 0.9
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    found = quality.share(18, 20)
    np.testing.assert_allclose([found["low"], found["high"]], [middle - half, middle + half])
    assert quality.share(0, 0) == {"value": None, "low": None, "high": None}
    assert quality.share(5, 5)["low"] < 1 and quality.share(5, 5)["high"] == 1


def test_the_interval_of_a_difference_is_newcombes():
    # Newcombe (1998), table II: 56/70 against 48/80; method 10 gives 0.0524 to 0.3339 at 95 %.
    def wilson(k, n, z=1.959963985):
        middle, root = (k + z**2 / 2) / (n + z**2), np.sqrt(k * (n - k) / n + z**2 / 4)
        return {
            "value": k / n,
            "low": middle - z * root / (n + z**2),
            "high": middle + z * root / (n + z**2),
        }

    found = quality.difference(wilson(56, 70), wilson(48, 80))
    np.testing.assert_allclose([found["low"], found["high"]], [0.0524, 0.3339], atol=5e-5)
    assert quality.difference(quality.share(0, 0), quality.share(1, 2))["value"] is None


def test_a_median_of_few_values_has_no_interval():
    assert quality.median([]) == {"value": None, "low": None, "high": None}
    assert quality.median([3.0]) == {"value": 3.0, "low": None, "high": None}
    found = quality.median([float(n) for n in range(101)])
    assert found["value"] == 50 and 40 <= found["low"] < 50 < found["high"] <= 60


def asked(number, guess, blind, model=4):
    query = q.point_query("a", 1, SIZE, [(number % 20, number // 20)]) | {"id": f"1/a#{number}"}
    more = {"guesses": [[guess, 0.5]], "guessed_by": model, "blind": [0] if blind else []}
    return query | more


def answered(query, label, name, seconds):
    from labor_jax.annotation import guesses

    told = guesses.told(query, 0, query["guesses"][0][0]) | {
        "seconds": seconds,
        "point": query["points"][0],
    }
    return journal.answer(query, 0, label, name, **told)


def test_a_person_who_takes_guesses_over_is_found_out():
    """All guesses are 1, right is 1 or 2. Eve says 1 where she sees a guess, bob is right."""
    lines, right = [], {}
    for number in range(200):
        truth, blind = 1 + number % 2, number % 5 == 0
        query = asked(number, 1, blind)
        for name in ("bob", "eve"):
            own = query | {"id": f"{query['id']}/{name}"}
            label = 1 if name == "eve" and not blind else truth
            lines.append(answered(own, label, name, 3.0 if blind else 1.0))
            right[own["id"]] = truth
    bob, eve = quality.verified(
        journal.by_query(lines).values(), lambda entry: right[entry["query"]]
    )
    assert (bob["annotator"], bob["shown"]["answers"], bob["blind"]["answers"]) == ("bob", 160, 40)
    assert bob["shown"]["wrong"]["value"] == 0 and bob["error"]["high"] > 0 >= bob["error"]["low"]
    assert eve["shown"]["misled"]["value"] == 1 and eve["blind"]["misled"]["value"] == 0
    assert eve["error"]["value"] == 0.5 and eve["error"]["low"] > 0.3
    assert (eve["shown"]["seconds"]["value"], eve["blind"]["seconds"]["value"]) == (1.0, 3.0)


def test_what_is_unknown_unsure_or_taken_back_is_no_mistake():
    queries = [asked(number, 1, False) for number in range(4)]
    lines = [answered(query, 2, "ana", 1.0) for query in queries]
    lines[1]["class"] = 255
    lines += [lines[2] | {"undo": True}]
    plain = q.point_query("a", 1, SIZE, [(5, 5)])
    lines += [journal.answer(plain, 0, 2, "ben", point=[5, 5], shown=True, model=1, guess=2)]
    (ana,) = quality.verified(
        journal.by_query(lines).values(), lambda e: None if e["query"] == "1/a#3" else 1
    )
    assert (ana["shown"]["answers"], ana["shown"]["known"]) == (3, 1)
    assert ana["shown"]["wrong"]["value"] == 1 and ana["error"]["value"] is None


@pytest.mark.parametrize(("void", "right"), [(0, 4), (20, None)])
def test_right_for_a_segment_is_what_most_of_its_pixels_are(void, right):
    label = np.full(SIZE, 4, np.uint8)
    label[0, :3] = 2
    label[1, :void] = 255
    entry = {"kind": "segments", "runs": [0, 10, 30, 20]}
    assert quality.right_by(label, entry) == right
