"""Queries are written as files of other annotation tools, and answers are read from such files.

A file has a shape for each piece of the queries, labelled `OPEN`. In the tool a person replaces
that label by a class's name or by `UNSURE`, or draws other shapes. Of shapes that overlap the one
on top counts. Reading checks every pixel: only what was asked and is not answered yet is taken.
What cannot be taken is counted with its reason, and the rest is taken.
"""

import difflib
import functools
import os
import pathlib
import re
import secrets
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from labor_jax.annotation import journal
from labor_jax.annotation import queries as q
from labor_jax.annotation.formats import (
    OPEN,
    UNSURE,
    Drawn,
    DrawnImage,
    ImageShapes,
    Label,
    Shape,
    coco,
    cvat,
    labelme,
    labelstudio,
    png,
    sources,
)
from labor_jax.annotation.journal import Answer
from labor_jax.data import images
from labor_jax.data.labels import CITYSCAPES, CITYSCAPES_IDS, IGNORE, ClassTable
from labor_jax.selection.segments import pixel_runs
from labor_jax.util import files, outputs
from labor_jax.util.errors import UserError
from labor_jax.util.names import Names
from labor_jax.util.tally import Tally, counted

FORMATS = {"cvat": cvat, "labelstudio": labelstudio, "coco": coco, "labelme": labelme, "png": png}
"""The modules that write and read a format's files, by its name."""


class Imported(NamedTuple):
    """What was done with a file's shapes.

    Attributes:
      taken: the answers that were added to the journal.
      known: how many pixels the journal had already given the same class.
      tally: what was left out and what was taken under another name.
    """

    taken: list[Answer]
    known: int
    tally: Tally


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
    is_there: Callable[[str], bool] = lambda _: True,
    reads: Iterable[str | os.PathLike] = (),
) -> int:
    """Writes the images that were asked about, with what is asked and the answers so far.

    The files appear when all are written, or not at all.

    Args:
      workdir: the run's DIR.
      out: a folder that does not exist yet, or is empty.
      name: one of `FORMATS`.
      table: the classes.
      read_image: an image's id -> [H, W, 3] uint8 RGB.
      ids: what png files hold: "train" for the class table's values, "label" for Cityscapes' ids.
      is_there: whether an image is as it was when it was asked about; others are left out.
      reads: what is read besides the run, which `out` must be apart from.
    Returns:
      The number of images.
    Raises:
      UserError: the run has no queries, `out` is not empty, an image cannot be read, or the classes
        have no label ids.
    """
    write, _ = _functions(name, table, ids)
    with outputs.whole_folder(out, "--out", (workdir, *reads)) as folder:
        items = [item for item in _items(workdir, table) if is_there(_image_of(item))]
        if not items:
            raise UserError(f"--workdir: {workdir} has no queries yet; run it until it asks")
        for item in items:
            picture = images.encode_png(read_image(_image_of(item)))
            files.write_atomic(folder / item.file, picture)
        write(folder, items, _labels(table))
    return len(items)


def _image_of(item: ImageShapes) -> str:
    """The id of an image that is exported."""
    return item.file.removeprefix("images/").removesuffix(".png")


def _items(workdir: str | os.PathLike, table: ClassTable) -> Iterator[ImageShapes]:
    """The shapes of every image's queries: the answered parts of each piece, then what is open."""
    answers = journal.by_query(journal.read(workdir, table))
    names = [*table.names, *[UNSURE] * (IGNORE + 1 - len(table))]
    for image, queries in _queries(workdir).items():
        shapes, size = [], tuple(queries[0]["size"])
        for query in queries:
            own = journal.fitting(query, answers.get(query["id"], []))
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
    folders: Collection[str] = (),
) -> Imported:
    """Adds the answers of a tool's files to the journal; what was not asked is left out.

    Args:
      workdir: the run's DIR.
      path: a file, a folder of files, or a zip archive.
      name: one of `FORMATS`.
      table: the classes.
      annotator: who answered.
      ids: as of `export`.
      folders: the names of the folders in which the images lie; the tool's paths may have them.
    Raises:
      UserError: there are no such files, or none can be read; no answer was added.
    """
    if not path.exists():
        raise UserError(f"--file: {path} does not exist; give the file that the tool has exported")
    _, read = _functions(name, table, ids)
    tally, suffix = Tally("answer"), FORMATS[name].SUFFIX
    with sources.opened(path, suffix, tally) as members, warnings.catch_warnings():
        # Pictures are decoded only if they have the size of what is asked.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        items: list[DrawnImage] = []
        usable = False
        for member in png.maps(members) if name == "png" else members:
            with tally.spare("file", member.name):
                items += read(member, tally)
                usable = True
        if not usable or not (items or tally.left_out):
            raise UserError(f"--file: {path} {_unusable(name, suffix, tally)}")
        intake = _Intake(workdir, table, annotator, tally)
        for image, item in _matched(items, _names(workdir, folders), tally):
            with tally.spare("image", item.files[0]):
                intake.take(image, item)
    journal.append(workdir, intake.taken, table)
    tally.take(len(intake.taken))
    return Imported(intake.taken, intake.known, tally)


def _unusable(name: str, suffix: str, tally: Tally) -> str:
    """Why no image could be read, and what to do."""
    for (noun, reason), some in tally.left_out.items():
        told = f"cannot be read as {name} ({noun} {reason}: {some.examples[0]})"
        return f"{told}; export it from the tool again, or give its --format"
    return f"has no images in the format {name}, in {suffix} files; give its --format"


def _names(workdir: str | os.PathLike, folders: Collection[str]) -> Names:
    """The ids of all images: those that nothing is asked about may have similar names."""
    every = (query for stage in q.stages(workdir) for query in q.each_query(workdir, stage))
    return Names(dict.fromkeys(query["image"] for query in every), folders)


def _matched(
    items: list[DrawnImage], names: Names, tally: Tally
) -> Iterator[tuple[str, DrawnImage]]:
    """The images that the file has answers for, each with its id; other images are counted."""
    found: list[tuple[DrawnImage, str, str]] = []
    for item in items:
        tried = [names.find(file) for file in item.files]
        fit = next((fit for fit in tried if fit.id is not None), None)
        if fit and fit.id is not None:
            found.append((item, fit.id, fit.how))
        elif _answered(item):
            several = next((fit.several for fit in tried if fit.several), ())
            reason = "whose name fits several images" if several else "whose name no image has"
            named = functools.partial(_told, item.files[0], several, names)
            tally.leave_out("image", reason, named)
    # Two of the tool's images cannot both be one of ours, unless the tool names them the same.
    exact = {image for _, image, how in found if how == "same"}
    claims: dict[str, set[str]] = {}
    for item, image, how in found:
        if how != "same":
            claims.setdefault(image, set()).add(item.files[0])
    for item, image, how in found:
        if how == "same" or (image not in exact and len(claims[image]) == 1):
            if how == "renamed":
                tally.change("renamed", "image", "by the tool", f"{item.files[0]} is {image}")
            yield image, item
        elif _answered(item):
            told = f"{item.files[0]} ({image}?)"
            tally.leave_out("image", "whose name fits an image that another's fits, too", told)


def _told(file: str, several: Collection[str], names: Names) -> str:
    near = several or names.near(file)
    return f"{file} ({'' if several else 'nearest: '}{', '.join(near)})" if near else file


def _answered(item: DrawnImage) -> bool:
    """Whether an image has a shape that is not open."""
    return any(shape.label != OPEN for shape in item.shapes)


class _Ground:
    """What is asked and answered at each pixel of an image.

    Attributes:
      queries: those about the image, that have a piece.
      size: (H, W).
      given: [H W] int64, the class that a pixel was given; -1 where it was given none.
    """

    def __init__(self, queries: list[q.Query], answers: dict[str, list[Answer]]) -> None:
        self.queries = queries
        height, width = self.size = tuple(queries[0]["size"])
        self.given = np.full(height * width, -1)
        self._owners = {kind: np.full((2, height * width), -1) for kind in ("points", "segments")}
        for number, query in enumerate(queries):
            for piece in range(len(q.pieces(query))):
                owner = self._owners[query["kind"]]
                owner[:, q.piece_pixels(query, piece)] = [[number], [piece]]
            for entry in journal.fitting(query, answers.get(query["id"], [])):
                self.given[journal.pixels(entry, self.size)] = entry["class"]

    def owner(self, kind: str) -> np.ndarray:
        """The numbers of the query and the piece that ask about each pixel, -1 where none does.

        Args:
          kind: points answer points; areas answer segments, and points that they cover.
        Returns:
          [2, H W] int64.
        """
        points, segments = self._owners["points"], self._owners["segments"]
        return points if kind == "points" else np.where(segments >= 0, segments, points)


class _Intake:
    """Turns images' shapes into answers.

    Attributes:
      taken, known: as of `Imported`, so far.
    """

    def __init__(
        self, workdir: str | os.PathLike, table: ClassTable, annotator: str, tally: Tally
    ) -> None:
        self._annotator, self._tally = annotator, tally
        self._queries = _queries(workdir)
        self._answers = journal.by_query(journal.read(workdir, table))
        self._classes = {name: k for k, name in enumerate(table.names)} | {UNSURE: IGNORE}
        self.taken: list[Answer] = []
        self.known = 0

    def take(self, image: str, item: DrawnImage) -> None:
        """Takes the shapes of an image in."""
        queries = self._queries.get(image)
        if queries is None:
            if _answered(item):
                self._tally.leave_out("image", "that nothing is asked about", item.files[0])
            return
        height, width = queries[0]["size"]
        if item.size is not None and item.size != (height, width):
            told = f"{item.files[0]} is {item.size[1]}x{item.size[0]}, not {width}x{height}"
            self._tally.leave_out("image", "of another size", told)
            return
        ground = _Ground(queries, self._answers)
        shapes = [shape for shape in item.shapes if shape.label != OPEN]
        for kind in ("areas", "points"):
            own = [shape for shape in shapes if shape.kind == kind]
            for label, pixels in self._visible(own, image, ground.size) if own else ():
                self._answer(label, pixels, kind, image, ground)

    def _visible(
        self, shapes: list[Drawn], image: str, size: tuple[int, int]
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Each class and the pixels, [N] int64, on which a shape of that class lies on top.

        A shape of an unknown class hides what lies under it: no class is known there.
        """
        top = np.full(size[0] * size[1], -1, np.int16)
        for shape in sorted(shapes, key=lambda shape: shape.layer):
            with self._tally.spare("shape", f"{shape.name} in {image}"):
                pixels = shape.pixels(size)
                top[pixels] = self._class(shape, image)
                if not pixels.size and shape.kind == "points":
                    self._tally.leave_out("point", "outside of what is asked", image)
                elif not pixels.size:
                    self._tally.leave_out("shape", "in which no pixel's centre lies", shape.name)
        for label in np.flatnonzero(np.bincount(top + 1)[1:]).tolist():
            yield label, np.flatnonzero(top == label)

    def _class(self, shape: Drawn, image: str) -> int:
        """A shape's class, a train id; -1 where it is unknown."""
        if shape.label in self._classes:
            return self._classes[shape.label]
        same = [name for name in self._classes if _spelled(name) == _spelled(shape.label)]
        if len(same) == 1:
            told = f"{shape.label!r} is {same[0]!r}"
            self._tally.change("renamed", "shape", "as the run spells its class", told)
            return self._classes[same[0]]
        near = difflib.get_close_matches(shape.label, self._classes, 1)
        told = f"{shape.label!r} in {image}" + (f" (nearest: {near[0]!r})" if near else "")
        self._tally.leave_out("shape", "of an unknown class", told)
        return -1

    def _answer(
        self, label: int, pixels: np.ndarray, kind: str, image: str, ground: _Ground
    ) -> None:
        """Takes pixels, [N] int64, of one class in."""
        owner, given, width = ground.owner(kind), ground.given, ground.size[1]
        asked = owner[0, pixels] >= 0
        if not asked.all():
            y, x = divmod(int(pixels[~asked][0]), width)
            noun, count = "point" if kind == "points" else "pixel", int((~asked).sum())
            self._tally.leave_out(noun, "outside of what is asked", f"{image} ({x}, {y})", count)
            pixels = pixels[asked]
        other = (given[pixels] >= 0) & (given[pixels] != label)
        if other.any():
            count = int(other.sum())
            self._tally.leave_out("pixel", "answered otherwise before", image, count)
        self.known += int((given[pixels] == label).sum())
        pixels = pixels[given[pixels] < 0]
        given[pixels] = label
        order = np.lexsort((pixels, owner[1, pixels], owner[0, pixels]))
        pixels = pixels[order]
        starts = 1 + np.flatnonzero(np.diff(owner[:, pixels]).any(axis=0))
        for inside in np.split(pixels, starts) if pixels.size else ():
            number, piece = owner[:, inside[0]].tolist()
            query = ground.queries[number]
            if query["kind"] == "points":
                where: dict[str, Any] = {"point": query["points"][piece]}
            else:
                where = {"runs": pixel_runs(inside, width)}
            more = where | {"id": f"import-{secrets.token_hex(12)}"}
            answer = journal.answer(query, piece, label, self._annotator, **more)
            self.taken.append(answer)
            self._answers.setdefault(query["id"], []).append(answer)


def _spelled(label: str) -> str:
    """A label without what spellings differ in: case, spaces, hyphens."""
    return re.sub(r"[\W_]+", " ", label).strip().casefold()


def describe(imported: Imported) -> Iterable[str]:
    """Lines of text: what was renamed and left out for which reason, and how much was taken."""
    yield from imported.tally.reasons()
    if imported.known:
        yield f"known already: {counted(imported.known, 'pixel')}"
    yield imported.tally.total()
