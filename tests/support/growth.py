"""How a kernel's program grows: its number of operations and its largest array."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.extend.core


def operations(jaxpr: Any) -> Iterator[Any]:
    """Every operation of a jaxpr and of those inside it."""
    for equation in jaxpr.eqns:
        yield equation
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            yield from operations(inner)


def measure(function: Any, *arguments: Any) -> tuple[int, int]:
    """(number of operations, elements of the largest array) of a function's program."""
    found = list(operations(jax.make_jaxpr(function)(*arguments).jaxpr))
    return len(found), max(v.aval.size for e in found for v in e.outvars)
