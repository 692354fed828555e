"""Queries are written as files of other annotation tools, and answers are read from such files.

A file has a shape for each piece of the queries, labelled `OPEN`. In the tool a person replaces
that label by a class's name or by `UNSURE`. Reading checks every pixel: only what was asked and is
not answered yet is taken.
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
    ImageShapes,
    Label,
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
from labor_jax.selection.segments import pixel_runs
from labor_jax.util import files
from labor_jax.util.errors import UserError

FORMATS = {"cvat": cvat, "labelstudio": labelstudio, "coco": coco, "labelme": labelme, "png": png}
"""The modules that write and read a format's files, by its name."""
EXAMPLES = 3
"""How many examples are kept of what was refused for one reason."""


class Imported(NamedTuple):
    """What was done with a file's shapes.

    Attributes:
      taken: the answers that were added to the journal.
      known: how many pixels the journal had already given the same class.
      refused: by reason, how many pixels, shapes or images, and some examples.
    """

    taken: list[Answer]
    known: int
    refused: dict[str, tuple[int, list[str]]]


def _functions(name: str, table: ClassTable, ids: str) -> tuple[Callable, Callable]:
    """The functions (write, read) of a format."""
    if name != "png":
        return FORMATS[name].write, FORMATS[name].read
    values = table.values
    if ids == "label":
        if table.names != CITYSCAPES.names:
            raise UserError("--ids: only the cityscapes classes have label ids; give --ids=train")
        values = CITYSCAPES_IDS
    write = functools.partial(png.write, values=values)
    return write, functools.partial(png.read, labels=_labels(table), values=values)


def _labels(table: ClassTable) -> list[Label]:
    """Every label that a shape can have."""
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
    """Writes the images that were asked about, with what is asked and the answers so far.

    Args:
      workdir: the run's DIR.
      out: a folder that does not exist yet, or is empty.
      name: one of `FORMATS`.
      table: the classes.
      read_image: an image's id -> [H, W, 3] uint8 RGB.
      ids: what png files hold: "train" for the class table's values, "label" for Cityscapes' ids.
    Returns:
      The number of images.
    Raises:
      UserError: the run has no queries, `out` is not empty, or the classes have no label ids.
    """
    if out.exists() and any(out.iterdir()):
        raise UserError(f"--out: {out} is not empty; give another folder")
    write, _ = _functions(name, table, ids)
    items = list(_items(workdir, table))
    if not items:
        raise UserError(f"--workdir: {workdir} has no queries yet; run it until it asks")
    for item in items:
        image = pathlib.PurePath(item.file).relative_to("images").with_suffix("").as_posix()
        files.write_atomic(out / item.file, images.encode_png(read_image(image)))
    write(out, items, _labels(table))
    return len(items)


def _items(workdir: str | os.PathLike, table: ClassTable) -> Iterator[ImageShapes]:
    """The shapes of every image's queries: the answered parts of each piece, then what is open."""
    answers = journal.by_query(journal.read(workdir, table))
    names = [*table.names, *[UNSURE] * (IGNORE + 1 - len(table))]
    for image, queries in _queries(workdir).items():
        shapes, size = [], tuple(queries[0]["size"])
        for query in queries:
            own = answers.get(query["id"], [])
            open_ = set(journal.open_pieces(query, own))
            done: dict[int, list[Answer]] = {}
            for entry in own:
                done.setdefault(entry["piece"], []).append(entry)
            for piece in range(len(q.pieces(query))):
                parts = [(names[e["class"]], journal.pixels(e, size)) for e in done.get(piece, [])]
                if piece in open_:
                    rest = q.piece_pixels(query, piece)
                    for _, pixels in parts:
                        rest = np.setdiff1d(rest, pixels)
                    parts.append((OPEN, rest))
                shapes += [Shape(label, pixels, query["kind"]) for label, pixels in parts]
        yield ImageShapes(f"images/{image}.png", size, shapes)


def _queries(workdir: str | os.PathLike) -> dict[str, list[q.Query]]:
    """All queries that have a piece, by image."""
    found: dict[str, list[q.Query]] = {}
    for stage in q.stages(workdir):
        for query in q.read_queries(workdir, stage):
            if q.pieces(query):
                found.setdefault(query["image"], []).append(query)
    return found


def take_in(
    workdir: str | os.PathLike,
    path: pathlib.Path,
    name: str,
    table: ClassTable,
    annotator: str,
    ids: str = "train",
) -> Imported:
    """Adds the answers of a tool's files to the journal; what was not asked is refused.

    Args:
      workdir: the run's DIR.
      path: a file, or a folder of files.
      name: one of `FORMATS`.
      table: the classes.
      annotator: who answered.
      ids: as of `export`.
    Raises:
      UserError: there are no such files, or they cannot be read; no answer was added.
    """
    if not path.exists():
        raise UserError(f"--file: {path} does not exist; give the file that the tool has exported")
    _, read = _functions(name, table, ids)
    try:
        items = list(read(path))
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, IndexError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"--file: {path} cannot be read as {name} ({reason}); export it from the tool again, "
            f"or give its --format"
        ) from None
    if not items:
        raise UserError(f"--file: {path} has no images in the format {name}; give its --format")
    intake = _Intake(workdir, table, annotator)
    for item in items:
        intake.take(item)
    journal.append(workdir, intake.taken, table)
    return Imported(intake.taken, intake.known, intake.refused)


class _Intake:
    """Turns images' shapes into answers, and counts what is refused.

    Attributes:
      taken, known, refused: as of `Imported`, so far.
    """

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

    def take(self, item: ImageShapes) -> None:
        """Takes an image's shapes in."""
        image = self._find(item.file)
        shapes = [shape for shape in item.shapes if shape.label != OPEN]
        if image is None:
            if shapes:
                self._refuse("images that nothing is asked about", item.file)
            return
        queries = self._queries[image]
        size = tuple(queries[0]["size"])
        if item.size is not None and tuple(item.size) != size:
            wrong = f"{item.file} is {item.size[1]}x{item.size[0]}, not {size[1]}x{size[0]}"
            self._refuse("images of another size", wrong)
            return
        # For each pixel, the query and the piece that ask about it, and the class it was given;
        # -1 where there is none.
        owner, given = np.full((2, size[0] * size[1]), -1), np.full(size[0] * size[1], -1)
        for number, query in enumerate(queries):
            for piece in range(len(q.pieces(query))):
                owner[:, q.piece_pixels(query, piece)] = [[number], [piece]]
            for entry in self._answers.get(query["id"], []):
                given[journal.pixels(entry, size)] = entry["class"]
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
        """Takes a shape in; `owner` [2, H W] and `given` [H W] int64 are as in `take`."""
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
        """The id that a file's name stands for; None where it fits no id, or several.

        Tools shorten or lengthen paths: an id also fits if one of both is the end of the other.
        """
        name = pathlib.PurePosixPath(file).with_suffix("").as_posix()
        for start in ("images/", "labels/"):
            if name.removeprefix(start) in self._queries:
                return name.removeprefix(start)
        ends = [x for x in self._queries if f"/{name}".endswith(f"/{x}") or x.endswith(f"/{name}")]
        return ends[0] if len(ends) == 1 else None


def describe(imported: Imported) -> Iterable[str]:
    """Lines of text: how much was taken, and what was refused for which reason."""
    yield f"{len(imported.taken):,} answers taken, {imported.known:,} pixels were known already"
    for reason, (count, some) in imported.refused.items():
        yield f"refused: {count:,} {reason}, such as {'; '.join(some)}"
