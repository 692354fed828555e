"""Which runs a comparison consists of, how they are named, and what each is told."""

import pytest

from labor_jax.compare import cells
from labor_jax.compare.cells import Cell, parse_budget
from labor_jax.config import default_config
from labor_jax.util.errors import UserError


@pytest.mark.parametrize(
    ("text", "name", "unit", "amount", "title"),
    [
        ("40points", "40points", "points", 40, "40 points"),
        ("2.2%", "2.2%", "pixels", 0.022, "2.2 %"),
        ("100clicks", "100clicks", "clicks", 100, "100 clicks"),
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
    points = cells.cell_config(base, Cell("random", 2, parse_budget("7points")), "runs/full")
    assert (points.method, points.seed, points.beside) == ("random", 2, "")
    assert (points.budget.unit, points.budget.points_per_image) == ("points", 7)
    assert (points.annotator, points.warmup_from) == ("oracle", "runs/full")
    pixels = cells.cell_config(base, Cell("labor_spl", 0, parse_budget("2.2%"), 0.1), "runs/full")
    assert (pixels.budget.unit, pixels.budget.max_fraction) == ("pixels", 0.022)
    assert (pixels.annotator, pixels.noisy.error) == ("noisy", 0.1)
    clicks = cells.cell_config(base, Cell("labor_ppl", 0, parse_budget("9clicks")), "runs/full")
    assert (clicks.budget.unit, clicks.budget.clicks_per_image) == ("clicks", 9)
    assert base.annotator == "web" and base.seed == 0, "what they share is not changed"


def test_a_reference_keeps_the_configs_budget_and_only_uda_takes_the_warm_up():
    base = default_config()
    found = {m: cells.cell_config(base, Cell(m, 1), "runs/full") for m in cells.REFERENCES}
    assert {m: c.warmup_from for m, c in found.items()} == {
        "full": "",
        "source_only": "",
        "uda": "runs/full",
    }
    assert all(c.budget.to_dict() == base.budget.to_dict() for c in found.values())
