"""The files below a folder: links are followed, what systems and tools add is passed over."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

from labor_jax.util.tally import Tally

__all__ = ["below", "linked", "passed_over"]


ADDED = frozenset(
    {
        "#recycle",  # Synology
        "#snapshot",
        "$recycle.bin",  # Windows
        "@eadir",  # Synology
        "@recently-snapshot",  # QNAP
        "@recycle",
        "@tmp",
        "@__thumb",
        "__macosx",  # archives that macOS packs
        "__pycache__",
        "desktop.ini",  # Windows
        "ehthumbs.db",
        "ehthumbs_vista.db",
        "lost+found",  # Linux
        "network trash folder",  # macOS
        "recycler",
        "system volume information",
        "temporary items",
        "thumbs.db",
    }
)
"""Names, in lower case, of files and folders that systems and tools add to folders."""

HIDDEN = "hidden or made by a tool"


def passed_over(path: str) -> bool:
    """Whether a file or one of its folders is hidden or a tool's, by the path's names alone.

    >>> passed_over("night/@eaDir/a.png"), passed_over("._a.png"), passed_over("night/a.png")
    (True, True, False)
    """
    return any(part.startswith(".") or part.lower() in ADDED for part in path.split("/"))


def below(root: str | os.PathLike, tally: Tally) -> dict[str, pathlib.Path]:
    """Every regular file below a folder, by its path from there with "/", sorted.

    Links are followed, also to other file systems. A folder is entered once, however many links
    lead to it, and a link to a folder that it lies in is not followed.

    Args:
      root: the folder; its own name is not looked at.
      tally: counts what is left out.
    """
    root = pathlib.Path(root)
    found: dict[str, pathlib.Path] = {}
    seen: set[tuple[int, int]] = set()
    folders: list[tuple[str, pathlib.Path]] = [("", root)]
    links: list[tuple[str, pathlib.Path]] = []
    while folders or links:
        prefix, folder = folders.pop() if folders else links.pop(0)
        try:
            status = os.stat(folder)
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            tally.leave_out("folder", "that cannot be opened", f"{folder}: {error.strerror}")
            continue
        if (status.st_dev, status.st_ino) in seen:
            tally.leave_out("folder", "shown by another link, too", prefix[:-1])
            continue
        seen.add((status.st_dev, status.st_ino))
        for entry in entries:
            name, path = f"{prefix}{entry.name}", pathlib.Path(entry.path)
            if passed_over(entry.name):
                tally.leave_out("folder" if os.path.isdir(path) else "file", HIDDEN, name)
            elif os.path.isfile(path):
                found[name] = path
            elif not os.path.isdir(path):
                what = "leading nowhere" if entry.is_symlink() else "with no content of its own"
                tally.leave_out("link" if entry.is_symlink() else "file", what, name)
            elif not entry.is_symlink():
                folders.append((f"{name}/", path))
            elif _is_inside(folder, path) or _is_inside(root, path):
                tally.leave_out("link", "leading back to its own folder", name)
            else:
                links.append((f"{name}/", path))
    return dict(sorted(found.items()))


def linked(root: str | os.PathLike) -> Iterator[str]:
    """The links to folders that `below` follows from a folder, or would if it came that way."""
    root, seen = pathlib.Path(root), set[str]()
    folders = [root]
    while folders:
        folder = folders.pop()
        if (real := os.path.realpath(folder)) in seen:
            continue
        seen.add(real)
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                path = pathlib.Path(entry.path)
                if passed_over(entry.name) or not entry.is_dir():
                    continue
                if entry.is_symlink():
                    if _is_inside(folder, path) or _is_inside(root, path):
                        continue
                    yield entry.path
                folders.append(path)


def _is_inside(inner: pathlib.Path, outer: pathlib.Path) -> bool:
    """Whether a folder is another one or lies in it, after all links."""
    return pathlib.Path(os.path.realpath(inner)).is_relative_to(os.path.realpath(outer))
