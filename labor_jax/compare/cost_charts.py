"""Charts of a comparison: scores against the cost of asking."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from labor_jax.compare import intervals
from labor_jax.compare.results import Groups, Result
from labor_jax.compare.tables import About, errors_name, mean_of, reference_scores
from labor_jax.report import charts

DECADE = 10.0
"""Costs that differ by more than this factor are drawn on a logarithmic axis."""


def cost_charts(about: About, groups: Groups) -> list[dict[str, Any]]:
    """mIoU against points, clicks, pixels and time: a line for each method, with error bars."""
    costs: list[tuple[str, Callable[[Result], float]]] = [
        ("clicks an image", lambda r: r.budget["clicks_per_image"]),
        ("time an image, s (estimated)", lambda r: r.seconds_per_image(about.costs)),
        ("pixels, %", lambda r: 100 * r.budget["fraction"]),
        ("points an image", lambda r: r.budget["points_per_image"]),
    ]
    levels = reference_scores(groups)
    drawn = []
    for x_title, cost in costs:
        series = [
            _series(groups, method, about.errors[0], cost, n)
            for n, method in enumerate(about.methods, start=1)
        ]
        if chart := _chart([s for s in series if s.points], x_title, levels):
            drawn.append({"title": f"mIoU against {x_title.split(',')[0]}", "svg": chart})
    return drawn


def error_charts(about: About, groups: Groups) -> list[dict[str, Any]]:
    """mIoU against clicks with and without errors: a chart for each method, all on one scale."""
    if len(about.errors) < 2:
        return []
    drawn = []
    every = [r.miou for key, group in groups.items() if key[1] for r in group]
    for n, method in enumerate(about.methods, start=1):
        series = [
            _series(groups, method, error, lambda r: r.budget["clicks_per_image"], n, dash=i)
            for i, error in enumerate(about.errors)
        ]
        series = [
            dataclasses.replace(s, name=f"{method}, {errors_name(error)}")
            for s, error in zip(series, about.errors, strict=True)
            if s.points
        ]
        if chart := _chart(series, "clicks an image", [], (340, 220), every):
            drawn.append({"title": method, "svg": chart})
    return drawn


def _series(
    groups: Groups,
    method: str,
    error: float,
    cost: Callable[[Result], float],
    color: int,
    dash: int = 0,
) -> charts.Series:
    """A method's budgets, cheapest first; those that cost nothing in this unit are left out."""
    points = []
    for (name, budget, share), group in groups.items():
        if name == method and budget and share == error and (x := mean_of(map(cost, group))):
            mean, deviation = intervals.mean_and_spread([r.miou for r in group])
            points.append((x, mean, deviation or 0.0))
    points.sort()
    return charts.Series(
        method,
        [(x, y) for x, y, _ in points],
        color=color,
        dots=True,
        errors=[e for _, _, e in points],
        dash=dash,
    )


def _chart(
    series: Sequence[charts.Series],
    x_title: str,
    levels: Sequence[tuple[str, float]],
    size: tuple[int, int] = (460, 330),
    y_also: Sequence[float] = (),
) -> str | None:
    """A chart; None if there is nothing to draw.

    Levels far away would flatten the curves. A level is drawn only if its distance from the curves
    is at most the curves' height.
    """
    xs = [x for s in series for x, _ in s.points]
    if not xs:
        return None
    ys = [
        y + sign * e
        for s in series
        for (_, y), e in zip(s.points, s.errors, strict=True)
        for sign in (-1, 1)
    ]
    low, high = min(ys), max(ys)
    levels = [level for level in levels if 2 * low - high <= level[1] <= 2 * high - low]
    return charts.line_chart(
        series,
        x_title,
        f"mIoU against {x_title}",
        size,
        log=max(xs) >= DECADE * min(xs),
        levels=levels,
        y_also=y_also,
    )
