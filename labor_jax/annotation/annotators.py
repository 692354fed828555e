"""Who answers: oracle, noisy oracle, a replayed journal, or people. The loop cannot tell which.

An annotator is `annotate(query) → answers`. People answer in their own time (labor-jax annotate):
they have no such function, and the run waits for them.
"""

import os
from collections.abc import Callable, Iterator

import ml_collections
import numpy as np

from labor_jax.annotation import journal, oracle, queries
from labor_jax.annotation.journal import Answer
from labor_jax.annotation.queries import Query
from labor_jax.data.domain import Domain
from labor_jax.data.labels import ClassTable
from labor_jax.selection.segments import run_pixels
from labor_jax.util import rng
from labor_jax.util.errors import UserError

FROM_TRUTH = ("oracle", "noisy")
"""The annotators that need the target's labels."""

Annotate = Callable[[Query], list[Answer]]


def check(config: ml_collections.ConfigDict) -> None:
    """Raises UserError where a journal is to be replayed that is not there."""
    if config.annotator == "replay" and not (
        config.replay and journal.path(config.replay).is_file()
    ):
        raise UserError(
            f"config.replay: no answers in {config.replay!r}; give the DIR of a run that has some"
        )


def are_people(config: ml_collections.ConfigDict) -> bool:
    """Whether people answer, whom a run has to wait for."""
    return config.annotator == "web"


def make(config: ml_collections.ConfigDict, target: Domain, table: ClassTable) -> Annotate:
    """The annotator of a run that has no people to wait for."""
    if config.annotator == "replay":
        return _replay(config.replay, table)
    index = {image: i for i, image in enumerate(target.ids)}

    read = target.read_label
    assert read is not None

    def annotate(query: Query) -> list[Answer]:
        truth = read(index[query["image"]])
        if config.annotator == "oracle":
            return oracle.annotate(query, truth)
        random = rng.generator(config.seed, f"noisy/{query['image']}", query["stage"])
        return oracle.annotate_noisily(
            query, truth, len(table), config.noisy.error, config.noisy.border, random
        )

    return annotate


def answer_open(
    workdir: str | os.PathLike, stage: int, annotate: Annotate, table: ClassTable
) -> Iterator[int]:
    """Lets an annotator answer what is open of a stage; yields how many queries are done.

    What stands in the journal stays: a killed run goes on where it ends, and an oracle may finish
    what a person has begun.
    """
    written = journal.on_disk(workdir, table)
    for number, asked in enumerate(queries.each_query(workdir, stage), start=1):
        stand = journal.answers_to(asked, written)
        done, open_ = {journal.place(x) for x in stand}, journal.open_pieces(asked, stand)
        new = [x for x in annotate(asked) if x["piece"] in open_ and journal.place(x) not in done]
        journal.append(workdir, new, table)
        yield number


def _replay(directory: str, table: ClassTable) -> Annotate:
    """The answers of another run's journal, to the same queries."""
    known = journal.on_disk(directory, table)

    def annotate(query: Query) -> list[Answer]:
        answers = journal.answers_to(query, known)
        if not all(is_inside(entry, query) for entry in answers):
            raise UserError(
                f"config.replay: {directory!r} was asked otherwise about {query['image']} at "
                f"stage {query['stage']}; give a run of the same config"
            )
        if journal.open_pieces(query, answers):
            raise UserError(
                f"config.replay: {directory!r} does not answer all about {query['image']} at "
                f"stage {query['stage']}; let it be answered to the end"
            )
        return [{k: v for k, v in entry.items() if k != "classes"} for entry in answers]

    return annotate


def is_inside(entry: Answer, asked: Query) -> bool:
    """Whether an answer is about pixels of the piece that it names."""
    pieces = asked[asked["kind"]]
    if entry["kind"] != asked["kind"] or not 0 <= entry["piece"] < len(pieces):
        return False
    piece = pieces[entry["piece"]]
    if asked["kind"] == "points":
        return entry["point"] == piece
    return bool(np.isin(run_pixels(entry["runs"]), run_pixels(piece)).all())
