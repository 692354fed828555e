"""How much each person's answers count: `config.trust` has "NAME=WEIGHT", and 0 drops them."""

import math
from collections.abc import Iterable, Mapping, Sequence

from labor_jax.annotation.journal import Answer
from labor_jax.util.errors import UserError

__all__ = ["check_whole", "kept", "weights"]


def weights(trust: Sequence[str]) -> dict[str, float]:
    """The weight of each annotator that `config.trust` names; all others have 1.

    Raises:
      UserError: an entry is something else.
    """
    found = {}
    for entry in trust:
        name, _, text = entry.rpartition("=")
        try:
            weight = float(text)
        except ValueError:
            weight = math.nan
        if not name or not 0 <= weight < math.inf:
            raise UserError(f"config.trust: {entry!r} is not NAME=WEIGHT, with a weight from 0")
        found[name] = weight
    return found


def check_whole(trust: Sequence[str]) -> None:
    """Checks that answers count or do not: a label map cannot have them count by half.

    Raises:
      UserError: a weight is neither 0 nor 1, or an entry is none.
    """
    for name, weight in weights(trust).items():
        if weight not in (0, 1):
            raise UserError(
                f"config.trust: {name}={weight:g}; only a live run weighs answers, give 0 or 1"
            )


def kept(answers: Iterable[Answer], weights: Mapping[str, float]) -> list[Answer]:
    """The answers of all but those whose weight is 0, in order."""
    return [entry for entry in answers if weights.get(entry["annotator"], 1.0)]
