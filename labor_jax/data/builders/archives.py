"""Finds downloaded files, in a folder or still inside zip archives."""

import dataclasses
import pathlib
import zipfile
from collections.abc import Callable, Iterator

from labor_jax.data.image_files import SUFFIXES
from labor_jax.util.errors import UserError
from labor_jax.util.folders import passed_over
from labor_jax.util.tally import one_line

OTHER_ARCHIVES = (".rar", ".7z", ".tar", ".tgz", ".gz", ".bz2", ".xz")
"""Suffixes of archives that have to be unpacked first, as they have no random access."""


@dataclasses.dataclass(frozen=True)
class File:
    """A file in a folder or in an archive.

    Attributes:
      name: for messages: its path, or the archive's path and its path in the archive.
      read: returns its bytes; may be called from threads. Raises UserError if it is damaged.
    """

    name: str
    read: Callable[[], bytes]


Files = dict[str, File]
"""Files by id, in order."""


def open_zips(root: pathlib.Path) -> list[zipfile.ZipFile]:
    """The zip archives in a folder.

    Raises:
      UserError: one of them is broken, such as a download that was cut off.
    """
    opened = []
    for path in sorted(root.glob("*.zip")):
        if passed_over(path.name) or not path.is_file():
            continue
        try:
            opened.append(zipfile.ZipFile(path))
        except Exception as error:  # a broken archive can make zipfile raise anything
            raise UserError(
                f"{path}: no whole zip archive ({one_line(error)}); download it again or remove it"
            ) from error
    return opened


def in_zips(
    zips: list[zipfile.ZipFile], pattern: str, to_id: Callable[[pathlib.PurePath], str]
) -> Files:
    """The images inside archives whose paths end in `pattern`, such as "images/*.png"."""
    found = {}
    for archive in zips:
        for member in archive.namelist():
            path = pathlib.PurePosixPath(member)
            if is_image(member) and path.match(pattern):
                found[to_id(path)] = zipped(archive, member)
    return found


def in_folders(root: pathlib.Path, pattern: str, to_id: Callable[[pathlib.PurePath], str]) -> Files:
    """The images at `pattern` in a folder or in its subfolders, as archives unpack into them."""

    def paths() -> Iterator[pathlib.Path]:
        yield from root.glob(f"*/{pattern}")
        yield from root.glob(pattern)

    return {
        to_id(path): File(str(path), path.read_bytes)
        for path in paths()
        if is_image(path.relative_to(root).as_posix())
    }


def is_image(path: str) -> bool:
    """Whether a file is an image by its name, and none that is hidden or a tool's."""
    return pathlib.PurePosixPath(path).suffix.lower() in SUFFIXES and not passed_over(path)


def zipped(archive: zipfile.ZipFile, member: str) -> File:
    """One file of an archive; reading it compares its checksum."""

    def read() -> bytes:
        if archive.getinfo(member).flag_bits & 1:
            raise UserError(
                f"{archive.filename}: {member} is locked with a password; unpack the archive by it "
                f"and put the folders there"
            )
        try:
            return archive.read(member)
        except Exception as error:  # what zipfile raises depends on the bytes that are damaged
            raise UserError(
                f"{archive.filename}: {member} is damaged ({one_line(error)}); download the "
                f"archive again"
            ) from error

    return File(f"{archive.filename}: {member}", read)


def to_unpack(root: pathlib.Path) -> str:
    """For a message: how to unpack an archive that cannot be read here; "" if there is none."""
    for path in sorted(root.glob("*")):
        if path.suffix.lower() in OTHER_ARCHIVES:
            return (
                f"{path} has to be unpacked first: in {root}, do `unrar x {path.name}`, "
                f"`7z x {path.name}` or `bsdtar -xf {path.name}`"
            )
    return ""
