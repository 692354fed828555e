"""Line charts as inline SVG: they take the page's colours, so that they suit light and dark."""

import dataclasses
import math
from collections.abc import Sequence

from markupsafe import Markup, escape

LEFT, RIGHT, TOP, BOTTOM = 40.0, 14.0, 16.0, 40.0
COLORS = 6
"""How many series colours the pages have."""
DASHES = ("", "6 4", "1 5", "9 4 1 4")


@dataclasses.dataclass(frozen=True)
class Series:
    """A line through points.

    Attributes:
      color: counts the page's series colours from 1; after the last, dots take another shape.
      errors: how far each point's error bar reaches up and down.
      dash: which of `DASHES` the line has.
    """

    name: str
    points: Sequence[tuple[float, float]]
    color: int = 1
    labels: Sequence[str] = ()
    dots: bool = False
    errors: Sequence[float] = ()
    dash: int = 0


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that reach from `low` or below to `high` or above, about `count` of them."""
    if not high > low:
        low, high = (low - 0.5, high + 0.5) if low else (0.0, 1.0)
    step = 10.0 ** math.floor(math.log10((high - low) / count))
    step *= next(m for m in (1, 2, 2.5, 5, 10) if (high - low) / (m * step) <= count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten, with their doubles and fives where these are few, from `low` or below to
    `high` or above; both are positive."""
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
      series: at least one point in all.
      x_title: what the horizontal axis counts.
      title: what the chart shows; read out by screen readers.
      size: width and height in SVG units.
      log: the horizontal axis is logarithmic; all its values are positive.
      levels: horizontal lines, by name.
      y_also: further values for which there is room, so that several charts have one scale.
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

    parts = []
    for y in ys:
        _, at = place(xs[0], y)
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{width - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{number(y)}</text>')
    for x in xs:
        at, _ = place(x, ys[0])
        parts.append(
            f'<text x="{at:.1f}" y="{height - BOTTOM + 17}" text-anchor="middle">{number(x)}</text>'
        )
    middle = (LEFT + width - RIGHT) / 2
    parts.append(
        f'<text class="axis" x="{middle}" y="{height - 5}" text-anchor="middle">'
        f"{escape(x_title)}</text>"
    )
    parts += _levels([(name, place(xs[0], y)[1]) for name, y in levels], width)
    apart = min(4.0, 24.0 / len(series)) if any(s.errors for s in series) else 0.0
    for n, s in enumerate(series):
        aside = apart * (n - (len(series) - 1) / 2)  # error bars at the same x stay legible
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
    """A short number for an axis: 1500 is 1.5k."""
    for factor, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.4g}{suffix}"
    return f"{value:.4g}"


def thin(points: Sequence[tuple[float, float]], count: int = 160) -> Sequence[tuple[float, float]]:
    """At most about `count` points: means of neighbours."""
    group = math.ceil(len(points) / count)
    if group <= 1:
        return points
    chunks = [points[n : n + group] for n in range(0, len(points), group)]
    return [tuple(sum(axis) / len(chunk) for axis in zip(*chunk, strict=True)) for chunk in chunks]


def key(color: int, dash: int = 0) -> Markup:
    """The sign of a series in a legend; colour 0 is the text's."""
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
    """How low and high a series comes with its error bars."""
    errors = series.errors or [0.0] * len(series.points)
    return [y + s * e for (_, y), e in zip(series.points, errors, strict=True) for s in (-1, 1)]


def _levels(levels: Sequence[tuple[str, float]], width: float) -> list[str]:
    """Dashed horizontal lines at heights, and their names beside the left end, none on another."""
    parts, before = [], -math.inf
    for name, y in sorted(levels, key=lambda level: level[1]):
        before = max(y - 4, before + 12)
        parts.append(f'<path class="level" d="M{LEFT} {y:.1f}H{width - RIGHT}"/>')
        parts.append(f'<text class="name" x="{LEFT + 4}" y="{before:.1f}">{escape(name)}</text>')
    return parts


def _dot(x: float, y: float, color: int) -> str:
    """A circle; for colours used a second and third time a square or a diamond."""
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
