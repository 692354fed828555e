"""Images and label maps in files. What a file is, its content says and not its name."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import IO, NamedTuple

import numpy as np
from PIL import ExifTags, Image, PngImagePlugin, UnidentifiedImageError

from labor_jax.data.labels import ClassTable, encode
from labor_jax.util import contents
from labor_jax.util.errors import UserError
from labor_jax.util.tally import one_line

__all__ = [
    "FIRST",
    "LABEL_SUFFIXES",
    "SUFFIXES",
    "TURNED",
    "TURNED_ALIKE",
    "Frame",
    "image_frame",
    "is_image",
    "label_is_turned",
    "like_image",
    "opened",
    "read_image_file",
    "read_label_file",
    "read_raw_label",
    "turned",
]


SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
LABEL_SUFFIXES = (".png",)

SCALED = {"L;2": 85, "L;4": 17}
"""What Pillow multiplies the values of grey PNGs of few bits by, so that the largest is white."""

TURNED = ("turned", "image", "as its EXIF data say")
TURNED_ALIKE = ("turned", "label", "like its image")
"""What is told of images that are not stored upright, and of labels that lie as these do."""
FIRST = ("cut", "image", "of several frames or pages, to the first one")
"""What is told of animations and of documents."""

BEGINS = ((b"\x89PNG", "PNG"), (b"\xff\xd8", "JPEG"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"))
"""The first bytes of files that may be images, even if they cannot be read."""

File = pathlib.Path | IO[bytes]


class Frame(NamedTuple):
    """How the pixels in an image file are to be shown.

    Attributes:
      size: (H, W) of the upright image.
      orientation: 1 to 8, what was done to the camera's picture as EXIF data count it; 1 = nothing.
      several: whether the file has more frames or pages than this one, the first.
    """

    size: tuple[int, int]
    orientation: int
    several: bool = False


@contextlib.contextmanager
def opened(file: File, where: str, what: str, whole: bool = False) -> Iterator[Image.Image]:
    """Opens a file as an image; any error while it is read becomes a UserError.

    Args:
      whole: whether the checksums of a PNG are compared: Pillow decodes damaged pixels without one.
    """
    try:
        with contextlib.ExitStack() as stack:
            if isinstance(file, pathlib.Path):
                # By a name Pillow maps TIFF files into memory, and scrambles those it has to turn.
                data: IO[bytes] = stack.enter_context(open(file, "rb"))
            else:
                data = file
            image = stack.enter_context(Image.open(data))
            if whole and image.format == "PNG":
                image.verify()
                data.seek(0)
                image = stack.enter_context(Image.open(data))
            yield image
    except UserError:
        raise
    except Exception as error:  # a broken file can make Pillow raise anything
        reason = one_line(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = _unidentified(_begin(file))
        raise UserError(f"{where}: unreadable {what} ({reason}); replace or remove it") from error


def _unidentified(begin: bytes) -> str:
    """Why Pillow does not know a file, by its first bytes."""
    for magic, kind in BEGINS:
        if begin.startswith(magic):
            return f"a {kind} image that is damaged, or has numbers of a kind that is not read"
    meant = contents.mistaken(begin)
    return f"it {meant}" if meant else "it is no image by its content"


def _begin(file: File) -> bytes:
    """A file's first bytes."""
    if isinstance(file, pathlib.Path):
        with open(file, "rb") as reopened:
            return reopened.read(contents.BEGIN)
    file.seek(0)
    return file.read(contents.BEGIN)


def read_image_file(path: pathlib.Path) -> np.ndarray:
    """The image [H, W, 3] uint8 RGB, turned upright; grey becomes RGB, transparency is dropped.

    Raises:
      UserError: the file is truncated or no image, or its pixels are fractions or of over 16 bits.
    """
    with opened(path, str(path), "image", whole=True) as file:
        orientation = _to_turn(file, _orientation(file) or 1)
        if file.mode == "F":
            raise ValueError("its pixels are fractions; save it with 8 or 16 bits")
        if not file.mode.startswith("I"):
            return turned(np.array(file.convert("RGB")), orientation)
        grey = np.array(file)  # 16 bits, all of which Pillow would make white
        if grey.min() < 0 or grey.max() > 65535:
            raise ValueError("its pixels have more than 16 bits; save it with 8 or 16 bits")
        return np.repeat(turned((grey >> 8).astype(np.uint8), orientation)[..., None], 3, axis=2)


def is_image(path: pathlib.Path) -> bool:
    """Whether a file is an image: by its content, or at least by its name."""
    try:
        image_frame(path, str(path))
        return True
    except UserError:
        return path.suffix.lower() in SUFFIXES


def image_frame(file: File, where: str) -> Frame:
    """The frame of an image; its pixels are not read.

    Raises:
      UserError: the file is no image.
    """
    with opened(file, where, "image") as image:
        size, orientation = image.size[::-1], _orientation(image) or 1
        size = size[::-1] if _to_turn(image, orientation) > 4 else size
        return Frame(size, orientation, _has_several(image))


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels [H, W, ...] as they are stored, turned upright by an EXIF orientation from 1 to 8.

    >>> turned(np.array([[1, 2, 3]]), 6).tolist()  # the camera was turned: a quarter to the right
    [[1], [2], [3]]
    """
    if orientation > 4:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def read_label_file(path: pathlib.Path, table: ClassTable, frame: Frame) -> np.ndarray:
    """The label [H, W] uint8 train ids, 255 where void, as the upright image shows it.

    Args:
      path: a palette or grey PNG of 1 to 16 bits.
      table: the classes.
      frame: of the image.
    Raises:
      UserError: the file cannot be read, is no PNG, or has several channels, another size, or a
        value that is not in the table; or it fits its image in two ways.
    """
    raw, says_itself = _raw_label(path, str(path))
    if not says_itself:
        raw, _ = like_image(raw, frame, str(path))
    if raw.shape != frame.size:
        raise UserError(
            f"{path}: the label is {raw.shape[1]}x{raw.shape[0]} and its image "
            f"{frame.size[1]}x{frame.size[0]}; make them the same size"
        )
    return encode(raw, table, str(path))


def like_image(raw: np.ndarray, frame: Frame, where: str) -> tuple[np.ndarray, bool]:
    """A label [H, W] as its upright image shows it, and whether it was turned for that.

    EXIF data turn an image, and not the label that lies beside it: that may have been drawn on the
    image as it is shown, or as it is stored. The sizes tell which, if they differ.

    Args:
      raw: as the label's file has it.
      frame: of the image.
      where: the label's file, for the message.
    Raises:
      UserError: it fits in both ways, and they differ.
    """
    if frame.orientation == 1:
        return raw, False
    alike = turned(raw, frame.orientation)
    if raw.shape == frame.size == alike.shape and not np.array_equal(raw, alike):
        raise UserError(
            f"{where}: its image is turned by its EXIF data (orientation {frame.orientation}), and "
            f"the label fits it both as it is stored and as it is shown; save the image without "
            f"EXIF data, lying as the label has it"
        )
    return (alike, True) if _fits_stored(raw.shape, frame) else (raw, False)


def label_is_turned(file: File, where: str, frame: Frame) -> bool:
    """Whether `like_image` turns a label, by its size; its pixels are not read.

    Raises:
      UserError: the file is no image.
    """
    with opened(file, where, "label") as image:
        return _orientation(image) is None and _fits_stored(image.size[::-1], frame)


def _fits_stored(size: tuple[int, ...], frame: Frame) -> bool:
    """Whether a label of a size (H, W) fits its image as it is stored, and not as it is shown."""
    return frame.size != size == _stored(frame)


def _stored(frame: Frame) -> tuple[int, int]:
    return frame.size[::-1] if frame.orientation > 4 else frame.size


def read_raw_label(file: File, where: str) -> np.ndarray:
    """The numbers [H, W] uint8 or uint16 in a palette or grey PNG of 1 to 16 bits.

    Raises:
      UserError: the file cannot be read, is no PNG by its content, or has several channels.
    """
    return _raw_label(file, where)[0]


def _raw_label(file: File, where: str) -> tuple[np.ndarray, bool]:
    """A label's numbers, and whether the file itself says how it is to be shown."""
    with opened(file, where, "label", whole=True) as image:
        if image.format != "PNG":
            lossy = ", which changes a label's numbers" if image.format in ("JPEG", "WEBP") else ""
            raise UserError(
                f"{where}: a label map must be PNG, and this is {image.format} by its content"
                f"{lossy}; export it as PNG from where it was made"
            )
        if _has_several(image):
            raise UserError(f"{where}: a label map of several frames; save the one that is meant")
        assert isinstance(image, PngImagePlugin.PngImageFile)
        mode, scale = image.mode, SCALED.get(str(image.tile[0].args), 1)  # gone when it is read
        own, raw = _orientation(image), np.array(image)
    if raw.ndim != 2:
        raise UserError(
            f"{where}: a label must have a single channel of class values, this one is {mode}; "
            "save it as a palette or greyscale PNG"
        )
    raw = raw // scale if raw.dtype == np.uint8 else raw.astype(np.uint16)
    return turned(raw, own or 1), own is not None


def _orientation(image: Image.Image) -> int | None:
    """What EXIF data say; None where there are none, or where nobody can read them.

    It is asked for once: of a broken file the second answer may be another.
    """
    try:
        value = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # they are a small file of their own, and can be as broken as any
        return None
    return value if value in range(1, 9) else None


def _has_several(image: Image.Image) -> bool:
    """Whether an image has more than one frame or page that its file's format is meant for."""
    if image.format == "MPO":  # a photograph, with a preview behind it
        return False
    try:
        return getattr(image, "is_animated", False)
    except Exception:  # others are broken, and are not read
        return True


def _to_turn(image: Image.Image, orientation: int) -> int:
    """The orientation by which an image's pixels still have to be turned; Pillow turns TIFF."""
    return 1 if image.format == "TIFF" else orientation
