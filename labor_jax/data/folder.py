"""Domains from any two folders: images, and label maps of the same relative names."""

import contextlib
import functools
import pathlib
from collections.abc import Iterator, Set
from typing import IO

import numpy as np
from PIL import Image, ImageOps

from labor_jax.data.domain import Domain
from labor_jax.data.labels import ClassTable, encode
from labor_jax.util.errors import UserError

__all__ = [
    "LABEL_SUFFIXES",
    "SUFFIXES",
    "Pair",
    "by_id",
    "image_size",
    "load",
    "one",
    "opened",
    "pairs",
    "read_image_file",
    "read_label_file",
    "read_raw_label",
    "report_missing",
]


SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


LABEL_SUFFIXES = (".png",)


def load(images: str, labels: str, table: ClassTable) -> Domain:
    """The images below a folder, with the label maps below another, or "" for none.

    Names and pairs are checked here; what is in a file is checked when it is read.

    Raises:
      UserError: a folder is missing or empty, or an image has no label, or the reverse.
    """
    if not images:
        raise UserError(
            "domain 'folder': images is empty; give config.source.images, config.target.images and "
            "config.val.images (without labelled images to score on, the target's once more)"
        )
    found = pairs(pathlib.Path(images), pathlib.Path(labels) if labels else None)
    size = functools.cache(lambda index: image_size(found[index][1]))

    def read_image(index: int) -> np.ndarray:
        return read_image_file(found[index][1])

    def read_label(index: int) -> np.ndarray:
        path = found[index][2]
        assert path is not None  # `labels` was given
        return read_label_file(path, table, size(index))

    ids = tuple(name for name, _, _ in found)
    return Domain(f"folder {images}", ids, read_image, read_label if labels else None)


def one(image: pathlib.Path) -> Domain:
    """One image alone; what is in it is checked when it is read."""
    return Domain(str(image), (image.stem,), lambda _: read_image_file(image), None)


Pair = tuple[str, pathlib.Path, pathlib.Path | None]


def pairs(images: pathlib.Path, labels: pathlib.Path | None) -> list[Pair]:
    """(id, image, label) of every image, sorted by id; the id is the path without its suffix."""
    found = by_id(images, SUFFIXES)
    if labels is None:
        return [(name, path, None) for name, path in found.items()]
    marked = by_id(labels, LABEL_SUFFIXES)
    report_missing(found.keys() - marked.keys(), "image", images, "label", labels)
    report_missing(marked.keys() - found.keys(), "label", labels, "image", images)
    return [(name, path, marked[name]) for name, path in found.items()]


def by_id(root: pathlib.Path, suffixes: tuple[str, ...]) -> dict[str, pathlib.Path]:
    """Every file below `root` with one of the suffixes, by its id, sorted."""
    kinds = ", ".join(suffixes)
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder; give one with {kinds} files")
    files: dict[str, pathlib.Path] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() not in suffixes or path.name.startswith(".") or path.is_dir():
            continue
        name = path.relative_to(root).with_suffix("").as_posix()
        if name in files:
            raise UserError(f"{path}: {files[name].name} has the same name; rename one of the two")
        files[name] = path
    if not files:
        why = "; JPEG would change a label map's numbers" if suffixes == LABEL_SUFFIXES else ""
        raise UserError(f"{root}: no files that end in {kinds}; give a folder that has some{why}")
    return dict(sorted(files.items()))


def report_missing(
    names: Set[str], one: str, here: pathlib.Path, other: str, there: pathlib.Path
) -> None:
    """Raises UserError if `names` of `here` have no partner in `there`."""
    if not names:
        return
    first = ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")
    many = len(names) > 1
    near = sorted(there.glob(f"{min(names)}.*"))
    if near and one == "image":
        raise UserError(f"{near[0]}: a label map must be PNG, JPEG would change it; save it as PNG")
    raise UserError(
        f"{here}: {len(names)} {one}{'s' * many} without {other} ({first}); "
        f"add the {other}{'s' * many} to {there} or remove the {one}{'s' * many}"
    )


@contextlib.contextmanager
def opened(file: pathlib.Path | IO[bytes], where: str, what: str) -> Iterator[Image.Image]:
    """The file as an image; whatever goes wrong while it is read becomes a UserError."""
    try:
        with Image.open(file) as image:
            yield image
    # Pillow raises each of these for one or another kind of broken file.
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{where}: unreadable {what} ({reason}); replace or remove it") from error


def read_image_file(path: pathlib.Path) -> np.ndarray:
    """The image [H, W, 3] uint8 RGB, turned upright; grey becomes RGB, transparency is dropped.

    Raises:
      UserError: the file is truncated, no image, or of fractions.
    """
    with opened(path, str(path), "image") as file:
        upright = ImageOps.exif_transpose(file)
        if upright.mode == "F":
            raise ValueError("its pixels are fractions; save it with 8 or 16 bits")
        if upright.mode.startswith("I"):  # 16-bit grey, all of which Pillow would make white
            grey = (np.array(upright) >> 8).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.array(upright.convert("RGB"))


def image_size(path: pathlib.Path) -> tuple[int, int]:
    """(H, W) of the image, after turning it upright.

    Raises:
      UserError: the file is no image.
    """
    with opened(path, str(path), "image") as file:
        return ImageOps.exif_transpose(file).size[::-1]


def read_label_file(path: pathlib.Path, table: ClassTable, size: tuple[int, int]) -> np.ndarray:
    """The label [H, W] uint8 train ids, 255 where void; palette, 8-bit or 16-bit grey PNG.

    Raises:
      UserError: unreadable, of several channels, not of `size`, or a value outside the table.
    """
    raw = read_raw_label(path, str(path))
    if raw.shape != tuple(size):
        raise UserError(
            f"{path}: the label is {raw.shape[1]}x{raw.shape[0]} and its image "
            f"{size[1]}x{size[0]}; make them the same size"
        )
    return encode(raw, table, str(path))


def read_raw_label(file: pathlib.Path | IO[bytes], where: str) -> np.ndarray:
    """The values [H, W] uint8 or uint16 of a palette, 8-bit or 16-bit grey PNG.

    Raises:
      UserError: unreadable, or of several channels.
    """
    with opened(file, where, "label") as image:
        mode, raw = image.mode, np.array(image)
    if raw.ndim != 2:
        raise UserError(
            f"{where}: a label must have a single channel of class values, this one is {mode}; "
            "save it as a palette or greyscale PNG"
        )
    return raw if raw.dtype == np.uint8 else raw.astype(np.uint16)
