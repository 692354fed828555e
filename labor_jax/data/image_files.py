"""Images and label maps in files of any format that Pillow reads."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import IO

import numpy as np
from PIL import Image, ImageOps

from labor_jax.data.labels import ClassTable, encode
from labor_jax.util.errors import UserError

__all__ = [
    "LABEL_SUFFIXES",
    "SUFFIXES",
    "image_size",
    "opened",
    "read_image_file",
    "read_label_file",
    "read_raw_label",
]


SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
LABEL_SUFFIXES = (".png",)


@contextlib.contextmanager
def opened(file: pathlib.Path | IO[bytes], where: str, what: str) -> Iterator[Image.Image]:
    """Opens a file as an image; any error while it is read becomes a UserError."""
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
      UserError: the file is truncated or no image, or its pixels are fractions.
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
      UserError: the file cannot be read, has several channels or another size, or it has a value
        that is not in the table.
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
      UserError: the file cannot be read, or has several channels.
    """
    with opened(file, where, "label") as image:
        mode, raw = image.mode, np.array(image)
    if raw.ndim != 2:
        raise UserError(
            f"{where}: a label must have a single channel of class values, this one is {mode}; "
            "save it as a palette or greyscale PNG"
        )
    return raw if raw.dtype == np.uint8 else raw.astype(np.uint16)
