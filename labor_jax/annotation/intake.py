"""Drawn shapes become answers: only what was asked, and what is not answered yet."""

import difflib
import functools
import os
import re
import secrets
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from labor_jax.annotation import journal
from labor_jax.annotation import queries as q
from labor_jax.annotation.formats import OPEN, UNSURE, Drawn, DrawnImage
from labor_jax.annotation.journal import Answer
from labor_jax.data.labels import IGNORE, ClassTable
from labor_jax.selection.segments import pixel_runs
from labor_jax.util.names import Names
from labor_jax.util.tally import Tally


def image_names(workdir: str | os.PathLike, folders: Collection[str]) -> Names:
    """The ids of all images: those that nothing is asked about may have similar names."""
    every = (query for stage in q.stages(workdir) for query in q.each_query(workdir, stage))
    return Names(dict.fromkeys(query["image"] for query in every), folders)


def matched(
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
    if several:
        return f"{file} ({', '.join(several)})"
    if near := names.near(file):
        return f"{file} (nearest: {', '.join(near)})"
    return f"{file} (the run's names are such as {', '.join(names.ids[:3])})"


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


class Intake:
    """Turns images' shapes into answers.

    Attributes:
      answers: what was taken so far, for the journal.
      known: how many pixels the journal had already given the same class.
    """

    def __init__(
        self, workdir: str | os.PathLike, table: ClassTable, annotator: str, tally: Tally
    ) -> None:
        self._annotator, self._tally = annotator, tally
        self._queries = q.by_asked_image(workdir)
        self._answers = journal.by_query(journal.read(workdir, table))
        self._classes = {name: k for k, name in enumerate(table.names)} | {UNSURE: IGNORE}
        self.answers: list[Answer] = []
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
        # A point is about its pixel alone, so that it counts before an area that covers it.
        for kind in ("points", "areas"):
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
            self.answers.append(answer)
            self._answers.setdefault(query["id"], []).append(answer)


def _spelled(label: str) -> str:
    """A label without what spellings differ in: case, spaces, hyphens."""
    return re.sub(r"[\W_]+", " ", label).strip().casefold()
