"""Queries: what is asked of an annotator, one of an image and stage.

A query is a JSON object: {"id", "image", "stage", "kind", "size": [H, W]} and either "points":
[[x, y], ...] or "segments": [[start, length, start, length, ...], ...], runs of row-major pixels.
With "whole": true each segment gets one class, the one that most of it has.
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
    "Query",
    "asked_pixels",
    "by_image",
    "check_complete",
    "cost",
    "damaged",
    "each_query",
    "join_parts",
    "missing",
    "point_query",
    "queries_path",
    "read_queries",
    "read_score",
    "score_path",
    "segment_query",
    "write_queries",
]


Query = dict[str, Any]


def point_query(image: str, stage: int, size: tuple[int, int], points: Iterable) -> Query:
    """Asks for the class of points, (row, column) each."""
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
    """Asks for the classes inside segments.

    Args:
      segments: [H, W] int32, 0 = not asked, otherwise the segment's number from 1.
      whole: whether one class is asked of each, the one that most of it has.
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


def cost(query: Query, unit: str) -> int:
    """What a query costs in "points", "pixels" or "clicks"; a segment is one click if asked whole,
    and otherwise at least one: answers tell."""
    if unit == "pixels":
        return len(asked_pixels(query))
    return len(query[query["kind"]])


def asked_pixels(query: Query) -> np.ndarray:
    """The flat pixel numbers, int64, that a query asks for."""
    if query["kind"] == "points":
        points = np.array(query["points"], np.int64).reshape(-1, 2)
        return points[:, 1] * query["size"][1] + points[:, 0]
    return run_pixels([value for runs in query["segments"] for value in runs])


def queries_path(workdir: str | os.PathLike, stage: int, part: int | None = None) -> pathlib.Path:
    """Where a stage's queries are kept, or one process's part until all parts are there; the file
    is there when all of them are."""
    name = f"stage_{stage}.jsonl" if part is None else f"stage_{stage}.part_{part}"
    return pathlib.Path(workdir, "queries", name)


def score_path(workdir: str | os.PathLike, stage: int) -> pathlib.Path:
    """Where the score of a stage's mask is kept, null where there is none."""
    return pathlib.Path(workdir, "queries", f"stage_{stage}.score.json")


def missing(workdir: str | os.PathLike, stage: int) -> pathlib.Path | None:
    """The file of a stage's query phase that is not there yet; None when it is over."""
    paths = score_path(workdir, stage), queries_path(workdir, stage)
    return next((path for path in paths if not path.exists()), None)


def write_queries(
    workdir: str | os.PathLike, stage: int, queries: Iterable[Query], part: int | None = None
) -> None:
    """Writes a stage's queries, or one process's part, all or none; each as soon as it is made."""
    lines = (f"{json.dumps(query)}\n".encode() for query in queries)
    files.write_atomic(queries_path(workdir, stage, part), lines)


def join_parts(workdir: str | os.PathLike, stage: int, parts: int) -> None:
    """Makes a stage's queries of the parts, which take turns as in `hosts.share`; all or none."""
    with contextlib.ExitStack() as stack:
        paths = [queries_path(workdir, stage, part) for part in range(parts)]
        opened = [stack.enter_context(open(path, "rb")) for path in paths]
        turns = itertools.chain.from_iterable(itertools.zip_longest(*opened, fillvalue=b""))
        files.write_atomic(queries_path(workdir, stage), turns)
    for path in paths[0].parent.glob(f"stage_{stage}.part_*"):  # a killed run's, too
        path.unlink()


def each_query(workdir: str | os.PathLike, stage: int) -> Iterator[Query]:
    """A stage's queries, read one at a time; none if it asked nothing.

    Raises:
      UserError: the file is damaged.
    """
    return (query for _, query in _placed(workdir, stage))


def read_queries(workdir: str | os.PathLike, stage: int) -> list[Query]:
    """A stage's queries all at once, which can take much memory; else as `each_query`."""
    return list(each_query(workdir, stage))


def by_image(workdir: str | os.PathLike, stages: Iterable[int]) -> files.Index:
    """The queries of some stages by image, left on disk.

    Raises:
      UserError: a file is damaged.
    """
    return files.Index(
        (queries_path(workdir, stage), place, query["image"])
        for stage in stages
        for place, query in _placed(workdir, stage)
    )


def _placed(workdir: str | os.PathLike, stage: int) -> Iterator[tuple[int, Query]]:
    path = queries_path(workdir, stage)
    try:
        yield from files.json_lines(path)
    except ValueError:
        raise damaged(path) from None


def check_complete(workdir: str | os.PathLike, stage: int, images: Iterable[str]) -> None:
    """Raises UserError unless there is a query for each image: a file can lack its last lines."""
    if [query["image"] for query in each_query(workdir, stage)] != list(images):
        raise damaged(queries_path(workdir, stage))


def read_score(workdir: str | os.PathLike, stage: int) -> dict[str, float] | None:
    """The score of a stage's mask, as `metrics.mask_score` gives it; None if there is none.

    Raises:
      UserError: the file is damaged.
    """
    path = score_path(workdir, stage)
    try:
        return files.read_json(path) if path.exists() else None
    except ValueError:
        raise damaged(path) from None


def damaged(path: pathlib.Path) -> UserError:
    """The error for a file that a stage's query phase wrote, and would write again."""
    return UserError(
        f"{path}: damaged; restore it from a copy, or delete it and run again to ask anew"
    )
