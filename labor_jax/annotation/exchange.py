"""Queries out to other tools as tasks, answers back in from their files.

A task's shapes are the query's points or segments, labelled "?" until somebody gives a class's
name or "unsure". What comes back is taken pixel by pixel: inside what was asked, or not at all.
"""

import functools
import os
import pathlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from labor_jax.annotation import journal
from labor_jax.annotation import queries as q
from labor_jax.annotation.formats import (
    OPEN,
    UNSURE,
    Label,
    Page,
    Shape,
    coco,
    cvat,
    labelme,
    labelstudio,
    png,
)
from labor_jax.annotation.journal import Answer
from labor_jax.data import images
from labor_jax.data.labels import CITYSCAPES, CITYSCAPES_IDS, IGNORE, ClassTable
from labor_jax.selection.segments import pixel_runs, run_pixels
from labor_jax.util import files
from labor_jax.util.errors import UserError

FORMATS = ("cvat", "labelstudio", "coco", "labelme", "png")
EXAMPLES = 3


class Imported(NamedTuple):
    """What became of a file.

    Attributes:
      taken: answers that were written.
      known: how many pixels were answered so already.
      refused: by reason, the count and some examples.
    """

    taken: list[Answer]
    known: int
    refused: dict[str, tuple[int, list[str]]]


def _module(name: str, table: ClassTable, ids: str) -> tuple[Callable, Callable]:
    """A format's (write, read)."""
    if name == "png":
        values = table.values
        if ids == "label":
            if table.names != CITYSCAPES.names:
                raise UserError("--ids: label ids are known of the cityscapes table only")
            values = CITYSCAPES_IDS
        write = functools.partial(png.write, values=values)
        return write, functools.partial(png.read, labels=_labels(table), values=values)
    module = {"cvat": cvat, "labelstudio": labelstudio, "coco": coco, "labelme": labelme}[name]
    return module.write, module.read


def _labels(table: ClassTable) -> list[Label]:
    named = zip(table.names, table.palette, strict=True)
    own = [Label(name, color) for name, color in named]
    return [*own, Label(UNSURE, (150, 150, 150)), Label(OPEN, (255, 255, 255))]


def export(
    workdir: str | os.PathLike,
    out: pathlib.Path,
    name: str,
    table: ClassTable,
    read_image: Callable[[str], np.ndarray],
    ids: str = "train",
) -> int:
    """Writes the images that are asked about, and what is asked of them with its answers so far.

    Args:
      out: a folder that is not there yet, or is empty.
      name: one of FORMATS.
      read_image: an image's id -> [H, W, 3] uint8 RGB.
      ids: of png: "train", or "label" for Cityscapes' own values.
    Returns:
      The number of images.
    Raises:
      UserError: nothing is asked, or `out` holds something.
    """
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out: {out} is not empty; give another folder")
    write, _ = _module(name, table, ids)
    pages = list(_pages(workdir, table))
    if not pages:
        raise UserError(f"--workdir: nothing is asked in {workdir}")
    for page in pages:
        image = pathlib.PurePath(page.file).relative_to("images").with_suffix("").as_posix()
        files.write_atomic(out / page.file, images.encode_png(read_image(image)))
    write(out, pages, _labels(table))
    return len(pages)


def _pages(workdir: str | os.PathLike, table: ClassTable) -> Iterator[Page]:
    """Every image with its queries of all stages; an answered piece comes in its parts."""
    answers = journal.by_query(journal.read(workdir, table))
    names = [*table.names, *[UNSURE] * (IGNORE + 1 - len(table))]
    for image, queries in _queries(workdir).items():
        shapes, size = [], tuple(queries[0]["size"])
        for query in queries:
            own = answers.get(query["id"], [])
            still = set(journal.open_pieces(query, own))
            done: dict[int, list[Answer]] = {}
            for entry in own:
                done.setdefault(entry["piece"], []).append(entry)
            for piece in range(len(query[query["kind"]])):
                parts = [(names[e["class"]], entry_pixels(e, size)) for e in done.get(piece, [])]
                if piece in still:
                    rest = _piece_pixels(query, piece)
                    for _, pixels in parts:
                        rest = np.setdiff1d(rest, pixels)
                    parts.append((OPEN, rest))
                shapes += [Shape(label, pixels, query["kind"]) for label, pixels in parts]
        yield Page(f"images/{image}.png", size, shapes)


def _queries(workdir: str | os.PathLike) -> dict[str, list[q.Query]]:
    """All queries that ask something, by image."""
    paths = pathlib.Path(workdir, "queries").glob("stage_*.jsonl")
    stages = sorted(int(path.stem.removeprefix("stage_")) for path in paths)
    found: dict[str, list[q.Query]] = {}
    for stage in stages:
        for query in q.read_queries(workdir, stage):
            if query[query["kind"]]:
                found.setdefault(query["image"], []).append(query)
    return found


def _piece_pixels(query: q.Query, piece: int) -> np.ndarray:
    return q.asked_pixels(query | {query["kind"]: [query[query["kind"]][piece]]})


def entry_pixels(entry: Answer, size: tuple[int, int]) -> np.ndarray:
    """The flat pixel numbers, int64, that an answer is about, in an image of size (H, W)."""
    if entry["kind"] == "segments":
        return run_pixels(entry["runs"])
    x, y = entry["point"]
    return np.array([y * size[1] + x])


def take_in(
    workdir: str | os.PathLike,
    path: pathlib.Path,
    name: str,
    table: ClassTable,
    annotator: str,
    ids: str = "train",
) -> Imported:
    """Takes the answers of a tool's files into the journal, and refuses what was not asked.

    Raises:
      UserError: there are no such files, or they are damaged; nothing is taken.
    """
    if not path.exists():
        raise UserError(f"--file: there is no {path}")
    _, read = _module(name, table, ids)
    try:
        pages = list(read(path))
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, IndexError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"--file: {path} cannot be read as {name} ({reason})") from None
    if not pages:
        raise UserError(f"--file: {path} has no images in the format {name}")
    intake = _Intake(workdir, table, annotator)
    for page in pages:
        intake.page(page)
    journal.append(workdir, intake.taken, table)
    refused = {reason: (count, some) for reason, (count, some) in intake.refused.items()}
    return Imported(intake.taken, intake.known, refused)


class _Intake:
    """Sorts the shapes of pages into answers and refusals."""

    def __init__(self, workdir: str | os.PathLike, table: ClassTable, annotator: str) -> None:
        self._table, self._annotator = table, annotator
        self._queries = _queries(workdir)
        self._answers = journal.by_query(journal.read(workdir, table))
        self._classes = {name: k for k, name in enumerate(table.names)} | {UNSURE: IGNORE}
        self.taken: list[Answer] = []
        self.known = 0
        self.refused: dict[str, tuple[int, list[str]]] = {}

    def _refuse(self, reason: str, example: str, count: int = 1) -> None:
        before, some = self.refused.get(reason, (0, []))
        if len(some) < EXAMPLES and example not in some:
            some = [*some, example]
        self.refused[reason] = before + count, some

    def page(self, page: Page) -> None:
        image = self._find(page.file)
        shapes = [shape for shape in page.shapes if shape.label != OPEN]
        if image is None:
            if shapes:
                self._refuse("images that nothing is asked about", page.file)
            return
        queries = self._queries[image]
        size = tuple(queries[0]["size"])
        if page.size is not None and tuple(page.size) != size:
            wrong = f"{page.file} is {page.size[1]}x{page.size[0]}, not {size[1]}x{size[0]}"
            self._refuse("images of another size", wrong)
            return
        # By pixel: which query and piece asks it, and what it is answered.
        owner, given = np.full((2, size[0] * size[1]), -1), np.full(size[0] * size[1], -1)
        for number, query in enumerate(queries):
            for piece in range(len(query[query["kind"]])):
                owner[:, _piece_pixels(query, piece)] = [[number], [piece]]
            for entry in self._answers.get(query["id"], []):
                given[entry_pixels(entry, size)] = entry["class"]
        for shape in shapes:
            self._shape(shape, image, queries, owner, given)

    def _shape(
        self,
        shape: Shape,
        image: str,
        queries: list[q.Query],
        owner: np.ndarray,
        given: np.ndarray,
    ) -> None:
        label = self._classes.get(shape.label)
        if label is None:
            self._refuse("shapes of an unknown class", f"{shape.label!r} in {image}")
            return
        kinds = np.array([query["kind"] for query in queries])
        pixels = shape.pixels
        asked = owner[0, pixels] >= 0
        if shape.kind:
            asked &= kinds[owner[0, pixels]] == shape.kind
        points = shape.kind == "points"
        if not asked.all() or not pixels.size:
            count = 1 if points else int((~asked).sum())
            width = queries[0]["size"][1]
            first = [f"({p % width}, {p // width})" for p in pixels[~asked][:1]]
            what = "points" if points else "pixels"
            self._refuse(f"{what} outside of what is asked", " ".join([image, *first]), count)
            pixels = pixels[asked]
        other = (given[pixels] >= 0) & (given[pixels] != label)
        if other.any():
            self._refuse("pixels that are answered otherwise", image, int(other.sum()))
        self.known += int((given[pixels] == label).sum())
        pixels = pixels[given[pixels] < 0]
        given[pixels] = label
        for number, piece in np.unique(owner[:, pixels], axis=1).T:
            query = queries[number]
            inside = pixels[(owner[0, pixels] == number) & (owner[1, pixels] == piece)]
            if query["kind"] == "points":
                where: dict[str, Any] = {"point": query["points"][piece]}
            else:
                where = {"runs": pixel_runs(inside, query["size"][1])}
            more = where | {"id": f"import-{secrets.token_hex(12)}"}
            self.taken.append(journal.answer(query, int(piece), label, self._annotator, **more))

    def _find(self, file: str) -> str | None:
        """The image that a file's name means: its id, or the only one that it ends in."""
        name = pathlib.PurePosixPath(file).with_suffix("").as_posix()
        for start in ("images/", "labels/"):
            if name.removeprefix(start) in self._queries:
                return name.removeprefix(start)
        ends = [x for x in self._queries if f"/{name}".endswith(f"/{x}") or x.endswith(f"/{name}")]
        return ends[0] if len(ends) == 1 else None


def describe(imported: Imported) -> Iterable[str]:
    """What became of a file, a line each."""
    yield f"{len(imported.taken):,} answers taken, {imported.known:,} pixels were known already"
    for reason, (count, some) in imported.refused.items():
        yield f"refused: {count:,} {reason}, such as {'; '.join(some)}"
