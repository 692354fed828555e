"""The cells of a comparison. A cell is one run: a method, a budget, a seed, a share of errors."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import ml_collections

from labor_jax.config.fields import LARGEST_INT
from labor_jax.config.protocol import Costs
from labor_jax.selection import strategies
from labor_jax.util.errors import UserError

REFERENCES = ("full", "source_only", "uda")
"""The methods that others are compared with, run for each seed. All cells use `full`'s warm-up.
Without a source there is `full` alone, and no warm-up."""
UNITS = {"points": "points", "clicks": "clicks", "%": "pixels", "seconds": "seconds"}


class Budget(NamedTuple):
    """The most that may be asked about an image over all stages.

    Attributes:
      text: as in the flag and in folder names, such as "40points" or "2.2%".
      unit: points, clicks, pixels or seconds.
      amount: points, clicks or seconds an image, or a share of its pixels.
    """

    text: str
    unit: str
    amount: float

    @property
    def title(self) -> str:
        """As on the page: "40 points", "2.2 %"."""
        return re.sub(r"(?<=\d)(?=[a-z%])", " ", self.text)


class Cell(NamedTuple):
    """One run; a reference has no budget and no errors."""

    method: str
    seed: int
    budget: Budget | None = None
    error: float = 0.0

    @property
    def name(self) -> str:
        """The name of its folder, such as "labor_ppl-40points-seed0-error0.05"."""
        budget = f"-{self.budget.text}" if self.budget else ""
        return f"{self.method}{budget}-seed{self.seed}" + (
            f"-error{self.error:g}" if self.error else ""
        )


def parse_budget(text: str) -> Budget:
    """Parses "40points", "100clicks", "2.2%" or "60seconds", each per image.

    Raises UserError on other texts.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(points|clicks|%|seconds)", text.replace(" ", ""))
    if not found or not float(found[1]):
        raise UserError(
            f"--budgets: {text!r} is not a budget; give one such as 40points, 100clicks or 2.2%, "
            f"or 60seconds"
        )
    amount, unit = float(found[1]), UNITS[found[2]]
    if amount > LARGEST_INT:
        raise UserError(f"--budgets: {text[:40]!r} is too large; give at most {LARGEST_INT}")
    if unit == "pixels" and amount > 100:
        raise UserError(f"--budgets: {text!r} is more than all pixels; give up to 100%")
    if unit in ("points", "clicks") and amount != int(amount):
        raise UserError(f"--budgets: {text!r} is not a whole number of {unit}")
    number = f"{amount:.10g}"
    if unit == "pixels":
        return Budget(number + found[2], unit, round(amount / 100, 12))
    return Budget(number + found[2], unit, amount if unit == "seconds" else int(amount))


def parse_errors(texts: Sequence[str]) -> list[float]:
    """Parses shares of wrong answers. Raises UserError on other texts."""
    errors = []
    for text in texts:
        try:
            errors.append(float(text))
        except ValueError:
            raise UserError(
                f"--errors: {text!r} is not a number; give shares such as 0.05"
            ) from None
        if not 0 <= errors[-1] < 1:
            raise UserError(f"--errors: {text!r} is not a share; give 0 or more and less than 1")
    return list(dict.fromkeys(errors))


def check_methods(methods: Sequence[str]) -> None:
    """Raises UserError if a method does not exist or is run in any case; the error names it."""
    asking = strategies.names()
    for method in methods:
        if method in REFERENCES:
            raise UserError(f"--methods: {method} is run in any case; leave it out")
        if method not in asking:
            raise UserError(f"--methods: {method!r} is not one of {', '.join(asking)}")


def plan(
    methods: Sequence[str],
    budgets: Sequence[Budget],
    seeds: int,
    errors: Sequence[float],
    references: Sequence[str] = REFERENCES,
) -> tuple[list[Cell], list[str]]:
    """All cells in the order in which they are run, seed by seed.

    Returns:
      The cells; sentences about combinations that are left out, as they cannot be compared.
    """
    in_points = [budget for budget in budgets if budget.unit == "points"]
    left_out = {
        method: in_points
        for method in methods
        if in_points and strategies.find(method).asks != "points"
    }
    cells = []
    for seed in range(seeds):
        cells += [Cell(method, seed) for method in references]
        cells += [
            Cell(method, seed, budget, error)
            for error in errors
            for budget in budgets
            for method in methods
            if budget not in left_out.get(method, ())
        ]
    return cells, [
        f"{method} is not run with {', '.join(b.title for b in without)}: "
        f"it asks {strategies.find(method).asks}"
        for method, without in left_out.items()
    ]


def cell_config(
    config: ml_collections.ConfigDict, cell: Cell, warmup_from: str, costs: Costs
) -> ml_collections.ConfigDict:
    """The config of a cell's run.

    Args:
      config: the config that all cells share.
      cell: the cell.
      warmup_from: the DIR of the same seed's `full`.
      costs: a budget in seconds pays for as many clicks of the method's kind.
    Raises:
      UserError: a budget in seconds does not pay for one.
    """
    own = config.copy_and_resolve_references()
    own.method, own.seed, own.beside = cell.method, cell.seed, ""
    has_own_warmup = cell.method in ("full", "source_only") or not config.warmup_steps
    own.warmup_from = "" if has_own_warmup else warmup_from
    own.annotator = "noisy" if cell.error else "oracle"
    if cell.error:
        own.noisy.error = cell.error
    if cell.budget:
        own.budget.unit = cell.budget.unit
        match cell.budget.unit:
            case "points":
                own.budget.points_per_image = cell.budget.amount
            case "clicks":
                own.budget.clicks_per_image = cell.budget.amount
            case "pixels":
                own.budget.max_fraction = cell.budget.amount
            case "seconds":
                own.budget.unit = "clicks"
                own.budget.clicks_per_image = _clicks(cell, costs)
    return own


def _clicks(cell: Cell, costs: Costs) -> int:
    """For how many clicks of a cell's method its budget in seconds pays."""
    kind = strategies.find(cell.method).asks
    assert cell.budget is not None
    clicks = int(cell.budget.amount / costs.seconds[kind])
    if not clicks:
        raise UserError(
            f"--budgets: {cell.budget.text} do not pay for one of the {kind} that {cell.method} "
            f"asks, {costs.seconds[kind]:g} s each; give more"
        )
    return clicks


def seconds(cell: Cell, clicks: float, costs: Costs) -> float:
    """How long a person would need for so many clicks of a cell's method."""
    chosen = strategies.chooses(cell.method)
    return clicks * costs.seconds[strategies.find(cell.method).asks if chosen else "segments"]
