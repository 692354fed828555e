"""Data sets made from pairs of files: an image and a map of raw label values."""

import dataclasses
import io
import os
import pathlib
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, NoReturn

import cv2
import numpy as np

from labor_jax.data import dataset, image_files, labels
from labor_jax.data.builders import archives
from labor_jax.data.builders.archives import File
from labor_jax.data.dataset import Sample
from labor_jax.util import errors
from labor_jax.util.ahead import ahead
from labor_jax.util.errors import UserError
from labor_jax.util.tally import EXAMPLES, Tally

KINDS = ("images", "labels")
"""The kinds of files, in the order of each pair in `layout` and `shipped`."""
THREADS = min(8, os.cpu_count() or 1)

Change = tuple[str, str, str]
"""Verb, noun and reason of `Tally.change`."""


class Pairs(NamedTuple):
    """A split's (id, image, label) in order of ids, and the names of files without partner."""

    paired: list[tuple[str, File, File]]
    lone: list[str]


def read_raw_label(data: bytes, where: str) -> np.ndarray:
    """Raw values [H, W] uint8 or uint16 of a label file's bytes."""
    return image_files.read_raw_label(io.BytesIO(data), where)


def by_stem(path: pathlib.PurePath) -> str:
    """A file's name without its suffix."""
    return path.stem


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairedFiles:
    """The archives that a data set's site ships, and the files that they unpack into.

    Attributes:
      name: the data set's, for messages.
      title: the data set's name as people write it, for messages.
      download: what to download from where; it stands between "put …" and "into a folder".
      raw: the classes by the values in the label files.
      layout: by split, where its images and its labels are, as patterns.
      shipped: the archives of images and those of labels, if they are zip archives.
      full: by split, how many pairs the whole set has, if that is known.
      to_id: path -> the id that an image shares with its label.
      read_raw: (bytes of a label file, its name for messages) -> [H, W] raw values.
    """

    name: str
    title: str
    download: str
    raw: labels.ClassTable
    layout: Mapping[str, tuple[str, str]]
    shipped: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    full: Mapping[str, int] = dataclasses.field(default_factory=dict)
    to_id: Callable[[pathlib.PurePath], str] = by_stem
    read_raw: Callable[[bytes, str], np.ndarray] = read_raw_label


def find(files: PairedFiles, manual_dir: str) -> dict[str, Pairs]:
    """The pairs of each split that has any files.

    Raises:
      UserError: archives or files are missing or broken, or few files have a partner.
    """
    root = pathlib.Path(manual_dir).expanduser()
    if not manual_dir:
        refuse(files, "no manual_dir is given", "into a folder and name it by manual_dir")
    if not root.is_dir():
        refuse(files, f"there is no folder {root}", "there")
    zips = archives.open_zips(root)
    images, marks = (_located(files, root, zips, kind) for kind in range(len(KINDS)))
    found = {split: pair(images[split], marks[split]) for split in files.layout}
    for split, (paired, lone) in found.items():
        if len(lone) > len(paired):
            refuse(
                files,
                f"{split} in {root} has {len(paired)} pairs and files without partner: "
                f"{counted(lone)}",
                "there",
            )
    return {split: pairs for split, pairs in found.items() if pairs.paired}


def _located(
    files: PairedFiles, root: pathlib.Path, zips: list[zipfile.ZipFile], kind: int
) -> dict[str, archives.Files]:
    """Each split's files of one kind, images or labels; `kind` is its position in `KINDS`."""
    patterns = {split: both[kind] for split, both in files.layout.items()}
    loose = {s: archives.in_folders(root, p, files.to_id) for s, p in patterns.items()}
    inside = {s: archives.in_zips(zips, p, files.to_id) for s, p in patterns.items()}
    absent = [name for name in files.shipped[kind] if not (root / name).is_file()]
    if not any(loose.values()) and (absent or not any(inside.values())):
        if 0 < len(absent) < len(files.shipped[kind]):
            refuse(files, f"{', '.join(absent)} missing in {root}", "there")
        if packed := archives.to_unpack(root):
            raise UserError(f"{files.title}: {packed}")
        refuse(files, f"{root} has none of its {KINDS[kind]}", "there")
    # Files in an archive have checksums, so they take precedence over unpacked ones.
    return {split: loose[split] | inside[split] for split in files.layout}


def refuse(files: PairedFiles, why: str, where: str) -> NoReturn:
    """Raises UserError with what to get from where, and which folder to put it into."""
    raise UserError(f"{files.title}: {why}; put {files.download} {where}")


def make(files: PairedFiles, _: str, manual_dir: str) -> dict[str, Iterator[Sample]]:
    """The samples of each split that has any files; prints on stderr what is left out."""
    found = find(files, manual_dir)
    for split in files.layout:
        number = len(found[split].paired) if split in found else 0
        if number != (full := files.full.get(split, number)):
            warn(f"{files.name} {split}: {number} pairs; the whole set has {full}")
    return {s: _samples(files, s, pairs) for s, pairs in found.items()}


def _samples(files: PairedFiles, split: str, found: Pairs) -> Iterator[Sample]:
    """Reads the pairs; all that cannot be read are counted before the first of them ends it."""
    tally, broken = Tally("image"), list[str]()
    for name in found.lone:
        tally.leave_out("file", "without partner", name)

    def read(pair: tuple[str, File, File]) -> tuple[Sample, list[Change]] | UserError:
        try:
            return _read(files, *pair)
        except Exception as error:  # whatever a broken file raises
            return UserError(errors.told_of(pair[1].name, error))

    number = len(found.paired)
    every = ahead(read, found.paired, THREADS, 2 * THREADS)
    for one in dataset.track(every, number, f"reading {files.name} {split}"):
        if isinstance(one, UserError):
            broken.append(str(one))
        elif not broken:  # else nothing is kept
            tally.take()
            for verb, noun, reason in one[1]:
                tally.change(verb, noun, reason, one[0].id)
            yield one[0]
    for line in tally.told():
        warn(f"{files.name} {split}: {line}")
    if broken:
        many = f"{len(broken)} of {number} pairs cannot be read, such as " if broken[1:] else ""
        raise UserError(many + "; ".join(broken[:EXAMPLES]))


def _read(files: PairedFiles, name: str, image: File, label: File) -> tuple[Sample, list[Change]]:
    """A sample, and what was done to its files: verb, noun and reason."""
    data, marks = image.read(), label.read()
    frame = checked_frame(data, image.name, "image")
    checked_frame(marks, label.name, "label")
    raw, turned = image_files.like_image(files.read_raw(marks, label.name), frame, label.name)
    height, width = frame.size
    changes = []
    if frame.orientation != 1:
        changes.append(image_files.TURNED)
    if turned:
        changes.append(image_files.TURNED_ALIKE)
    if raw.shape != frame.size:
        changes.append(("resized", "label", "to its image's size"))
        raw = cv2.resize(raw, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    encoded = labels.encode(raw, files.raw, label.name, mend=f"get {files.title}'s own file")
    return dataset.sample(name, data, encoded), changes


def pair(images: archives.Files, marks: archives.Files) -> Pairs:
    """Images and labels of the same ids."""
    both = sorted(images.keys() & marks.keys())
    lone = [files[k].name for files in (images, marks) for k in sorted(files.keys() - set(both))]
    return Pairs([(key, images[key], marks[key]) for key in both], lone)


def checked_frame(data: bytes, where: str, what: str) -> image_files.Frame:
    """The frame of an image file, after a check that it is whole (of a PNG, by its checksums).

    Raises:
      UserError: the file is damaged.
    """
    with image_files.opened(io.BytesIO(data), where, what) as file:
        file.verify() if file.format == "PNG" else file.load()
    return image_files.image_frame(io.BytesIO(data), where)


def counted(names: list[str]) -> str:
    """How many names there are, and the first few."""
    return f"{len(names)} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"


def warn(message: str) -> None:
    """Prints on stderr what was left out or changed."""
    print(message, file=sys.stderr)
