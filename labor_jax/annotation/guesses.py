"""A model's guess at each piece of a query: a person confirms or corrects it.

Of some pieces, drawn by the query's id, the guess is not shown: these are asked blind. How people
answer both kinds tells whether guesses save time, and whether they lead people astray.

A live run writes guesses with its queries. Those at what a run of stages asks are made once it
waits, and `queries/guesses_N.jsonl` has them: {"query": its id} and the keys that `add` gives.
"""

import json
import os
import pathlib
from collections.abc import Iterable
from typing import Any

from labor_jax.annotation.queries import Query, pieces
from labor_jax.util import files, rng
from labor_jax.util.errors import UserError

__all__ = ["add", "append", "path", "read", "shown", "told"]

KEYS = ("guesses", "guessed_by", "blind")
"""The keys of a query that has guesses."""


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


def path(workdir: str | os.PathLike, stage: int) -> pathlib.Path:
    """The file of the guesses at a stage's queries."""
    return pathlib.Path(workdir, "queries", f"guesses_{stage}.jsonl")


def read(workdir: str | os.PathLike, stage: int) -> dict[str, Query]:
    """The guesses at a stage's queries that were made, by the query's id: keys to add to it.

    Raises:
      UserError: the file is damaged.
    """
    file = path(workdir, stage)
    try:
        lines = [line for _, line in files.json_lines(file, growing=True)]
        return {line["query"]: {key: line[key] for key in KEYS} for line in lines}
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{file}: damaged; restore it from a copy, or delete it") from None


def append(workdir: str | os.PathLike, query: Query) -> None:
    """Writes a query's guesses to the file, and returns when they are on disk.

    Raises:
      OSError: they cannot be written; the file is as it was.
    """
    line = {"query": query["id"]} | {key: query[key] for key in KEYS}
    files.append_lines(path(workdir, query["stage"]), f"{json.dumps(line)}\n".encode())


def shown(query: Query) -> list[int | None]:
    """The guess at each piece that may be shown; None where it may not, or there is none."""
    blind = set(query.get("blind", ()))
    none = [(None, 0.0)] * len(pieces(query))
    return [
        None if piece in blind else label
        for piece, (label, _) in enumerate(query.get("guesses", none))
    ]


def told(query: Query, piece: int, seen: Any) -> dict[str, Any]:
    """What the journal's line of an answer says of the guess at its piece; {} without one.

    Args:
      seen: the guess that the page says it had in sight, or None.
    """
    if "guesses" not in query:
        return {}
    label, confidence = query["guesses"][piece]
    return {
        "shown": piece not in query["blind"] and seen == label,
        "model": query["guessed_by"],
        "guess": label,
        "confidence": confidence,
    }
