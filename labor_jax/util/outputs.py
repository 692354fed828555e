"""The one rule for what a command writes: it is new, or this program made and marked it.

Nothing is written over, into or around what is read, whatever the path to it looks like. A file
that is there is replaced only if this program wrote it and nobody has changed it since. Each file
says so itself, by a mark in its first or last bytes, at a place where its format has comments.
"""

import contextlib
import hashlib
import itertools
import os
import pathlib
import re
import shutil
import struct
import threading
import zlib
from collections.abc import Iterable, Iterator

from labor_jax.util import files, folders
from labor_jax.util.errors import UserError

__all__ = [
    "MARK",
    "Folder",
    "check_apart",
    "check_file",
    "is_empty",
    "sealed",
    "whole_folder",
    "write_file",
]


MARK = "made by labor_jax"
"""The text in each file that this program writes as an output."""

_SEAL = re.compile(MARK.encode() + rb", sha256 ([0-9a-f]{64})")
"""The mark of a file that people may change: with the SHA-256 of all bytes before it."""
_SEAL_LENGTH = len(MARK) + len(", sha256 ") + 64
_MP4_FREE = struct.pack(">I", _SEAL_LENGTH + 8) + b"free"
"""The head of a box of free space with a mark, at the end of an MP4."""
_ENDS = 2**16
"""How many bytes of a file, at its begin and at its end, are searched for the mark."""
_LOOKED_AT = 1000
"""How many files of a folder are searched for one that is marked."""
_SHOWN = 3
"""How many names an error tells."""

Path = str | os.PathLike


# ------------------------------------------------------------------------------ what is read


def check_apart(out: Path, name: str, reads: Iterable[Path], around: bool = False) -> None:
    """Checks that an output is not what is read, not inside it, and does not hold it.

    Files are compared by device and inode. Links, other spellings, and names that differ in case
    on a file system that ignores it are therefore found. Links in a folder that is read lead to
    folders that are read, too.

    Args:
      out: the output, which may not exist yet.
      name: of its flag, for the message.
      reads: files and folders; those that do not exist are passed over.
      around: whether `out` may hold what is read.
    Raises:
      UserError: it is not apart.
    """
    reads = [read for read in reads if os.path.exists(read)]
    for read in (*reads, *itertools.chain.from_iterable(map(folders.linked, reads))):
        if os.path.exists(out) and os.path.samefile(out, read):
            raise UserError(f"{name}: {out} is what is read itself; give another place")
        if any(os.path.samefile(folder, read) for folder in _around(out)):
            raise UserError(f"{name}: {out} lies in {read}, which is read; give a place outside")
        holds = os.path.exists(out) and any(os.path.samefile(f, out) for f in _around(read))
        if holds and not around:
            raise UserError(f"{name}: {out} holds {read}, which is read; give a place beside it")


def _around(path: Path) -> Iterator[str]:
    """The existing folders that a path, which may not exist, lies in; links are followed."""
    folder = os.path.realpath(path)
    while (parent := os.path.dirname(folder)) != folder:
        folder = parent
        if os.path.isdir(folder):
            yield folder


# ------------------------------------------------------------------------------- single files


def check_file(path: Path, name: str, reads: Iterable[Path]) -> None:
    """Checks that a file may be written: it is new or marked, and apart from what is read.

    Args:
      path: the file.
      name: of its flag, for the message.
      reads: as of `check_apart`.
    Raises:
      UserError: it may not be written.
    """
    if os.path.isdir(path):
        raise UserError(f"{name}: {path} is a folder; give a file")
    check_apart(path, name, reads)
    if os.path.lexists(path) and not _is_ours(path):
        raise UserError(
            f"{name}: {path} is there, and labor_jax did not make it, or it was changed since; "
            f"give another name"
        )


def write_file(path: Path, data: bytes, name: str, reads: Iterable[Path]) -> None:
    """Writes a file that `check_file` allows.

    Raises:
      UserError: it may not be written.
      ValueError: the data lacks the mark.
    """
    if MARK.encode() not in data[:_ENDS] + data[-_ENDS:]:
        raise ValueError(f"{path}: without the mark it could not be written again")
    check_file(path, name, reads)
    files.write_atomic(path, data)


def sealed(data: bytes, suffix: str) -> bytes:
    """A file's bytes with the mark, and the checksum of what comes before it.

    Args:
      data: a whole PNG, JPEG or zip file, the latter without a comment.
      suffix: ".png", ".jpg", ".zip" or ".npz".
    """
    if suffix == ".png":  # a chunk of text before the last chunk
        body, end = data[:-12], data[-12:]
        body += struct.pack(">I", _SEAL_LENGTH + 9) + b"tEXtSoftware\0"
        text = _seal_of(body)
        return body + text + struct.pack(">I", zlib.crc32(b"tEXtSoftware\0" + text)) + end
    if suffix == ".jpg":  # a comment before the end of the image
        body = data[:-2] + b"\xff\xfe" + struct.pack(">H", _SEAL_LENGTH + 2)
        return body + _seal_of(body) + data[-2:]
    body = data[:-2] + struct.pack("<H", _SEAL_LENGTH)  # the archive's comment
    return body + _seal_of(body)


def _seal_of(before: bytes) -> bytes:
    return _seal(hashlib.sha256(before).hexdigest())


def _seal(digest: str) -> bytes:
    return f"{MARK}, sha256 {digest}".encode()


def _is_ours(path: Path) -> bool:
    """Whether this program wrote a file, and nobody has changed it since."""
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        begin = file.read(_ENDS)
        file.seek(max(0, size - _ENDS))
        end = file.read()
        if not (seal := _SEAL.search(end)):
            return MARK.encode() in begin + end
        file.seek(0)
        before, left = hashlib.sha256(), max(0, size - _ENDS) + seal.start()
        while left and (part := file.read(min(left, 2**20))):
            before.update(part)
            left -= len(part)
        return before.hexdigest().encode() == seal[1]


# ------------------------------------------------------------------------------------ folders


def is_empty(folder: Path) -> bool:
    """Whether a folder is new, or has only hidden files, as file managers leave them."""
    return not os.path.lexists(folder) or (
        os.path.isdir(folder) and all(entry.startswith(".") for entry in os.listdir(folder))
    )


class Folder:
    """A folder that a command writes files to; nothing is made before the first file.

    Attributes:
      path: the folder.
    """

    def __init__(self, path: Path, name: str, reads: Iterable[Path]) -> None:
        """Opens a folder that is new, empty, or has a file that this program made.

        Args:
          path: the folder.
          name: of its flag, for the messages.
          reads: as of `check_apart`.
        Raises:
          UserError: it is another one, or not apart from what is read.
        """
        self.path, self._name = pathlib.Path(path), name
        self._written: dict[str, str] = {}
        self._lock = threading.Lock()
        _check_folder(self.path, name, reads)
        some = itertools.islice(self.path.rglob("*"), _LOOKED_AT)
        if not is_empty(path) and not any(map(_is_ours, some)):
            raise UserError(
                f"{name}: {path} has files that labor_jax did not make; "
                f"give a new folder, or an empty one"
            )

    def check(self, names: Iterable[str]) -> None:
        """Checks that files may be written: each is new, or as this program wrote it.

        Args:
          names: their paths in the folder.
        Raises:
          UserError: some are not.
        """
        foreign = [name for name in names if not self._may_write(name)]
        if foreign:
            more = ", …" if len(foreign) > _SHOWN else ""
            raise UserError(
                f"{self._name}: {self.path} has {', '.join(foreign[:_SHOWN])}{more}, which "
                f"labor_jax did not make or which was changed since; give another folder"
            )

    def write(self, name: str, data: bytes) -> None:
        """Writes and marks a file that `check` allows; may be called from threads.

        Args:
          name: its path in the folder, that ends in one of the suffixes of `sealed`.
          data: its bytes.
        Raises:
          UserError: it may not be written, or this program has just written one of a name that
            differs in case only, on a file system that ignores case.
        """
        self.check([name])
        with self._lock:
            other = self._written.setdefault(name.casefold(), name)
        if other != name and (self.path / name).exists():
            raise UserError(
                f"{self._name}: {self.path} cannot have {other} and {name} at once, since it "
                f"ignores case; rename one, or give another folder"
            )
        files.write_atomic(self.path / name, sealed(data, pathlib.PurePath(name).suffix))

    def move_in(self, partial: pathlib.Path, name: str) -> None:
        """Marks an MP4 file of this folder and moves it into place, if `check` allows it.

        Raises:
          UserError: it may not be written.
        """
        self.check([name])
        with open(partial, "r+b") as file:
            before = hashlib.file_digest(file, "sha256")
            before.update(_MP4_FREE)
            file.write(_MP4_FREE + _seal(before.hexdigest()))
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self.path / name)
        files.sync_folder(self.path)

    def _may_write(self, name: str) -> bool:
        path = self.path / name
        folder = os.path.join(os.path.realpath(self.path), os.path.dirname(name))
        if os.path.realpath(path.parent) != os.path.normpath(folder):
            return False  # a link leads out of the folder
        return not os.path.lexists(path) or _is_ours(path)


@contextlib.contextmanager
def whole_folder(path: Path, name: str, reads: Iterable[Path]) -> Iterator[pathlib.Path]:
    """Yields a folder to write to, whose files appear at `path` together, or not at all.

    Args:
      path: a new folder or an empty one.
      name: of its flag, for the messages.
      reads: as of `check_apart`.
    Raises:
      UserError: it is another one.
    """
    folder = pathlib.Path(path)
    _check_folder(folder, name, reads)
    if not is_empty(folder):
        raise UserError(f"{name}: {path} is not empty; give another folder")
    made = [f for f in (folder, *folder.parents) if not f.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    files.remove_partial(folder)
    partial = folder / f".files.{os.getpid()}.partial"
    try:
        partial.mkdir()
        yield partial
        for entry in partial.iterdir():
            entry.rename(folder / entry.name)
        files.sync_folder(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        with contextlib.suppress(OSError):  # what was written stays
            for empty in made:
                empty.rmdir()


def _check_folder(path: pathlib.Path, name: str, reads: Iterable[Path]) -> None:
    if os.path.lexists(path) and not path.is_dir():
        raise UserError(f"{name}: {path} is a file; give a folder")
    check_apart(path, name, reads)
