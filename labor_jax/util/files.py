"""Files that are written as a whole or not at all, and JSON lines that are read one at a time."""

import array
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

LONGEST_NAME = 143
"""How many bytes a name of ours has at most; eCryptfs allows no more, others 255."""


def write_atomic(path: str | os.PathLike, data: bytes | Iterable[bytes]) -> None:
    """Writes a file atomically: beside its path, to disk, and then renamed into place.

    The rename is on disk, too, when this returns: a power cut cannot undo it.

    Args:
      path: its folders are made if they do not exist.
      data: all of it, or an iterable of parts that are written as they are drawn.
    Raises:
      OSError: it cannot be written, for example because the disk is full; `path` is unchanged.
    """
    path = pathlib.Path(path)
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    try:
        with open(partial, "wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        for folder in (path.parent, *(folder.parent for folder in made)):
            sync_folder(folder)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def partial_of(path: pathlib.Path) -> pathlib.Path:
    """Where a file is written before it is renamed into place; `remove_partial` finds it.

    Its name is not longer than the file's may be.
    """
    process = os.getpid()
    name = f".{path.name}.{process}.partial"
    if len(name.encode(errors="surrogateescape")) > LONGEST_NAME:
        digest = hashlib.sha256(path.name.encode(errors="surrogateescape")).hexdigest()[:32]
        name = f".{digest}.{process}.partial"
    return path.with_name(name)


_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM)
"""How file systems, such as some of networks, say that a folder cannot be synced."""


def sync_folder(folder: str | os.PathLike) -> None:
    """Brings a folder's names to disk: files that were renamed into it or made in it.

    Raises:
      OSError: it cannot be written, for example because the disk is full.
    """
    try:
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def remove_partial(folder: str | os.PathLike) -> None:
    """Removes the partial files and folders that killed processes left in a folder."""
    for path in list(pathlib.Path(folder).rglob(".*.partial")):
        process = path.name.split(".")[-2]
        if process.isdigit() and not _is_running(int(process)):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's process
        return True
    return True


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes a value as indented JSON, atomically.

    Raises:
      OSError: as `write_atomic`.
    """
    write_atomic(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: str | os.PathLike) -> Any:
    """Reads a JSON file.

    Raises:
      OSError: it cannot be read.
      ValueError: it is no JSON.
    """
    return json.loads(pathlib.Path(path).read_text())


def append_lines(path: str | os.PathLike, lines: bytes) -> None:
    """Adds whole lines to a file, and returns when they are on disk.

    Threads and programs take turns. A last line without its end was left by a killed program. It is
    cut off before.

    Args:
      path: its folder is made if it does not exist.
      lines: each with its end.
    Raises:
      OSError: they cannot be written, for example because the disk is full; none was added.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with open(path, "ab", buffering=0) as file, _in_turn(file):
        end = whole_lines(path)
        try:
            file.truncate(end)
            while lines:
                lines = lines[file.write(lines) :]
            os.fsync(file.fileno())
            if is_new:
                sync_folder(path.parent)
        except BaseException:
            file.truncate(end)  # the next line would be joined to half of this one
            raise


@contextlib.contextmanager
def _in_turn(file: IO[bytes]) -> Iterator[None]:
    """Holds the system's lock of a file that is open for writing, until it is closed."""
    with contextlib.suppress(OSError):  # some network file systems have none
        fcntl.flock(file, fcntl.LOCK_EX)
    yield


def whole_lines(path: str | os.PathLike, block: int = 2**16) -> int:
    """How many bytes a file's whole lines have; it is read in blocks from its end."""
    with open(path, "rb") as opened:
        left = opened.seek(0, os.SEEK_END)
        while left:
            start = max(0, left - block)
            opened.seek(start)
            found = opened.read(left - start).rfind(b"\n")
            if found >= 0:
                return start + found + 1
            left = start
    return 0


def json_lines(path: str | os.PathLike, growing: bool = False) -> Iterator[tuple[int, Any]]:
    """The lines of a file one at a time: the byte at which each begins, and its value.

    Args:
      path: a file of one JSON value a line; there are no lines if it does not exist.
      growing: whether another program may be writing to it. A last line without its end is then
        left out.
    Raises:
      ValueError: a line is no JSON.
    """
    if not pathlib.Path(path).exists():
        return
    place = 0
    with open(path, "rb") as file:
        for line in file:
            if line.endswith(b"\n") or not growing:
                yield place, json.loads(line)
            place += len(line)


class Index(Mapping[str, list[Any]]):
    """The lines of JSON-lines files by a key; they are read from disk at each access.

    The files can be larger than memory. In memory are three numbers for each series of lines that
    have one key and follow each other: the file, the byte and the count. Lines may be added to the
    files later; the index does not have them.
    """

    def __init__(self, lines: Iterable[tuple[str | os.PathLike, int, str]]) -> None:
        """Makes the index.

        Args:
          lines: the file of every line, the byte at which it begins, and its key, in order.
        """
        self._files: list[str | os.PathLike] = []
        self._spans: dict[str, array.array] = {}  # file, byte, count, file, byte, count, ...
        before = None
        for path, place, key in lines:
            if before != (path, key):
                if path not in self._files:
                    self._files.append(path)
                span = (self._files.index(path), place, 0)
                self._spans.setdefault(key, array.array("q")).extend(span)
                before = path, key
            self._spans[key][-1] += 1

    def __getitem__(self, key: str) -> list[Any]:
        found, spans = [], self._spans[key]
        for number, place, lines in zip(spans[::3], spans[1::3], spans[2::3], strict=True):
            with open(self._files[number], "rb") as file:
                file.seek(place)
                found += [json.loads(file.readline()) for _ in range(lines)]
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)
