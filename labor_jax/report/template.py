"""A page from its template, and how numbers are written in it."""

from typing import Any

import jinja2
from markupsafe import Markup

ABSENT = "\N{EN DASH}"


def render(folder: str, template: str, **values: Any) -> str:
    """A page from a template of a folder of labor_jax, which may include the report's style."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader("labor_jax", name) for name in (folder, "report")]
        ),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"count": count, "percent": percent, "duration": duration}
    return environment.get_template(template).render(**values)


def count(value: float | None) -> str:
    """1234567 as 1,234,567, with thin spaces."""
    return ABSENT if value is None else f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def percent(share: float | None) -> Markup | str:
    """A share of 1 in percent, with three significant digits below 10 %."""
    if share is None:
        return ABSENT
    value = 100 * share
    digits = 0 if value == 0 or value >= 99.95 else 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:.{digits}f}"


def duration(seconds: float | None) -> str:
    """Seconds as seconds, minutes or hours, whichever is short."""
    if not seconds:
        return ABSENT
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def plural(n: int, noun: str) -> str:
    return f"{count(n)} {noun.removesuffix('s') if n == 1 else noun}"
