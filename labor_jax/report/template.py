"""HTML pages from templates, and how numbers are written in them."""

from typing import Any

import jinja2

ABSENT = "\N{EN DASH}"
"""What stands for a number that there is not."""


def render(template: str, **values: Any) -> str:
    """Renders a template into a page.

    Args:
      template: its path inside the package, such as "report/report.html.j2"; the templates that it
        includes are named in the same way.
      values: what the template names; a name that is missing is an error.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("labor_jax", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"count": count, "percent": percent, "duration": duration}
    return environment.get_template(template).render(**values)


def count(value: float | None) -> str:
    """A count with its digits in threes, apart by narrow spaces."""
    return ABSENT if value is None else f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def percent(share: float | None) -> str:
    """A share, from 0 to 1, in percent without the sign: 0.022 is 2.20."""
    if share is None:
        return ABSENT
    value = 100 * share
    digits = 0 if value == 0 or value >= 99.95 else 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:.{digits}f}"


def duration(seconds: float | None) -> str:
    """Seconds in the largest unit of which there are 1.5 or more: hours, minutes or seconds."""
    if not seconds:
        return ABSENT
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def plural(n: int, noun: str) -> str:
    """A count and its noun, given in the plural: 2 points, 1 point."""
    return f"{count(n)} {noun.removesuffix('s') if n == 1 else noun}"
