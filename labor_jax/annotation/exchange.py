"""Queries are written as files of other annotation tools, and answers are read from such files.

A file has a shape for each piece of the queries, labelled `OPEN`. In the tool a person replaces
that label by a class's name or by `UNSURE`, or draws other shapes. Of shapes that overlap the one
on top counts. Reading checks every pixel: only what was asked and is not answered yet is taken.
What cannot be taken is counted with its reason, and the rest is taken.
"""

import functools
import os
import pathlib
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image

from labor_jax.annotation import intake, journal, trust
from labor_jax.annotation import queries as q
from labor_jax.annotation.formats import (
    OPEN,
    UNSURE,
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
from labor_jax.util import files, outputs
from labor_jax.util.errors import UserError
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
    items = [item for item in _items(workdir, table) if is_there(_image_of(item))]
    if not items:
        raise UserError(f"--workdir: {workdir} has no queries yet; run it until it asks")
    with_pictures = ((item, read_image(_image_of(item))) for item in items)
    return _write(with_pictures, out, name, table, ids, (workdir, *reads))


def export_whole(
    workdir: str | os.PathLike,
    out: pathlib.Path,
    name: str,
    table: ClassTable,
    predicted: Iterable[tuple[str, np.ndarray, np.ndarray]],
    weights: Mapping[str, float],
    ids: str = "train",
    reads: Iterable[str | os.PathLike] = (),
) -> int:
    """Writes images with a class for each pixel: its answer, and elsewhere its prediction.

    The files appear when all are written, or not at all. "Unsure" is no class.

    Args:
      workdir, out, name, table, ids, reads: as of `export`.
      predicted: ids, images [H, W, 3] uint8 RGB and predictions [H, W] uint8 train ids.
      weights: of annotators (`trust.weights`); answers whose weight is 0 are left out.
    Returns:
      The number of images.
    Raises:
      UserError: `out` is not empty, an image cannot be read, or the classes have no label ids.
    """
    written, asked = journal.on_disk(workdir, table), q.by_image(workdir, q.stages(workdir))
    fixed = q.fixes(workdir)

    def items() -> Iterator[tuple[ImageShapes, np.ndarray]]:
        for image, picture, label in predicted:
            for query in [*asked.get(image, ()), *fixed.get(image, ())]:
                own = trust.kept(journal.answers_to(query, written), weights)
                given = journal.label_map(own, label.shape)
                label = np.where(given == IGNORE, label, given)
            shapes = [
                Shape(table.names[value], np.flatnonzero(label == value), "whole")
                for value in np.unique(label)
            ]
            yield ImageShapes(f"images/{image}.png", label.shape, shapes), picture

    return _write(items(), out, name, table, ids, (workdir, *reads))


def _write(
    items: Iterable[tuple[ImageShapes, np.ndarray]],
    out: pathlib.Path,
    name: str,
    table: ClassTable,
    ids: str,
    reads: Iterable[str | os.PathLike],
) -> int:
    """Writes images with their shapes; returns how many there are."""
    write, _ = _functions(name, table, ids)
    number = 0
    with outputs.whole_folder(out, "--out", reads) as folder:

        def with_files() -> Iterator[ImageShapes]:
            nonlocal number
            for item, picture in items:
                files.write_atomic(folder / item.file, images.encode_png(picture))
                number += 1
                yield item

        write(folder, with_files(), _labels(table))
    return number


def _image_of(item: ImageShapes) -> str:
    """The id of an image that is exported."""
    return item.file.removeprefix("images/").removesuffix(".png")


def _items(workdir: str | os.PathLike, table: ClassTable) -> Iterator[ImageShapes]:
    """The shapes of every image's queries: the answered parts of each piece, then what is open."""
    answers = journal.by_query(journal.read(workdir, table))
    names = [*table.names, *[UNSURE] * (IGNORE + 1 - len(table))]
    for image, queries in q.by_asked_image(workdir).items():
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
    endings = (suffix, png.LABELMAP) if name == "png" else (suffix,)
    with sources.opened(path, endings, tally) as members, warnings.catch_warnings():
        # Pictures are decoded only if they have the size of what is asked.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        items: list[DrawnImage] = []
        usable = False
        for member in png.maps(members) if name == "png" else members:
            with tally.spare("file", member.name):
                items += read(member, tally)
                usable = True
        if not usable:
            raise UserError(f"--file: {path} {_unusable(name, suffix, tally)}")
        taken = intake.Intake(workdir, table, annotator, tally)
        for image, item in intake.matched(items, intake.image_names(workdir, folders), tally):
            with tally.spare("image", item.files[0]):
                taken.take(image, item)
    journal.append(workdir, taken.answers, table)
    tally.take(len(taken.answers))
    return Imported(taken.answers, taken.known, tally)


def _unusable(name: str, suffix: str, tally: Tally) -> str:
    """Why no image could be read, and what to do."""
    for (noun, reason), some in tally.left_out.items():
        told = f"cannot be read as {name} ({noun} {reason}: {some.examples[0]})"
        if reason in (sources.LOCKED, sources.DEEP, sources.LARGE, sources.OTHER):
            return told
        return f"{told}; export it from the tool again, or give its --format"
    return f"has no images in the format {name}, in {suffix} files; give its --format"


def describe(imported: Imported) -> Iterable[str]:
    """Lines of text: what was renamed and left out for which reason, and how much was taken."""
    yield from imported.tally.reasons()
    if imported.known:
        yield f"known already: {counted(imported.known, 'pixel')}"
    yield imported.tally.total()
