"""Whole files appear at once or not at all, so that a killed run leaves nothing half-written."""

import contextlib
import json
import os
import pathlib
from typing import Any


def write_atomic(path: str | os.PathLike, data: bytes) -> None:
    """Writes `data` beside `path`, flushes it to disk and renames it into place.

    Raises:
      OSError: the disk is full, say; `path` then still holds what it held before.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            file.write(data)
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
        if not pathlib.Path("/proc", process).exists():
            path.unlink(missing_ok=True)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as indented JSON, at once or not at all."""
    write_atomic(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: str | os.PathLike) -> Any:
    """Reads a JSON file."""
    return json.loads(pathlib.Path(path).read_text())
