"""A model's guess at each piece of a query: a person confirms or corrects it.

Of some pieces, drawn by the query's id, the guess is not shown: these are asked blind. How people
answer both kinds tells whether guesses save time, and whether they lead people astray.
"""

from collections.abc import Iterable
from typing import Any

from labor_jax.annotation.queries import Query, pieces
from labor_jax.util import rng

__all__ = ["add", "shown", "told"]


def add(
    query: Query,
    model: int,
    classes: Iterable[int],
    confidences: Iterable[float],
    blind: float,
    seed: int,
) -> Query:
    """A query with a model's guesses.

    Args:
      model: its version.
      classes: its guess at each piece, a train id.
      confidences: the probability that it gives to each guess.
      blind: the share of the pieces whose guess is not shown, `config.verify.blind`.
      seed: `config.seed`. The same id and seed draw the same pieces.
    """
    draws = rng.generator(seed, f"verify/{query['id']}").random(len(pieces(query)))
    return query | {
        "guesses": [
            [int(label), round(float(confidence), 4)]
            for label, confidence in zip(classes, confidences, strict=True)
        ],
        "guessed_by": int(model),
        "blind": [piece for piece, draw in enumerate(draws.tolist()) if draw < blind],
    }


def shown(query: Query) -> list[int | None]:
    """The guess at each piece that may be shown; None where it may not, or there is none."""
    blind = set(query.get("blind", ()))
    none = [(None, 0.0)] * len(pieces(query))
    return [
        None if piece in blind else label
        for piece, (label, _) in enumerate(query.get("guesses", none))
    ]


def told(query: Query, piece: int) -> dict[str, Any]:
    """What the journal's line of an answer says of the guess at its piece; {} without one."""
    if "guesses" not in query:
        return {}
    label, confidence = query["guesses"][piece]
    return {
        "shown": piece not in query["blind"],
        "model": query["guessed_by"],
        "guess": label,
        "confidence": confidence,
    }
