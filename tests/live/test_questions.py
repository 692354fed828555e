"""What is asked next: the budget, the order, the held share, and that nothing comes twice."""

import collections

import numpy as np
import pytest

from labor_jax.annotation import queries as q
from labor_jax.config import default_config, load
from labor_jax.data.domain import Domain
from labor_jax.live import questions
from labor_jax.live.questions import Proposal
from labor_jax.util.errors import UserError

SIZE = (6, 8)


@pytest.fixture
def domain():
    return Domain("it", tuple("abcdef"), lambda i: np.zeros((*SIZE, 3), np.uint8), None)


@pytest.fixture
def config():
    c = default_config()
    c.live.points, c.live.held, c.budget.points_per_image = 3, 0.0, 6
    return c


def next_one(asked, domain, config, busy=frozenset(), proposals=()):
    return questions.next_query(asked, busy, proposals, domain, lambda _: SIZE, config)


def ask_all(domain, config, proposals=()):
    """All queries until the budget is spent, in order."""
    asked, found = {}, []
    while (query := next_one(asked, domain, config, proposals=proposals)) is not None:
        asked.setdefault(query["image"], []).append(query)
        found.append(query)
    return found


def test_the_budget_is_spent_to_its_end_and_no_pixel_is_asked_twice(domain, config):
    config.live.points, config.live.held = 4, 0.3
    found = ask_all(domain, config)
    points = [(query["image"], *point) for query in found for point in query["points"]]
    assert len(points) == len(set(points)) == 6 * 6
    assert len({query["id"] for query in found}) == len(found)
    assert collections.Counter(map(len, (x["points"] for x in found))) == {4: 9}


def test_every_image_is_asked_about_once_before_one_is_asked_about_again(domain, config):
    images = [query["image"] for query in ask_all(domain, config)]
    assert sorted(images[:6]) == sorted(images[6:]) == list("abcdef")


def test_the_newest_classifier_asks_unless_its_points_are_out_of_date(domain, config):
    wanted = Proposal("d", [(0, 1), (2, 3)], 0, model=7)
    first = next_one({}, domain, config, proposals=[wanted])
    assert (first["image"], first["points"], first["model"]) == ("d", [[1, 0], [3, 2]], 7)
    asked = {"d": [first]}
    assert next_one(asked, domain, config, proposals=[wanted])["image"] != "d"
    assert next_one({}, domain, config, {"d"}, [wanted])["image"] != "d"
    own = q.point_query("d", 1, SIZE, [(0, 1)]) | {"id": "1/d#1", "origin": q.VOLUNTEERED}
    after = next_one({"d": [own]}, domain, config, proposals=[wanted])
    assert (after["points"], after["id"]) == ([[3, 2]], "1/d#2"), "one is answered already"


def test_points_that_people_chose_do_not_spend_the_budget(domain, config):
    own = q.point_query("a", 1, SIZE, [(0, 1)]) | {"id": "1/a#1", "origin": q.VOLUNTEERED}
    asked, count = {"a": [own] * 100}, 0
    while (query := next_one(asked, domain, config)) is not None:
        asked.setdefault(query["image"], []).append(query)
        count += len(query["points"])
    assert count == 36


def test_held_questions_are_random_points_whatever_the_classifier_wants(domain, config):
    config.live.held, config.budget.points_per_image = 0.25, 12
    corner = [Proposal(image, [(0, 0)], s, 1) for image in domain.ids for s in range(9)]
    found = ask_all(domain, config, corner)
    held = [query for query in found if query.get("origin") == q.HELD]
    assert 0.1 < len(held) / len(found) < 0.5
    assert all("model" not in query and len(query["points"]) == 3 for query in held)


def test_the_same_files_lead_to_the_same_questions(domain, config):
    config.live.held = 0.3
    assert ask_all(domain, config) == ask_all(domain, config)
    config.seed = 1
    assert ask_all(domain, config)[0]["points"] != next_one({}, domain, default_config())["points"]


def test_nothing_is_asked_while_all_images_are_busy(domain, config):
    assert next_one({}, domain, config, set("abcdef")) is None


def test_proposals_are_the_most_urgent_first_among_the_images_asked_least(domain, config):
    urgency = {image: n / 10 for n, image in enumerate("abcdef")}
    names = iter(())

    def infer(images, taken, keys, size, natives):
        batch = [next(names) for _ in range(len(taken))]
        points = np.tile([[1, 1], [2, 2]], (len(taken), 1, 1))
        found = np.array([[True, image != "e"] for image in batch])
        scores = np.array([[urgency[image]] * 2 for image in batch])
        return {"points": points, "found": found, "scores": scores}

    config.input.size = config.input.size
    once = {"f": [q.point_query("f", 1, SIZE, [(0, 0)])]}
    names = iter("abcdef")
    proposals = questions.propose(once, 5, domain, infer, config)
    assert [p.image for p in proposals] == ["e", "d", "c", "b", "a", "f"]
    assert proposals[0].points == [(1, 1)] and proposals[0].model == 5
    assert proposals[-1].sittings == 1


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("model.freeze", False, "config.model.freeze"),
        ("source.domain", "toytown/tiny", "config.source.domain"),
        ("adapt", "teacher", "config.adapt"),
        ("method", "labor_spl", "config.method: 'labor_spl' does not ask points"),
        ("method", "labor_ppl", "config.method: 'labor_ppl' does not ask points"),
    ],
)
def test_a_config_that_cannot_be_live_is_told(key, value, told):
    config = load("camvid:frozen")
    questions.check(config)
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError) as raised:
        questions.check(config)
    assert told in str(raised.value)
