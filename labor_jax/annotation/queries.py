"""Queries: what an annotator is asked about an image at a stage, and the files that hold them.

A query is a JSON object:

    "id"        "STAGE/IMAGE"
    "image"     the image's id
    "stage"     counts from 1
    "kind"      "points" or "segments"
    "size"      [H, W] of the image's label
    "points"    [[x, y], ...], where the kind is "points"
    "segments"  [[start, length, start, length, ...], ...], where the kind is "segments": the
                row-major run lengths of each (see selection/segments.py)
    "whole"     true where a segment gets one class, its majority's; otherwise it may get several
    "origin"    "held" where answers are kept from the fit and score it; "volunteered" where a
                person chose the point, or fixed the segment in a review; otherwise the method asks
    "guesses"   [[class, confidence], ...], what a model guesses of each piece; answers verify it
    "guessed_by" the version of this model
    "blind"     the numbers of the pieces whose guess is not shown

While a model learns from answers as they come (`labor_jax.live`), an image is asked again and again
in one stage, and "id" is "STAGE/IMAGE#NUMBER". The file then has a line for each query, added when
it is first shown.

A piece of a query is one of its points or segments; pieces are numbered from 0. A stage's queries
are one file, `queries/stage_N.jsonl`: a line for each image, in the domain's order.

What people fix of a run of stages in a review is in a file of its own, `queries/fixes.jsonl`: a
line for each region, whose "stage" is the one at which its class is first learnt.
"""

import contextlib
import itertools
import json
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from labor_jax.selection.segments import run_pixels, segment_runs
from labor_jax.util import files
from labor_jax.util.errors import UserError

__all__ = [
    "HELD",
    "VOLUNTEERED",
    "Query",
    "append_fix",
    "append_query",
    "asked_pixels",
    "by_asked_image",
    "by_image",
    "check_complete",
    "cost",
    "each_query",
    "fixes",
    "join_parts",
    "missing",
    "next_id",
    "piece_pixels",
    "pieces",
    "point_query",
    "queries_path",
    "read_queries",
    "read_score",
    "score_path",
    "segment_query",
    "stages",
    "write_queries",
]


Query = dict[str, Any]

HELD, VOLUNTEERED = "held", "volunteered"
"""The values that a query's "origin" can have."""


def point_query(image: str, stage: int, size: tuple[int, int], points: Iterable) -> Query:
    """A query for the classes of points.

    Args:
      image: its id.
      stage: from 1.
      size: (H, W) of its label.
      points: (row, column) of each.
    """
    return {
        "id": f"{stage}/{image}",
        "image": image,
        "stage": stage,
        "kind": "points",
        "size": list(size),
        "points": [[int(column), int(row)] for row, column in points],
    }


def segment_query(
    image: str, stage: int, size: tuple[int, int], segments: np.ndarray, whole: bool = False
) -> Query:
    """A query for the classes inside segments.

    Args:
      image: its id.
      stage: from 1.
      size: (H, W) of its label.
      segments: [H, W] int32, 0 = not asked, segments from 1.
      whole: whether a segment gets one class, its majority's.
    """
    query: Query = {
        "id": f"{stage}/{image}",
        "image": image,
        "stage": stage,
        "kind": "segments",
        "size": list(size),
        "segments": segment_runs(segments),
    }
    return query | {"whole": True} if whole else query


def next_id(query: Query, before: Iterable[Query]) -> str:
    """The id of a query about an image that may be asked again, "STAGE/IMAGE#NUMBER".

    Args:
      before: the image's queries so far.
    """
    return f"{query['stage']}/{query['image']}#{1 + sum(1 for _ in before)}"


def cost(query: Query, unit: str) -> int:
    """What a query costs in a budget's unit, before it is answered.

    Args:
      unit: "points", "pixels" or "clicks". A segment is counted as one click. That is exact where
        it is asked whole; otherwise a click is counted for each part once the answers are there.
    """
    if unit == "pixels":
        return len(asked_pixels(query))
    return len(pieces(query))


def pieces(query: Query) -> list[list[int]]:
    """A query's pieces: its points [x, y], or its segments' runs [start, length, ...]."""
    return query[query["kind"]]


def piece_pixels(query: Query, piece: int) -> np.ndarray:
    """The flat pixel numbers of one piece: [N] int64."""
    return asked_pixels(query | {query["kind"]: [pieces(query)[piece]]})


def asked_pixels(query: Query) -> np.ndarray:
    """The flat pixel numbers that a query asks for, in the order of its pieces: [N] int64."""
    if query["kind"] == "points":
        points = np.array(query["points"], np.int64).reshape(-1, 2)
        return points[:, 1] * query["size"][1] + points[:, 0]
    return run_pixels([value for runs in query["segments"] for value in runs])


def queries_path(workdir: str | os.PathLike, stage: int, part: int | None = None) -> pathlib.Path:
    """The file of a stage's queries, or of one process's part of them.

    The stage's file is made of all parts at once: where it exists, it is complete.
    """
    name = f"stage_{stage}.jsonl" if part is None else f"stage_{stage}.part_{part}"
    return pathlib.Path(workdir, "queries", name)


def stages(workdir: str | os.PathLike) -> list[int]:
    """The stages whose queries have been written, ascending."""
    paths = pathlib.Path(workdir, "queries").glob("stage_*.jsonl")
    return sorted(int(path.stem.removeprefix("stage_")) for path in paths)


def score_path(workdir: str | os.PathLike, stage: int) -> pathlib.Path:
    """The file of the score of a stage's mask; it holds null where a method has no mask."""
    return pathlib.Path(workdir, "queries", f"stage_{stage}.score.json")


def missing(workdir: str | os.PathLike, stage: int) -> pathlib.Path | None:
    """The first file that a stage's query phase has yet to write; None when it is complete."""
    paths = score_path(workdir, stage), queries_path(workdir, stage)
    return next((path for path in paths if not path.exists()), None)


def write_queries(
    workdir: str | os.PathLike, stage: int, queries: Iterable[Query], part: int | None = None
) -> None:
    """Writes a stage's queries, or one process's part of them; the file appears when it is whole.

    Args:
      queries: drawn one at a time; none is held in memory after it was written.
    """
    lines = (f"{json.dumps(query)}\n".encode() for query in queries)
    files.write_atomic(queries_path(workdir, stage, part), lines)


def append_query(workdir: str | os.PathLike, query: Query) -> None:
    """Adds a query to its stage's file, and returns when it is on disk.

    Raises:
      OSError: it cannot be written; the file is as it was.
    """
    path = queries_path(workdir, query["stage"])
    files.append_lines(path, f"{json.dumps(query)}\n".encode())


def append_fix(workdir: str | os.PathLike, query: Query) -> None:
    """Adds a region that a person fixed of a run of stages; see `append_query`."""
    files.append_lines(_fixes_path(workdir), f"{json.dumps(query)}\n".encode())


def fixes(workdir: str | os.PathLike, stage: int | None = None) -> dict[str, list[Query]]:
    """The regions that people fixed of a run of stages, by image, in the order of fixing.

    Args:
      stage: leaves out those of later stages.
    Raises:
      UserError: the file is damaged.
    """
    found: dict[str, list[Query]] = {}
    try:
        for _, query in files.json_lines(_fixes_path(workdir), growing=True):
            if stage is None or query["stage"] <= stage:
                found.setdefault(query["image"], []).append(query)
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{_fixes_path(workdir)}: damaged; restore it from a copy") from None
    return found


def _fixes_path(workdir: str | os.PathLike) -> pathlib.Path:
    return pathlib.Path(workdir, "queries", "fixes.jsonl")


def join_parts(workdir: str | os.PathLike, stage: int, parts: int) -> None:
    """Joins the parts of all processes into the stage's file, and deletes them.

    Args:
      parts: how many there are; images were dealt to processes in turn, as `hosts.share` does.
    """
    with contextlib.ExitStack() as stack:
        paths = [queries_path(workdir, stage, part) for part in range(parts)]
        opened = [stack.enter_context(open(path, "rb")) for path in paths]
        turns = itertools.chain.from_iterable(itertools.zip_longest(*opened, fillvalue=b""))
        files.write_atomic(queries_path(workdir, stage), turns)
    # All that are there: a killed run of more processes may have left others.
    for path in paths[0].parent.glob(f"stage_{stage}.part_*"):
        path.unlink()


def each_query(workdir: str | os.PathLike, stage: int, growing: bool = False) -> Iterator[Query]:
    """A stage's queries, read one at a time; none where the file does not exist.

    Args:
      growing: whether queries may be added just now; half a line at the end is then left out.
    Raises:
      UserError: the file is damaged.
    """
    return (query for _, query in _placed(workdir, stage, growing))


def read_queries(workdir: str | os.PathLike, stage: int) -> list[Query]:
    """A stage's queries as a list, which can take much memory.

    Raises:
      UserError: the file is damaged.
    """
    return list(each_query(workdir, stage))


def by_image(workdir: str | os.PathLike, stages: Iterable[int]) -> files.Index:
    """The queries of some stages by image; they are read from disk at each access.

    Raises:
      UserError: a file is damaged.
    """
    return files.Index(
        (queries_path(workdir, stage), place, query["image"])
        for stage in stages
        for place, query in _placed(workdir, stage)
    )


def by_asked_image(workdir: str | os.PathLike) -> dict[str, list[Query]]:
    """All queries that have a piece, by image.

    Raises:
      UserError: a file is damaged.
    """
    found: dict[str, list[Query]] = {}
    for stage in stages(workdir):
        for query in each_query(workdir, stage):
            if pieces(query):
                found.setdefault(query["image"], []).append(query)
    return found


def _placed(
    workdir: str | os.PathLike, stage: int, growing: bool = False
) -> Iterator[tuple[int, Query]]:
    path = queries_path(workdir, stage)
    try:
        yield from files.json_lines(path, growing)
    except ValueError:
        raise _damaged(path) from None


def check_complete(workdir: str | os.PathLike, stage: int, images: Iterable[str]) -> None:
    """Checks that a stage's file has a query for each image: a copy may lack its last lines.

    Args:
      images: the ids of all target images, in the domain's order.
    Raises:
      UserError: the file is damaged.
    """
    if [query["image"] for query in each_query(workdir, stage)] != list(images):
        raise _damaged(queries_path(workdir, stage))


def read_score(workdir: str | os.PathLike, stage: int) -> dict[str, float] | None:
    """The score of a stage's mask, as `metrics.mask_score` gives it; None where there is none.

    Raises:
      UserError: the file is damaged.
    """
    path = score_path(workdir, stage)
    try:
        return files.read_json(path) if path.exists() else None
    except ValueError:
        raise _damaged(path) from None


def _damaged(path: pathlib.Path) -> UserError:
    """The error for a damaged file of a query phase; a run makes it anew if it is deleted."""
    return UserError(
        f"{path}: damaged; restore it from a copy, or delete it and run again to ask anew"
    )
