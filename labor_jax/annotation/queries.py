"""Queries: what is asked of an annotator, one of an image and stage; and hard budgets.

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

import cv2
import numpy as np

from labor_jax.util import files
from labor_jax.util.errors import UserError

__all__ = [
    "Query",
    "asked_pixels",
    "by_image",
    "cap_segments",
    "check_complete",
    "components",
    "cost",
    "cut_segments",
    "damaged",
    "each_query",
    "in_turns",
    "join_parts",
    "keep_first",
    "label_runs",
    "majority",
    "missing",
    "pixel_runs",
    "point_query",
    "queries_path",
    "read_queries",
    "read_score",
    "renumbered",
    "run_pixels",
    "score_path",
    "segment_query",
    "stage_allowance",
    "windows",
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
        "segments": label_runs(segments),
    }
    return query | {"whole": True} if whole else query


def cost(query: Query, unit: str) -> int:
    """What a query costs in "points", "pixels" or "clicks"; a segment is one click if asked whole,
    and otherwise at least one: answers tell."""
    if unit == "pixels":
        return len(asked_pixels(query))
    return len(query[query["kind"]])


def label_runs(labels: np.ndarray) -> list[list[int]]:
    """The runs [start, length, ...] of each of the labels 1, 2, ... in [H, W] int32."""
    flat = labels.ravel()
    # A run also ends with its row: a segment's runs can then be drawn row by row.
    change = np.flatnonzero(np.diff(flat)) + 1
    starts = np.union1d(np.concatenate([[0], change]), np.arange(0, flat.size, labels.shape[1]))
    lengths = np.diff(np.append(starts, flat.size))
    owner = flat[starts]
    runs: list[list[int]] = [[] for _ in range(int(flat.max(initial=0)))]
    for segment, start, length in zip(owner, starts, lengths, strict=True):
        if segment:
            runs[segment - 1] += [int(start), int(length)]
    return runs


def run_pixels(runs: list[int]) -> np.ndarray:
    """The flat pixel numbers, int64, of runs [start, length, start, length, ...]."""
    if not runs:
        return np.zeros(0, np.int64)
    return np.concatenate([np.arange(a, a + n) for a, n in zip(runs[::2], runs[1::2], strict=True)])


def pixel_runs(pixels: np.ndarray, width: int) -> list[int]:
    """Runs [start, length, ...] of sorted flat pixel numbers; a run ends with its row."""
    if not pixels.size:
        return []
    begins = np.append(True, (np.diff(pixels) > 1) | (pixels[1:] % width == 0))
    starts = np.flatnonzero(begins)
    lengths = np.diff(np.append(starts, pixels.size))
    return np.stack([pixels[starts], lengths], 1).ravel().tolist()


def asked_pixels(query: Query) -> np.ndarray:
    """The flat pixel numbers, int64, that a query asks for."""
    if query["kind"] == "points":
        points = np.array(query["points"], np.int64).reshape(-1, 2)
        return points[:, 1] * query["size"][1] + points[:, 0]
    return run_pixels([value for runs in query["segments"] for value in runs])


def components(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Numbers the 8-connected regions of equal value inside a mask.

    Args:
      values: [H, W] uint8.
      mask: [H, W] bool.
    Returns:
      [H, W] int32, 0 outside the mask, regions from 1.
    """
    regions, count = np.zeros(values.shape, np.int32), 0
    for value in np.unique(values[mask]):
        inside = mask & (values == value)
        found, labels = cv2.connectedComponents(inside.astype(np.uint8), connectivity=8)
        regions[inside] = labels[inside] + count
        count += found - 1
    return regions


def cut_segments(mask: np.ndarray, cell: int) -> np.ndarray:
    """The mask's connected components, cut along a grid [ours].

    A mask of disagreement is one net along all boundaries: uncut, it could be asked only whole.

    Args:
      mask: [H, W] bool.
      cell: pixels of the grid; no segment is wider or higher.
    Returns:
      [H, W] int32, 0 outside the mask, segments from 1.
    """
    rows, columns = (np.arange(n) // cell % 2 for n in mask.shape)
    # Cells of one colour touch no other of it, so four colours cut along every line.
    return components((2 * rows[:, None] + columns).astype(np.uint8), mask)


def majority(segments: np.ndarray, selected: np.ndarray) -> np.ndarray:
    """The class that most pixels of each segment have: [segments] int64.

    Args:
      segments: [H, W] int32, 0 = outside, segments from 1.
      selected: [H, W] uint8.
    """
    classes = int(selected.max()) + 1
    pairs = segments.astype(np.int64) * classes + selected
    counts = np.bincount(pairs.ravel(), minlength=(int(segments.max()) + 1) * classes)
    return counts.reshape(-1, classes)[1:].argmax(1)


def stage_allowance(total: int, used: int, stage: int, stages: int) -> int:
    """What an image may still be asked at a stage: an even share, unused shares carried on."""
    return max(0, total * stage // stages - used)


def cap_segments(
    segments: np.ndarray,
    selected: np.ndarray,
    limit: int,
    random: np.random.Generator,
    costs: np.ndarray,
) -> np.ndarray:
    """A sample of a mask's segments that costs at most `limit`, balanced over classes [paper: the
    mask; ours: the sample].

    The class that cost least so far gets its next segment; a segment that does not fit is
    left out. The order is drawn with chances in proportion to size, which is how a uniform sample
    of the mask's pixels would meet the segments: crumbs cost a click each and teach little.

    Args:
      segments: [H, W] int32, 0 = outside, segments from 1.
      selected: [H, W] uint8, the class that the selector sees at each pixel.
      limit: of the costs.
      random: decides the order.
      costs: [N] int, of each segment.
    Returns:
      [H, W] int32, the kept segments numbered from 1.
    """
    if costs.sum() <= limit:
        return segments
    sizes = np.bincount(segments.ravel())[1:]
    owner = majority(segments, selected)
    waiting: dict[int, list[int]] = {}
    # Efraimidis and Spirakis (2006): sorting these keys is a weighted sample without replacement.
    keys = random.random(len(sizes)) ** (1 / sizes)
    for segment in np.argsort(keys, kind="stable"):  # taken from the end
        waiting.setdefault(int(owner[segment]), []).append(int(segment))
    taken = dict.fromkeys(sorted(waiting), 0)
    keep = np.zeros(len(sizes) + 1, np.int32)
    while waiting:
        neediest = min(waiting, key=lambda c: (taken[c], c))
        segment = waiting[neediest].pop()
        if costs[segment] <= limit:
            limit -= costs[segment]
            taken[neediest] += int(costs[segment])
            keep[segment + 1] = 1
        if not waiting[neediest]:
            del waiting[neediest]
    return renumbered(keep[segments] * segments)


def renumbered(pieces: np.ndarray) -> np.ndarray:
    """The pieces that are left, [H, W] int32, with numbers from 1 in the same order; 0 stays 0."""
    there = np.bincount(pieces.ravel()) > 0
    there[0] = False
    return (np.cumsum(there) * there)[pieces].astype(np.int32)


def keep_first(pieces: np.ndarray, order: np.ndarray, costs: np.ndarray, limit: int) -> np.ndarray:
    """The first pieces of an order that cost at most `limit`, numbered from 1 in that order.

    A piece that does not fit any more is left out, and smaller ones may follow.

    Args:
      pieces: [H, W] int32, 0 = outside, pieces from 1.
      order: [N] int, the numbers less 1.
      costs: [N] int.
      limit: of the costs.
    """
    number = np.zeros(len(costs) + 1, np.int32)
    kept = 0
    for piece in order:
        if costs[piece] <= limit:
            limit -= costs[piece]
            kept += 1
            number[piece + 1] = kept
    return number[pieces]


def in_turns(order: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """An order in which the owners take turns, each with its own in the order given.

    Args:
      order: [N] int, a permutation.
      owner: [N] int, whose each one is.
    """
    turn = np.zeros(len(order), np.int64)
    for name in np.unique(owner):
        own = order[owner[order] == name]
        turn[own] = np.arange(len(own))
    return order[np.argsort(turn[order], kind="stable")]


def windows(
    centres: np.ndarray, radius: int, size: tuple[int, int], limit: int, in_pixels: bool
) -> np.ndarray:
    """Squares around the first centres, cut at the image's border: [H, W] int32, from 1.

    Args:
      centres: [N, 2] int, (row, column), more than twice the radius apart.
      radius: pixels on each side of a centre.
      limit: of pixels or of squares.
      in_pixels: which of both.
    """
    found = np.zeros(size, np.int32)
    for number, (row, column) in enumerate(centres, start=1):
        top, left = max(0, row - radius), max(0, column - radius)
        window = found[top : row + radius + 1, left : column + radius + 1]
        limit -= window.size if in_pixels else 1
        if limit < 0:
            break
        window[:] = number
    return found


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
