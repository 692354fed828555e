"""Data sets made from pairs of files: an image and a map of raw label values."""

import io
import os
import pathlib
import sys
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

import cv2
import numpy as np
from PIL import ImageOps

from labor_jax.data import image_files, labels
from labor_jax.data.builders import archives, base
from labor_jax.data.builders.archives import File
from labor_jax.util.ahead import ahead
from labor_jax.util.errors import UserError

KINDS = ("images", "labels")
"""In the order of each pair in `layout` and `shipped`."""
THREADS = min(8, os.cpu_count() or 1)


class Pairs(NamedTuple):
    """A split's (id, image, label) in order of ids, and the names of files without partner."""

    paired: list[tuple[str, File, File]]
    lone: list[str]


class PairedBuilder(base.Builder, skip_registration=True):  # type: ignore[call-arg]
    """Reads a data set from the archives that its site ships, or from what they unpack into.

    Attributes:
      title: its name, for messages.
      MANUAL_DOWNLOAD_INSTRUCTIONS: what to download from where, after "put … into FOLDER".
      raw: its classes by the values in its label files.
      layout: by split, where its images and its labels are, as patterns.
      shipped: the archives of images and those of labels, if they are zip archives.
      full: by split, how many pairs the whole set has, if that is known.
    """

    title: str
    raw: labels.ClassTable
    layout: dict[str, tuple[str, str]]
    shipped: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    full: dict[str, int] = {}  # noqa: RUF012

    @staticmethod
    def to_id(path: pathlib.PurePath) -> str:
        """The id that an image shares with its label."""
        return path.stem

    @staticmethod
    def read_raw(data: bytes, where: str) -> np.ndarray:
        """Raw values [H, W] uint8 or uint16 of a label file's bytes."""
        return image_files.read_raw_label(io.BytesIO(data), where)

    def check(self, manual_dir: str) -> None:
        """Raises UserError unless what to make it from is there and most of it in pairs."""
        self.find(manual_dir)

    def find(self, manual_dir: str) -> dict[str, Pairs]:
        """The pairs of each split of which there is anything.

        Raises:
          UserError: archives or files are missing or broken, or few files have a partner.
        """
        root = pathlib.Path(manual_dir).expanduser()
        if not manual_dir:
            self.refuse("no manual_dir is given", "into a folder and name it by manual_dir")
        if not root.is_dir():
            self.refuse(f"there is no folder {root}", "there")
        zips = archives.open_zips(root)
        images, marks = (self._files(root, zips, kind) for kind in range(len(KINDS)))
        found = {split: pair(images[split], marks[split]) for split in self.layout}
        for split, (paired, lone) in found.items():
            if len(lone) > len(paired):
                self.refuse(
                    f"{split} in {root} has {len(paired)} pairs and files without partner: "
                    f"{counted(lone)}",
                    "there",
                )
        return {split: pairs for split, pairs in found.items() if pairs.paired}

    def _files(
        self, root: pathlib.Path, zips: list[zipfile.ZipFile], kind: int
    ) -> dict[str, archives.Files]:
        """Each split's images or labels, as `KINDS` counts them."""
        patterns = {split: both[kind] for split, both in self.layout.items()}
        loose = {s: archives.in_folders(root, p, self.to_id) for s, p in patterns.items()}
        inside = {s: archives.in_zips(zips, p, self.to_id) for s, p in patterns.items()}
        absent = [name for name in self.shipped[kind] if not (root / name).is_file()]
        if not any(loose.values()) and (absent or not any(inside.values())):
            if 0 < len(absent) < len(self.shipped[kind]):
                self.refuse(f"{', '.join(absent)} missing in {root}", "there")
            if packed := archives.to_unpack(root):
                raise UserError(f"{self.title}: {packed}")
            self.refuse(f"{root} has none of its {KINDS[kind]}", "there")
        # An archive's files have checksums: they come before what was unpacked of it.
        return {split: loose[split] | inside[split] for split in self.layout}

    def refuse(self, why: str, where: str) -> NoReturn:
        """Raises UserError with what to get from where, and which folder to put it into."""
        raise UserError(f"{self.title}: {why}; put {self.MANUAL_DOWNLOAD_INSTRUCTIONS} {where}")

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[base.Sample]]:
        found = self.find(str(dl_manager.manual_dir))
        for split in self.layout:
            paired, lone = found.get(split, Pairs([], []))
            if lone:
                warn(f"{self.name} {split}: without partner, left out: {counted(lone)}")
            if len(paired) != (full := self.full.get(split, len(paired))):
                warn(f"{self.name} {split}: {len(paired)} pairs; the whole set has {full}")
        return {s: self._generate_examples(s, pairs.paired) for s, pairs in found.items()}

    def _generate_examples(
        self, split: str, pairs: list[tuple[str, File, File]]
    ) -> Iterator[base.Sample]:
        resized = []
        samples = ahead(lambda pair: self._read(*pair), pairs, THREADS, 2 * THREADS)
        for sample, fits in base.track(samples, len(pairs), f"reading {self.name} {split}"):
            yield sample
            if not fits:
                resized.append(sample.id)
        if resized:
            warn(
                f"{self.name} {split}: labels of another size than their image, resized to it: "
                f"{counted(resized)}"
            )

    def _read(self, name: str, image: File, label: File) -> tuple[base.Sample, bool]:
        """A sample, and whether its label had its image's size."""
        data, marks = image.read(), label.read()
        height, width = checked_size(data, image.name, "image")
        checked_size(marks, label.name, "label")
        raw = self.read_raw(marks, label.name)
        fits = raw.shape == (height, width)
        if not fits:
            raw = cv2.resize(raw, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        encoded = labels.encode(raw, self.raw, label.name, mend=f"get {self.title}'s own file")
        return self.sample(name, data, encoded), fits


def pair(images: archives.Files, marks: archives.Files) -> Pairs:
    """Images and labels of the same ids."""
    both = sorted(images.keys() & marks.keys())
    lone = [files[k].name for files in (images, marks) for k in sorted(files.keys() - set(both))]
    return Pairs([(key, images[key], marks[key]) for key in both], lone)


def checked_size(data: bytes, where: str, what: str) -> tuple[int, int]:
    """(H, W) of an image file that is whole; of a PNG the checksums tell, which is quick.

    Raises:
      UserError: it is not.
    """
    with image_files.opened(io.BytesIO(data), where, what) as file:
        if file.format != "PNG":
            return ImageOps.exif_transpose(file.convert("RGB")).size[::-1]
        size = file.size[::-1]
        file.verify()
        return size


def counted(names: list[str]) -> str:
    """How many names there are, and the first few."""
    return f"{len(names)} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"


def warn(message: str) -> None:
    """Says on stderr what was left out or changed."""
    print(message, file=sys.stderr)
