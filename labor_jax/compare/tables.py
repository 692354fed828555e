"""The tables of a comparison, as text: means, differences and their intervals."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from labor_jax.compare import intervals, results
from labor_jax.compare.cells import Budget
from labor_jax.compare.results import Groups, Key, Result
from labor_jax.config.protocol import Costs
from labor_jax.data.labels import ClassTable
from labor_jax.report.template import ABSENT, duration, percent

MINUS = "\N{MINUS SIGN}"


class About(NamedTuple):
    """What is compared.

    Attributes:
      config: its name.
      val: the name of the domain that is scored.
      methods: those that ask; the first is the baseline.
      skipped: what is left out, in words.
      runs: how many there are to be.
    """

    config: str
    val: str
    methods: Sequence[str]
    budgets: Sequence[Budget]
    errors: Sequence[float]
    costs: Costs
    skipped: Sequence[str]
    runs: int


class Table(NamedTuple):
    """A table as text, for either page."""

    title: str
    head: list[str]
    rows: list[list[str]]


def results_table(about: About, groups: Groups, done: Sequence[Result], error: float) -> Table:
    """One row for each method and budget: scores and costs, means over seeds."""
    closed = results.gap_closed(done)
    first = about.errors[0] == error
    keys: list[Key] = [("source_only", None, 0.0), ("uda", None, 0.0)] if first else []
    keys += [(method, budget, error) for budget in about.budgets for method in about.methods]
    keys += [("full", None, 0.0)] if first else []
    head = ["method", "budget", "mIoU", "runs", "gap closed, %", "points", "clicks", "pixels, %"]
    head += ["time", "near a border, %", "void, %", "wrong, %"]
    rows = []
    for key in keys:
        if not (group := groups.get(key)):
            continue
        method, budget, _ = key
        gaps = [100 * closed[r.cell] for r in group if r.cell in closed]
        asked = any(r.budget["clicks"] for r in group)
        seconds = mean_of(r.seconds_per_image(about.costs) for r in group)
        rows.append(
            [
                method,
                budget.title if budget else ABSENT,
                spread([r.miou for r in group]),
                str(len(group)),
                _whole(gaps) if method in ("source_only", "full") else spread(gaps, digits=0),
                _cost(mean_of(r.budget["points_per_image"] for r in group)),
                _cost(mean_of(r.budget["clicks_per_image"] for r in group)),
                str(percent(mean_of(r.budget["fraction"] for r in group))) if asked else ABSENT,
                duration(seconds) if method != "full" else ABSENT,
                _share([r.border for r in group]),
                _share([r.void for r in group]),
                _share([r.wrong for r in group]),
            ]
        )
    return Table(_errors_title(about, error), head, rows)


def difference_tables(about: About, groups: Groups) -> list[Table]:
    """At each budget, every two methods: those with the baseline first.

    p-values are corrected for the number of rows.
    """
    tables = []
    for error, budget in itertools.product(about.errors, about.budgets):
        rows = []
        for (first, second), found in _differences(about, groups, budget, error).items():
            shown = [signed(found.mean), str(found.seeds), between(found.over_seeds)]
            shown += [between(found.over_images), _chance(found.p), _least(found.least)]
            rows.append([f"{second} {MINUS} {first}", *shown])
        title = f"{budget.title} an image{_and_errors(about, error)}"
        head = ["difference", "mIoU", "seeds", "95 % over seeds", "95 % over images"]
        tables.append(Table(title, [*head, "p, corrected", "least seen"], rows))
    return tables


def rank_tables(about: About, groups: Groups) -> list[Table]:
    """At each budget, where each method stands among those that have the same seeds."""
    tables = []
    for error, budget in itertools.product(about.errors, about.budgets):
        found = _ranks(about, groups, budget, error)
        rows = [
            [
                method,
                spread([r.miou for r in groups[method, budget, error]]),
                str(rank.low) if rank.low == rank.high else f"{rank.low} to {rank.high}",
                f"{100 * rank.first:.0f}",
            ]
            for method, rank in sorted(found.items(), key=lambda item: -item[1].first)
        ]
        title = f"{budget.title} an image{_and_errors(about, error)}"
        tables.append(Table(title, ["method", "mIoU", "rank, 95 %", "the first, %"], rows))
    return tables


def errors_tables(about: About, groups: Groups) -> list[Table]:
    """The mIoU that each method loses to wrong answers, paired by seed; [] without errors."""
    if len(about.errors) < 2:
        return []
    base, *more = about.errors
    head = ["method", "budget", *map(errors_name, about.errors)]
    for error in more:
        head += [f"change, {errors_name(error)}", "95 % over seeds"]
    rows = []
    for budget, method in itertools.product(about.budgets, about.methods):
        if (method, budget, base) not in groups:
            continue
        row = [method, budget.title]
        row += [spread([r.miou for r in groups.get((method, budget, e), [])]) for e in about.errors]
        for error in more:
            pair = _paired(groups, (method, budget, base), (method, budget, error))
            changes = [b.miou - a.miou for a, b in zip(*pair, strict=True)] if pair else []
            row += [signed(float(np.mean(changes))) if changes else ABSENT]
            row += [between(intervals.over_seeds(changes))]
        rows.append(row)
    return [Table("", head, rows)]


def class_tables(about: About, groups: Groups, table: ClassTable) -> list[Table]:
    """At each budget, the IoU of each class by method, means over seeds."""
    tables = []
    for error, budget in itertools.product(about.errors, about.budgets):
        keys: list[Key] = [(method, budget, error) for method in about.methods]
        if not any(key in groups for key in keys):
            continue
        keys = [("source_only", None, 0.0), ("uda", None, 0.0), *keys, ("full", None, 0.0)]
        keys = [key for key in keys if key in groups]
        rows = [
            [name, *(_iou([r.per_class_iou.get(name) for r in groups[key]]) for key in keys)]
            for name in table.names
        ]
        title = f"{budget.title} an image{_and_errors(about, error)}"
        tables.append(Table(title, ["class", *(method for method, _, _ in keys)], rows))
    return tables


def findings(about: About, groups: Groups, done: Sequence[Result]) -> list[str]:
    """For each budget: which method to use, and how sure that is."""
    closed = results.gap_closed(done)
    error, baseline = about.errors[0], about.methods[0]
    told = []
    for budget in about.budgets:
        there = [m for m in about.methods if (m, budget, error) in groups]
        if len(there) < 2:
            continue
        best = max(there, key=lambda m: mean_of(r.miou for r in groups[m, budget, error]))
        group = groups[best, budget, error]
        text = f"{budget.title} an image: {best} has the highest mean, "
        text += f"{spread([r.miou for r in group])} mIoU"
        if gaps := [100 * closed[r.cell] for r in group if r.cell in closed]:
            text += f", {np.mean(gaps):.0f} % of the way from source_only to full"
        if rank := _ranks(about, groups, budget, error).get(best):
            text += f"; it is the first in {100 * rank.first:.0f} % of the resamples"
        pairs = _differences(about, groups, budget, error)
        if found := pairs.get((baseline, best)):
            over_seeds = f"{between(found.over_seeds)} over seeds, " if found.over_seeds else ""
            text += f". It has {signed(found.mean)} on {baseline} (95 %: {over_seeds}"
            text += f"{between(found.over_images)} over images)"
            text += _how_sure(found, len(pairs), f"{best} is better than {baseline}")
        told.append(f"{text}.")
    return told


def _how_sure(found: "Difference", pairs: int, claim: str) -> str:
    if found.p is None or found.least is None:
        return f". One seed cannot show that {claim}"
    shown = "is shown" if found.p < 0.05 and found.mean > 0 else "is not shown"
    seen = f"with {found.seeds} seeds, differences below {found.least:.1f} mostly stay unseen"
    corrected = f", corrected for {pairs} comparisons" if pairs > 1 else ""
    return f". That {claim} {shown} (p {_chance(found.p)}{corrected}); {seen}"


def reference_scores(groups: Groups) -> list[tuple[str, float]]:
    keys = [(name, None, 0.0) for name in ("source_only", "uda", "full")]
    return [(key[0], mean_of(r.miou for r in groups[key])) for key in keys if key in groups]


# ------------------------------------------------------------------------------- what is compared


def _paired(
    groups: Groups, first: tuple, second: tuple
) -> tuple[list[Result], list[Result]] | None:
    """The runs of two groups with the same seeds, in the same order."""
    a = {r.cell.seed: r for r in groups.get(first, [])}
    b = {r.cell.seed: r for r in groups.get(second, [])}
    seeds = sorted(a.keys() & b.keys())
    return ([a[s] for s in seeds], [b[s] for s in seeds]) if seeds else None


class Difference(NamedTuple):
    """How two methods differ in mIoU, second - first.

    Attributes:
      mean: over the seeds that both have.
      seeds: how many these are.
      over_seeds, over_images: 95 % intervals; the former is None for one seed.
      p: of `intervals.p_value`, corrected for all pairs at the budget; None for one seed.
      least: of `intervals.least_seen`.
    """

    mean: float
    seeds: int
    over_seeds: intervals.Interval | None
    over_images: intervals.Interval
    p: float | None
    least: float | None


def _differences(
    about: About,
    groups: Groups,
    budget: Budget,
    error: float,
) -> dict[tuple[str, str], Difference]:
    """The differences of every two methods at a budget, by their names."""
    found = {}
    for pair in itertools.combinations(about.methods, 2):
        runs = _paired(groups, *((method, budget, error) for method in pair))
        if not runs:
            continue
        by_seed = [b.miou - a.miou for a, b in zip(*runs, strict=True)]
        found[pair] = Difference(
            float(np.mean(by_seed)),
            len(by_seed),
            intervals.over_seeds(by_seed),
            intervals.over_images(*([r.samples for r in own] for own in runs)),
            intervals.p_value(by_seed),
            intervals.least_seen(by_seed),
        )
    tested = {pair: one.p for pair, one in found.items() if one.p is not None}
    for pair, p in zip(tested, intervals.holm(list(tested.values())), strict=True):
        found[pair] = found[pair]._replace(p=p)
    return found


def _ranks(
    about: About,
    groups: Groups,
    budget: Budget,
    error: float,
) -> dict[str, intervals.Rank]:
    """The ranks of the methods whose seeds are those of the first one; {} for fewer than two."""
    runs = {m: groups[m, budget, error] for m in about.methods if (m, budget, error) in groups}
    seeds = [r.cell.seed for r in next(iter(runs.values()), [])]
    alike = {
        method: [r.samples for r in own]
        for method, own in runs.items()
        if [r.cell.seed for r in own] == seeds
    }
    return intervals.ranks(alike) if len(alike) > 1 else {}


# ----------------------------------------------------------------------------- how it is written


def spread(values: Sequence[float], digits: int = 1) -> str:
    """ "45.1 ± 0.8"; a single value has no spread, and no value is a dash."""
    if not values:
        return ABSENT
    mean, deviation = intervals.mean_and_spread(values)
    after = "" if deviation is None else f" ± {deviation:.{digits}f}"
    return f"{mean:.{digits}f}{after}"


def signed(value: float) -> str:
    """ "+1.2" or "−0.3", with a real minus sign."""
    return f"{round(value, 1) + 0.0:+.1f}".replace("-", MINUS)  # -0.0 + 0.0 is 0.0


def between(interval: intervals.Interval | None) -> str:
    """ "−0.4 to +2.8"; a dash where there is no interval."""
    return ABSENT if interval is None else f"{signed(interval[0])} to {signed(interval[1])}"


def _chance(p: float | None) -> str:
    """A p-value: "0.032", "< 0.001"; a dash where there is none."""
    if p is None:
        return ABSENT
    return "< 0.001" if p < 0.001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def _least(difference: float | None) -> str:
    return ABSENT if difference is None else f"{difference:.1f}"


def _whole(values: Sequence[float]) -> str:
    return f"{mean_of(values):.0f}" if values else ABSENT


def _cost(value: float) -> str:
    return f"{value:,.1f}" if value else ABSENT


def _share(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return str(percent(mean_of(known))) if known else ABSENT


def _iou(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{mean_of(known):.1f}" if known else ABSENT


def mean_of(values: Any) -> float:
    return float(np.mean(list(values)))


def errors_name(error: float) -> str:
    return f"{100 * error:.4g} % wrong" if error else "no errors"


def _errors_title(about: About, error: float) -> str:
    return errors_name(error).capitalize() if len(about.errors) > 1 or error else ""


def _and_errors(about: About, error: float) -> str:
    return f", {errors_name(error)}" if len(about.errors) > 1 or error else ""
