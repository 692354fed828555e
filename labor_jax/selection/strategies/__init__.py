"""The strategies: functions that score each pixel. What has a high score is asked.

A strategy is one decorated function. Every module of this folder is imported, so a new module needs
no entry elsewhere. Your own strategy can be in any module that `config.plugins` names. Its name is
then a value of `config.method`:

    from labor_jax.selection.strategies import Seen, strategy

    @strategy("my_margin", asks="points")
    def my_margin(seen: Seen, config) -> jax.Array:
        best, second = jnp.moveaxis(jax.lax.top_k(seen.probs, 2)[0], -1, 0)
        return second - best
"""

from labor_jax.selection.strategies.registry import (
    ASKS,
    WITHOUT,
    Score,
    Seen,
    Strategy,
    chooses,
    find,
    methods,
    names,
    needs_selector,
    radius,
    strategy,
    title,
)
from labor_jax.selection.strategies.uncertainty import margin_of
from labor_jax.util.discovery import import_all

__all__ = [
    "ASKS",
    "WITHOUT",
    "Score",
    "Seen",
    "Strategy",
    "chooses",
    "find",
    "margin_of",
    "methods",
    "names",
    "needs_selector",
    "radius",
    "strategy",
    "title",
]

import_all(__name__)
