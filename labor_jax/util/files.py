"""Whole files appear at once or not at all, so that a killed run leaves nothing half-written."""

import array
import contextlib
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def write_atomic(path: str | os.PathLike, data: bytes | Iterable[bytes]) -> None:
    """Writes `data` beside `path`, flushes it to disk and renames it into place.

    Args:
      data: the whole, or its pieces, each written as soon as it is made.
    Raises:
      OSError: the disk is full, say; `path` then still holds what it held before.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            file.writelines([data] if isinstance(data, bytes) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def remove_partial(folder: str | os.PathLike) -> None:
    """Removes what processes that were killed have left half-written in a folder."""
    for path in pathlib.Path(folder).rglob(".*.partial"):
        process = path.name.split(".")[-2]
        if process.isdigit() and not _is_running(int(process)):
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON, at once or not at all."""
    write_atomic(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: str | os.PathLike) -> Any:
    """Reads a JSON file."""
    return json.loads(pathlib.Path(path).read_text())


def json_lines(path: str | os.PathLike, growing: bool = False) -> Iterator[tuple[int, Any]]:
    """The place (byte) and the value of every line, one at a time; none without a file.

    Args:
      growing: whether the last line may be still being written; it is then left out.
    Raises:
      ValueError: a line is damaged.
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
    """The lines of JSON-lines files by a key of theirs, read from disk when they are asked for.

    Such files can be larger than memory: held are three numbers for lines of one key in a row. They
    may grow meanwhile.
    """

    def __init__(self, lines: Iterable[tuple[str | os.PathLike, int, str]]) -> None:
        """`lines`: the file, the place in it and the key of every line, in order."""
        self._files: list[str | os.PathLike] = []
        self._spans: dict[str, array.array] = {}  # file, place, how many lines; and so on
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
