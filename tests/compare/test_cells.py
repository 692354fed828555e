"""Which runs a comparison consists of, how they are named, and what each is told."""

import pytest

from labor_jax.compare import cells
from labor_jax.compare.cells import Cell, parse_budget
from labor_jax.config import default_config
from labor_jax.config.protocol import Costs, one_cost
from labor_jax.util.errors import UserError

TWO_SECONDS = one_cost(2.0)


def config_of(base, cell, costs=TWO_SECONDS):
    return cells.cell_config(base, cell, "runs/full", costs)


@pytest.mark.parametrize(
    ("text", "name", "unit", "amount", "title"),
    [
        ("40points", "40points", "points", 40, "40 points"),
        ("2.2%", "2.2%", "pixels", 0.022, "2.2 %"),
        ("100clicks", "100clicks", "clicks", 100, "100 clicks"),
        ("90seconds", "90seconds", "seconds", 90, "90 seconds"),
        ("2.20 %", "2.2%", "pixels", 0.022, "2.2 %"),
        ("0040points", "40points", "points", 40, "40 points"),
    ],
)
def test_a_budget_is_read_and_one_price_has_one_name(text, name, unit, amount, title):
    budget = parse_budget(text)
    assert (budget.text, budget.unit, budget.amount, budget.title) == (name, unit, amount, title)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("40", "40points, 100clicks or 2.2%"),
        ("40 pixels", "'40 pixels'"),
        ("0points", "'0points'"),
        ("-3%", "'-3%'"),
        ("2.5points", "whole number of points"),
        ("120%", "up to 100%"),
        ("", "--budgets"),
    ],
)
def test_a_budget_that_is_none_is_told_in_one_line(text, word):
    with pytest.raises(UserError, match="--budgets") as error:
        parse_budget(text)
    assert word in str(error.value) and "\n" not in str(error.value)


def test_shares_of_errors_are_read_once_each_and_others_are_told():
    assert cells.parse_errors(["0", "0.05", "0.0"]) == [0.0, 0.05]
    for text in ("five", "1", "-0.1"):
        with pytest.raises(UserError, match=f"--errors: '{text}'"):
            cells.parse_errors([text])


@pytest.mark.parametrize(
    ("method", "words"),
    [("full", ["full", "leave it out"]), ("labor", ["'labor'", "labor_ppl"])],
)
def test_a_method_that_cannot_be_compared_is_told(method, words):
    with pytest.raises(UserError, match="--methods") as error:
        cells.check_methods(["random", method])
    assert all(word in str(error.value) for word in words)


def test_seeds_are_run_one_after_the_other_and_the_shared_warm_up_first():
    budgets = [parse_budget("40points"), parse_budget("2.2%")]
    plan, left_out = cells.plan(["random", "labor_spl"], budgets, 2, [0.0, 0.05])
    assert [cell.seed for cell in plan] == [0] * 9 + [1] * 9
    assert [cell.method for cell in plan[:3]] == ["full", "source_only", "uda"]
    assert len({cell.name for cell in plan}) == len(plan)
    names = {cell.name for cell in plan}
    assert {"full-seed0", "random-40points-seed1", "labor_spl-2.2%-seed0-error0.05"} <= names
    assert not any(name.startswith("labor_spl-40points") for name in names)
    assert left_out == ["labor_spl is not run with 40 points: it asks segments"]


def test_a_cell_is_told_its_budget_its_seed_and_whose_warm_up_it_shares():
    base = default_config()
    base.beside, base.annotator = "elsewhere", "web"
    points = config_of(base, Cell("random", 2, parse_budget("7points")))
    assert (points.method, points.seed, points.beside) == ("random", 2, "")
    assert (points.budget.unit, points.budget.points_per_image) == ("points", 7)
    assert (points.annotator, points.warmup_from) == ("oracle", "runs/full")
    pixels = config_of(base, Cell("labor_spl", 0, parse_budget("2.2%"), 0.1))
    assert (pixels.budget.unit, pixels.budget.max_fraction) == ("pixels", 0.022)
    assert (pixels.annotator, pixels.noisy.error) == ("noisy", 0.1)
    clicks = config_of(base, Cell("labor_ppl", 0, parse_budget("9clicks")))
    assert (clicks.budget.unit, clicks.budget.clicks_per_image) == ("clicks", 9)
    assert base.annotator == "web" and base.seed == 0, "what they share is not changed"


def test_a_reference_keeps_the_configs_budget_and_only_uda_takes_the_warm_up():
    base = default_config()
    found = {m: config_of(base, Cell(m, 1)) for m in cells.REFERENCES}
    assert {m: c.warmup_from for m, c in found.items()} == {
        "full": "",
        "source_only": "",
        "uda": "runs/full",
    }
    assert all(c.budget.to_dict() == base.budget.to_dict() for c in found.values())


def test_a_budget_in_seconds_pays_for_fewer_of_what_takes_longer():
    costs = Costs({"points": 2, "regions": 2.5, "superpixels": 3, "segments": 7}, "assumed")
    budget = parse_budget("20seconds")
    clicks = {}
    for method in ("margin", "ripu_regions", "superpixels_margin", "labor_spl"):
        config = config_of(default_config(), Cell(method, 0, budget), costs)
        assert config.budget.unit == "clicks"
        clicks[method] = config.budget.clicks_per_image
    assert list(clicks.values()) == [10, 8, 6, 2]
    assert cells.seconds(Cell("superpixels_margin", 0, budget), 6, costs) == 18
    with pytest.raises(UserError, match=r"^--budgets: 6seconds do not pay for one of the segments"):
        config_of(default_config(), Cell("labor_spl", 0, parse_budget("6seconds")), costs)


def test_what_an_answer_costs_is_told_with_where_it_is_from():
    assert one_cost(2.0).told == "2 s a click, assumed"
    costs = Costs({"points": 2, "regions": 2.5, "superpixels": 3, "segments": 7}, "measured")
    assert costs.told == "2 s a point, 2.5 s a region, 7 s a segment, 3 s a superpixel, measured"
