"""Line charts as inline SVG: they take the page's colours, so that they suit light and dark."""

import dataclasses
import math
from collections.abc import Sequence

from markupsafe import Markup, escape

LEFT, RIGHT, TOP, BOTTOM = 40.0, 14.0, 16.0, 40.0


@dataclasses.dataclass(frozen=True)
class Series:
    """A line through points; `color` counts the page's series colours from 1."""

    name: str
    points: Sequence[tuple[float, float]]
    color: int = 1
    labels: Sequence[str] = ()
    dots: bool = False


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that reach from `low` or below to `high` or above, about `count` of them."""
    if not high > low:
        low, high = (low - 0.5, high + 0.5) if low else (0.0, 1.0)
    step = 10.0 ** math.floor(math.log10((high - low) / count))
    step *= next(m for m in (1, 2, 2.5, 5, 10) if (high - low) / (m * step) <= count)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def line_chart(
    series: Sequence[Series], x_title: str, title: str, size: tuple[int, int] = (420, 260)
) -> Markup:
    """A chart of one or more lines.

    Args:
      series: at least one point in all.
      x_title: what the horizontal axis counts.
      title: what the chart shows; read out by screen readers.
      size: width and height in SVG units.
    """
    width, height = size
    xs = ticks(*_bounds([x for s in series for x, _ in s.points]))
    ys = ticks(*_bounds([y for s in series for _, y in s.points]), count=4)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (x - xs[0]) / (xs[-1] - xs[0]) * (width - LEFT - RIGHT),
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
    parts += [_line(s, [place(x, y) for x, y in s.points]) for s in series if s.points]
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


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _line(series: Series, places: Sequence[tuple[float, float]]) -> str:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    parts = [f"<title>{escape(series.name)}</title>", f'<path class="line" d="{path}"/>']
    if series.dots or len(places) == 1:
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in places]
    parts += [
        f'<text class="label" x="{x:.1f}" y="{y - 9:.1f}" '
        f'text-anchor="{"start" if x < LEFT + 20 else "middle"}">{escape(text)}</text>'
        for (x, y), text in zip(places, series.labels, strict=False)
    ]
    return f'<g class="series c{(series.color - 1) % 6 + 1}">{"".join(parts)}</g>'
