"""Line charts as inline SVG. Their colours are the page's, in its light and its dark scheme."""

import dataclasses
import math
from collections.abc import Sequence

from markupsafe import Markup, escape

LEFT, RIGHT, TOP, BOTTOM = 40.0, 14.0, 16.0, 40.0
"""A chart's margins in SVG units."""
COLORS = 6
"""How many colours for series style.css has."""
DASHES = ("", "6 4", "1 5", "9 4 1 4")
"""The dash patterns of lines, as SVG writes them."""


@dataclasses.dataclass(frozen=True)
class Series:
    """A line through points (x, y).

    Attributes:
      name: shown when the pointer is on the line.
      points: in the order in which they are joined.
      color: from 1. Numbers above `COLORS` use the colours again, with dots of another shape.
      labels: the text above each point; fewer than points are allowed.
      dots: whether each point has a dot.
      errors: the half length of each point's error bar; empty: no bars.
      dash: the number of the line's pattern in `DASHES`.
    """

    name: str
    points: Sequence[tuple[float, float]]
    color: int = 1
    labels: Sequence[str] = ()
    dots: bool = False
    errors: Sequence[float] = ()
    dash: int = 0


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers at equal distances that enclose `low` and `high`."""
    if not high > low:
        low, high = (low - 0.5, high + 0.5) if low else (0.0, 1.0)
    step = 10.0 ** math.floor(math.log10((high - low) / count))
    step *= next(m for m in (1, 2, 2.5, 5, 10) if (high - low) / (m * step) <= count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten that enclose `low` and `high`; with 2 and 5 times each where these are few.

    Both are positive.
    """
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    found = [10.0**n for n in range(first, max(last, first + 1) + 1)]
    if len(found) <= 4:
        every = [round(m * f, 12) for f in found for m in (1, 2, 5)]
        above = next(i for i, value in enumerate(every) if value * (1 + 1e-9) >= high)
        below = max(i for i, value in enumerate(every) if value <= low * (1 + 1e-9))
        found = every[below : max(above, below + 1) + 1]
    return found


def line_chart(
    series: Sequence[Series],
    x_title: str,
    title: str,
    size: tuple[int, int] = (420, 260),
    log: bool = False,
    levels: Sequence[tuple[str, float]] = (),
    y_also: Sequence[float] = (),
) -> Markup:
    """A chart of one or more lines.

    Args:
      series: with at least one point in all.
      x_title: the horizontal axis's title.
      title: what the chart shows, for screen readers.
      size: width and height in SVG units.
      log: whether the horizontal axis is logarithmic; its values are then positive.
      levels: the name and height of each horizontal line.
      y_also: further values that the vertical axis encloses, for charts that share a scale.
    """
    width, height = size
    xs = (log_ticks if log else ticks)(*_bounds([x for s in series for x, _ in s.points]))
    heights = [y for s in series for y in _reach(s)] + [y for _, y in levels] + list(y_also)
    ys = ticks(*_bounds(heights), count=4)
    scale = math.log if log else float

    def place(x: float, y: float) -> tuple[float, float]:
        along = (scale(x) - scale(xs[0])) / (scale(xs[-1]) - scale(xs[0]))
        return (
            LEFT + along * (width - LEFT - RIGHT),
            height - BOTTOM - (y - ys[0]) / (ys[-1] - ys[0]) * (height - TOP - BOTTOM),
        )

    parts = _axes(
        [(place(x, ys[0])[0], x) for x in xs], [(place(xs[0], y)[1], y) for y in ys], x_title, size
    )
    parts += _levels([(name, place(xs[0], y)[1]) for name, y in levels], width)
    apart = min(4.0, 24.0 / len(series)) if any(s.errors for s in series) else 0.0
    for n, s in enumerate(series):
        aside = apart * (n - (len(series) - 1) / 2)  # error bars at one x do not cover each other
        places = [(x + aside, y) for x, y in (place(*point) for point in s.points)]
        ends = [
            (place(xs[0], y - e)[1], place(xs[0], y + e)[1])
            for (_, y), e in zip(s.points, s.errors, strict=False)
        ]
        if s.points:
            parts.append(_line(s, places, ends))
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def number(value: float) -> str:
    """A number with at most four digits, for an axis: 1500 is 1.5k."""
    for factor, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.4g}{suffix}"
    return f"{value:.4g}"


def thin(points: Sequence[tuple[float, float]], count: int = 160) -> Sequence[tuple[float, float]]:
    """At most `count` points: the means of groups of neighbours; the points where they are few."""
    group = math.ceil(len(points) / count)
    if group <= 1:
        return points
    chunks = [points[n : n + group] for n in range(0, len(points), group)]
    return [tuple(sum(axis) / len(chunk) for axis in zip(*chunk, strict=True)) for chunk in chunks]


def key(color: int, dash: int = 0) -> Markup:
    """A sample of a series' line, for a legend; colour 0 is the text's and has no dot."""
    name = f" c{(color - 1) % COLORS + 1}" if color else ""
    dot = _dot(13, 6, color) if color else ""
    return Markup(
        f'<svg class="chart key{name}" viewBox="0 0 26 12" aria-hidden="true">'
        f'<path class="line" d="M1 6H25"{_dashes(dash)}/>{dot}</svg>'
    )


def _dashes(dash: int) -> str:
    pattern = DASHES[dash % len(DASHES)]
    return f' stroke-dasharray="{pattern}"' if pattern else ""


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _reach(series: Series) -> list[float]:
    """The heights of the ends of a series' error bars, or of its points."""
    errors = series.errors or [0.0] * len(series.points)
    return [y + s * e for (_, y), e in zip(series.points, errors, strict=True) for s in (-1, 1)]


def _axes(
    columns: Sequence[tuple[float, float]],
    rows: Sequence[tuple[float, float]],
    x_title: str,
    size: tuple[int, int],
) -> list[str]:
    """The grid's lines and the axes' numbers; columns and rows are (place, value)."""
    width, height = size
    parts = []
    for at, value in rows:
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{width - RIGHT}"/>')
        text = number(value)
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
    for at, value in columns:
        under, text = height - BOTTOM + 17, number(value)
        parts.append(f'<text x="{at:.1f}" y="{under}" text-anchor="middle">{text}</text>')
    middle = (LEFT + width - RIGHT) / 2
    parts.append(
        f'<text class="axis" x="{middle}" y="{height - 5}" text-anchor="middle">'
        f"{escape(x_title)}</text>"
    )
    return parts


def _levels(levels: Sequence[tuple[str, float]], width: float) -> list[str]:
    """Dashed horizontal lines, and their names at the left end, so that none covers another."""
    parts, before = [], -math.inf
    for name, y in sorted(levels, key=lambda level: level[1]):
        before = max(y - 4, before + 12)
        parts.append(f'<path class="level" d="M{LEFT} {y:.1f}H{width - RIGHT}"/>')
        parts.append(f'<text class="name" x="{LEFT + 4}" y="{before:.1f}">{escape(name)}</text>')
    return parts


def _dot(x: float, y: float, color: int) -> str:
    """A circle; a square or a diamond where a colour is used for the second or third time."""
    match (color - 1) // COLORS % 3:
        case 1:
            return f'<path class="dot" d="M{x - 3.7:.1f} {y - 3.7:.1f}h7.4v7.4h-7.4z"/>'
        case 2:
            return f'<path class="dot" d="M{x:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>'


def _line(
    series: Series,
    places: Sequence[tuple[float, float]],
    ends: Sequence[tuple[float, float]],
) -> str:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    line = f'<path class="line" d="{path}"{_dashes(series.dash)}/>'
    parts = [f"<title>{escape(series.name)}</title>", line]
    parts += [
        f'<path class="error" d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 3:.1f} {low:.1f}h6'
        f'M{x - 3:.1f} {high:.1f}h6"/>'
        for (x, _), (low, high) in zip(places, ends, strict=False)
        if low > high  # heights grow downwards
    ]
    if series.dots or len(places) == 1:
        parts += [_dot(x, y, series.color) for x, y in places]
    parts += [
        f'<text class="label" x="{x:.1f}" y="{y - 9:.1f}" '
        f'text-anchor="{"start" if x < LEFT + 20 else "middle"}">{escape(text)}</text>'
        for (x, y), text in zip(places, series.labels, strict=False)
    ]
    return f'<g class="series c{(series.color - 1) % COLORS + 1}">{"".join(parts)}</g>'
