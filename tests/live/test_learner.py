"""From the journal to a classifier: a function of features, journal and config alone."""

import numpy as np
import pytest

from labor_jax.annotation import journal
from labor_jax.annotation import queries as q
from labor_jax.config import default_config
from labor_jax.data.domain import Domain, Features
from labor_jax.live import learner, spreading
from labor_jax.live.session import learn

SIZE = (12, 16)
CLASSES = 3


@pytest.fixture
def domain():
    """Three images whose level says which third of the columns a cell is in."""
    random = np.random.default_rng(0)
    levels = []
    for _ in range(3):
        third = (np.arange(8) * 3 // 8)[None, :, None] == np.arange(3)
        noise = random.standard_normal((6, 8, 3)) / 8
        levels.append([(third + noise).astype(np.float16)] * 3)
    return Domain(
        "it",
        ("a", "b", "c"),
        read_image=lambda i: np.zeros((*SIZE, 3), np.uint8),
        read_label=None,
        features=Features(lambda i: tuple(levels[i]), np.full((3, 2), SIZE, np.int32)),
    )


@pytest.fixture
def config():
    c = default_config()
    c.adapt_steps, c.optimizer.weight_decay = 30, 1e-2
    return c


def truth(column):
    return column * 3 // SIZE[1]


def asked(image, points, number, **more):
    return q.point_query(image, 1, SIZE, points) | {"id": f"1/{image}#{number}"} | more


def lines_of(queries):
    return [
        journal.answer(query, piece, truth(x), "ana", point=[x, y])
        for query in queries
        for piece, (x, y) in enumerate(query["points"])
    ]


@pytest.fixture
def queries():
    random = np.random.default_rng(1)
    made = []
    for number, image in enumerate("abcabc"):
        points = [(int(random.integers(12)), int(random.integers(16))) for _ in range(5)]
        made.append(asked(image, points, number, **({"origin": q.HELD} if number == 4 else {})))
    return made


def learnt(lines, queries, domain, config, **more):
    by_id = {query["id"]: query for query in queries}
    features = learner.Features(domain, "float32")
    return learn(lines, by_id, domain, features, config, CLASSES, **more)


def same(one, two):
    return all(np.array_equal(a, b) for a, b in zip(one.fitted, two.fitted, strict=True))


@pytest.mark.parametrize("spread", [0, 3])
def test_one_journal_gives_one_classifier_bit_for_bit_however_it_came_about(
    domain, config, queries, spread
):
    config.live.spread = spread
    lines = lines_of(queries)
    at_once = learnt(lines, queries, domain, config)
    features, now = learner.Features(domain, "float32"), None
    by_id = {query["id"]: query for query in queries}
    for end in range(0, len(lines) + 1, 3):  # as a session that goes on all the time
        now = learn(lines[:end], by_id, domain, features, config, CLASSES, before=now)
    assert now.version == at_once.version == len(lines)
    assert same(now, at_once) and now.pseudo.same(at_once.pseudo)
    assert bool(len(now.pseudo.label)) == bool(spread)
    assert (now.scored.miou, now.scored.low) == (at_once.scored.miou, at_once.scored.low)


def test_answers_are_learnt_and_held_ones_are_not(domain, config, queries):
    lines = lines_of(queries)
    without = [line for line in lines if line["query"] != queries[4]["id"]]
    all_of_them, fewer = (learnt(x, queries, domain, config) for x in (lines, without))
    assert same(all_of_them, fewer)
    assert (all_of_them.scored.answers, fewer.scored.answers) == (5, 0)
    assert all_of_them.scored.miou > 80
    assert len(all_of_them.given.label) == len(set(zip(*all_of_them.given[:2], strict=True)))


def test_a_region_is_learnt_by_some_of_its_pixels_and_covers_what_was_answered_before(
    domain, config, queries
):
    region = np.zeros(SIZE, np.int32)
    region[:, 11:] = 1  # the last third of an image in which points were answered
    fixed = q.segment_query("a", 1, SIZE, region) | {"id": "1/a#9", "origin": q.VOLUNTEERED}
    (runs,) = fixed["segments"]
    line = journal.answer(fixed, 0, 1, "ana", runs=runs)
    given = learnt([*lines_of(queries), line], [*queries, fixed], domain, config).given
    inside = (given.image == 0) & (given.pixel % SIZE[1] >= 11)
    assert inside.sum() == learner.REGION and set(given.label[inside]) == {1}
    assert len(set(given.pixel[inside] // SIZE[1])) > 8, "from all over it"


def test_an_answer_is_learnt_at_similar_pixels_of_its_image_too_and_counted_apart(
    domain, config, queries
):
    lines = lines_of(queries)[:6]
    plain = learnt(lines, queries, domain, config)
    config.live.spread = 4
    spread = learnt(lines, queries, domain, config)
    assert not len(plain.pseudo.label) and 6 < len(spread.pseudo.label) <= 24
    assert spread.given.same(plain.given) and not same(spread, plain)
    pseudo = spread.pseudo
    assert set(pseudo.image) == set(spread.given.image), "within the image"
    own, new = (set(zip(x.image, x.pixel, strict=True)) for x in (spread.given, pseudo))
    assert len(new) == len(pseudo.label) and not own & new
    assert (pseudo.label == truth(pseudo.pixel % SIZE[1])).mean() > 0.9


def test_pseudo_answers_count_as_the_answer_that_they_come_from(domain, config, queries):
    given = learnt(lines_of(queries[:3]), queries, domain, config).given
    given = given._replace(weight=np.arange(1, len(given.label) + 1, dtype=np.float32))
    features = learner.Features(domain, "float32")
    pseudo = learner.pseudo_answers(given, features, 3)
    of = set(zip(given.image, given.label, given.weight, strict=True))
    assert set(zip(pseudo.image, pseudo.label, pseudo.weight, strict=True)) <= of
    assert not len(learner.pseudo_answers(given, features, 0).label)


def test_images_with_many_answers_are_not_spread(domain, config, queries):
    config.live.spread = 4
    found = learnt(lines_of(queries), queries, domain, config)
    answers = np.bincount(found.given.image)
    assert (answers > spreading.FEW).tolist() == [True, False, True]
    assert set(found.pseudo.image) == {1}


def test_a_pseudo_answer_that_the_fit_to_given_ones_contradicts_is_left_out(
    domain, config, queries
):
    config.live.spread = 8
    wrong = [x | {"class": (x["class"] + 1) % 3} if n == 0 else x
             for n, x in enumerate(lines_of(queries[:3]))]  # fmt: skip
    found = learnt(wrong, queries, domain, config)
    config.live.spread = 0
    first = learnt(wrong, queries, domain, config)
    features = learner.Features(domain, "float32")
    before = learner.pseudo_answers(found.given, features, 8)
    agree = learner.predicted(first.fitted, features.of(before.image, before.pixel)) == before.label
    assert 0 < (~agree).sum() < len(agree) == len(before.label)
    for kept, all_of_them in zip(found.pseudo, before, strict=True):
        np.testing.assert_array_equal(kept, all_of_them[agree])


def test_what_is_unsure_taken_back_or_of_an_image_that_went_teaches_nothing(
    domain, config, queries
):
    lines = lines_of(queries)
    undone = lines[0] | {"undo": True}
    unsure = lines[1] | {"class": 255}
    gone = asked("gone", [(1, 1)], 1)
    (other,) = lines_of([gone])
    odd = learnt([*lines, undone, unsure, other], [*queries, gone], domain, config)
    plain = learnt(lines[2:], queries, domain, config)
    assert same(odd, plain) and odd.version == len(lines) + 3


def test_answers_of_people_count_as_much_as_they_are_trusted(domain, config, queries):
    lines = lines_of(queries)
    plain = learnt(lines, queries, domain, config)
    wrong = [line | {"annotator": "eve", "class": (line["class"] + 1) % 3} for line in lines[:5]]
    config.trust = ("eve=0",)
    dropped = learnt([*wrong, *lines[5:]], queries, domain, config)
    assert same(dropped, learnt(lines[5:], queries, domain, config))
    config.trust = ("eve=2", "bob=0.5")
    mixed = [line | {"annotator": "eve" if n % 2 else "ana"} for n, line in enumerate(lines)]
    weighed = learnt(mixed, queries, domain, config)
    assert set(weighed.given.weight) == {1.0, 2.0} and not same(weighed, plain)
    config.trust = ("ana=0.5",)
    again = learnt(mixed, queries, domain, config)
    np.testing.assert_allclose(again.fitted.kernel, weighed.fitted.kernel, rtol=1e-2, atol=1e-3)


def test_without_an_answer_there_is_no_classifier(domain, config):
    nothing = learnt([], [], domain, config)
    assert nothing.fitted is None and nothing.scored.miou is None and nothing.version == 0


def test_rows_that_fill_up_a_fit_do_not_count(domain, config, queries):
    answers = learner.given(lines_of(queries), {x["id"]: x for x in queries}, domain)
    features = learner.Features(domain, "float32").of(answers.image, answers.pixel)
    fitted = learner.fit(features, answers.label, answers.weight, config, CLASSES)
    from labor_jax.loop import frozen
    from labor_jax.train import linear_fit

    plain = linear_fit.fit(
        features,
        answers.label,
        frozen.balanced(answers.label, config.loss.balance),
        classes=CLASSES,
        steps=config.adapt_steps,
        decay=config.optimizer.weight_decay,
    )
    assert len(features) < learner.ROOM
    np.testing.assert_allclose(fitted.kernel, plain.kernel, rtol=1e-3, atol=1e-4)
    assert (learner.predicted(fitted, features) == answers.label).mean() > 0.9
