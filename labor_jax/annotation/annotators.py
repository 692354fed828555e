"""Who answers: the oracle, the noisy oracle, another run's journal, or people.

An annotator is a function `annotate(query) -> answers`. People are none: a run ends where it needs
their answers, they give them with `labor-jax annotate`, and the run is started again.
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
"""The values of config.annotator that need the target's labels."""

TOGETHER, LARGEST = 50, 4096
"""To at most so many queries the answers of a machine are added to the journal at once, and to
fewer where they have more numbers in their runs than that."""

Annotate = Callable[[Query], list[Answer]]


def check(config: ml_collections.ConfigDict) -> None:
    """Checks that the journal that is to be replayed exists.

    Raises:
      UserError: it does not.
    """
    if config.annotator == "replay" and not (
        config.replay and journal.path(config.replay).is_file()
    ):
        raise UserError(
            f"config.replay: no answers in {config.replay!r}; give the DIR of a run with answers"
        )


def are_people(config: ml_collections.ConfigDict) -> bool:
    """Whether people answer, so that a run ends where it needs answers."""
    return config.annotator == "web"


def make(config: ml_collections.ConfigDict, target: Domain, table: ClassTable) -> Annotate:
    """The annotator of a run that people do not answer.

    Args:
      config: annotator, replay, seed, noisy.
      target: its labels are read where the annotator needs them.
      table: the classes.
    """
    if config.annotator == "replay":
        full = config.method == "full"
        return _replay_labels(config.replay, table) if full else _replay(config.replay, table)
    index = {image: i for i, image in enumerate(target.ids)}

    read = target.read_label
    assert read is not None

    def annotate(query: Query) -> list[Answer]:
        if query["image"] not in index:  # it went, or changed, since it was asked about
            return []
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
    """Has an annotator answer all that is open of a stage; yields how many queries are done.

    Answers that stand in the journal are kept: a killed run goes on after them, and an oracle may
    complete what people have begun. The answers to some queries are added at once, since bringing
    them to disk takes longer than making them; a killed run makes the last ones again.
    """
    written = journal.on_disk(workdir, table)
    new: list[Answer] = []
    for number, asked in enumerate(queries.each_query(workdir, stage), start=1):
        stand = journal.answers_to(asked, written)
        done, open_ = {journal.place(x) for x in stand}, journal.open_pieces(asked, stand)
        new += [x for x in annotate(asked) if x["piece"] in open_ and journal.place(x) not in done]
        if number % TOGETHER == 0 or sum(len(answer.get("runs", ())) for answer in new) > LARGEST:
            journal.append(workdir, new, table)
            new = []
        yield number
    journal.append(workdir, new, table)


def _replay(directory: str, table: ClassTable) -> Annotate:
    """An annotator that gives the answers of another run's journal to the same queries."""
    known = journal.on_disk(directory, table)

    def annotate(query: Query) -> list[Answer]:
        answers = journal.labelling(known.get(query["id"], []))
        if not all(is_inside(entry, query) for entry in answers):
            raise UserError(
                f"config.replay: {directory!r} was asked something else about {query['image']} at "
                f"stage {query['stage']}; give a run of the same config"
            )
        if journal.open_pieces(query, answers):
            raise UserError(
                f"config.replay: {directory!r} does not answer all that is asked about "
                f"{query['image']} at stage {query['stage']}; have it answered to the end"
            )
        return [{k: v for k, v in entry.items() if k != "classes"} for entry in answers]

    return annotate


def _replay_labels(directory: str, table: ClassTable) -> Annotate:
    """An annotator for what asks every pixel: it gives what another run has answered.

    Where the other run asked every pixel, too, it gives the same answers. Of other runs, such as
    live ones, it gives the labels, and void where there are none.
    """
    known, again = journal.on_disk(directory, table), _replay(directory, table)
    sizes = {x["image"]: x["size"] for s in queries.stages(directory) for x in
             queries.each_query(directory, s)}  # fmt: skip
    by_image: dict[str, list[Answer]] = {}
    for entry in journal.read(directory, table):
        by_image.setdefault(entry["image"], []).append(entry)

    def annotate(query: Query) -> list[Answer]:
        image = query["image"]
        if any(entry["kind"] == "segments" for entry in known.get(query["id"], ())):
            return again(query)
        if sizes.get(image, query["size"]) != query["size"]:
            raise UserError(
                f"config.replay: in {directory!r} {image} has another size; give a run of the same "
                f"images"
            )
        label = journal.label_map(by_image.get(image, []), tuple(query["size"]))
        return [entry | {"annotator": "replay"} for entry in oracle.annotate(query, label)]

    return annotate


def is_inside(entry: Answer, asked: Query) -> bool:
    """Whether an answer's pixels all belong to the piece of the query that it names."""
    pieces = queries.pieces(asked)
    if entry["kind"] != asked["kind"] or not 0 <= entry["piece"] < len(pieces):
        return False
    piece = pieces[entry["piece"]]
    if asked["kind"] == "points":
        return entry["point"] == piece
    return bool(np.isin(run_pixels(entry["runs"]), run_pixels(piece)).all())
