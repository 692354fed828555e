"""The images that a run asks about, as they were when they were asked: later changes are told.

Each stage has a file, `queries/images_N.jsonl`, with a line for each image, in the domain's order:

    "image"     the image's id
    "bytes"     the size of its file; null where images are no files of their own
    "crc32"     the CRC-32 of the file's content
    "mtime_ns"  when the file was written last; while it is the same, the content is not read again

The images of stage 1 are the run's images. An image that went or changed since is left out: it is
neither asked about nor trained on, its answers stay in the journal, and it counts again once it is
as it was. One that came since is not used.
"""

import functools
import json
import os
import pathlib
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from labor_jax.annotation import queries as q
from labor_jax.data.domain import Domain
from labor_jax.util import files, hosts
from labor_jax.util.errors import UserError

__all__ = [
    "Changes",
    "Print",
    "changes",
    "check_complete",
    "describe",
    "path",
    "prints",
    "remaining",
    "remember",
    "same",
]


SHOWN = 3
"""How many names of a kind of change are told."""

Print = dict[str, Any]
"""A line of the file without its "image"; {} for an image of which nothing is known."""


class Changes(NamedTuple):
    """The ids of the images that came, went or changed since they were asked about."""

    came: tuple[str, ...] = ()
    went: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def path(workdir: str | os.PathLike, stage: int) -> pathlib.Path:
    """The file of a stage."""
    return pathlib.Path(workdir, "queries", f"images_{stage}.jsonl")


def remember(workdir: str | os.PathLike, stage: int, domain: Domain) -> None:
    """Writes a stage's file; all processes call it, and each reads its share of the images."""
    before = prints(workdir)
    mine = [_print_of(domain, i, before.get(domain.ids[i])) for i in hosts.share(len(domain.ids))]
    everything = hosts.gather(mine)
    if hosts.first():
        lines = (
            json.dumps({"image": image, **of}) + "\n"
            for image, of in zip(domain.ids, everything, strict=True)
        )
        files.write_atomic(path(workdir, stage), (line.encode() for line in lines))


def prints(workdir: str | os.PathLike, stage: int = 1) -> dict[str, Print]:
    """What a stage's file knows of each image, in order; of no image where nothing was asked yet.

    A run of an earlier version has no such file. Its images are those of its queries.

    Raises:
      UserError: a file is damaged.
    """
    file = path(workdir, stage)
    if not file.exists():
        return {query["image"]: {} for query in q.each_query(workdir, stage)}
    try:
        lines = [line for _, line in files.json_lines(file)]
        return {line["image"]: {k: line[k] for k in line if k != "image"} for line in lines}
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{file}: damaged; restore it from a copy, or delete it to take the images as they are"
        ) from None


def changes(workdir: str | os.PathLike, domain: Domain) -> Changes:
    """How a domain differs from the images that a run asked about; all processes get the same.

    Raises:
      UserError: none of them is there as it was, or a file is damaged.
    """
    known = prints(workdir)
    if not known:
        return Changes()
    index = {image: i for i, image in enumerate(domain.ids)}
    there = [image for image in known if image in index]
    mine = [same(domain, index[there[i]], known[there[i]]) for i in hosts.share(len(there))]
    as_it_was = dict(zip(there, hosts.gather(mine), strict=True))
    found = Changes(
        came=tuple(image for image in domain.ids if image not in known),
        went=tuple(image for image in known if image not in index),
        changed=tuple(image for image, is_same in as_it_was.items() if not is_same),
    )
    if not any(as_it_was.values()):
        raise UserError(
            f"config.target: {domain.name} has none of the {len(known)} images that this run asks "
            f"about as they were; give the folder that has them, or start in another --workdir"
        )
    return found


def remaining(domain: Domain, found: Changes) -> Domain:
    """The domain of the images that are as they were."""
    left_out = {*found.came, *found.changed}
    if not left_out:
        return domain
    return domain.take([i for i, image in enumerate(domain.ids) if image not in left_out])


def describe(found: Changes, domain: Domain) -> str | None:
    """A line that says what came, went or changed; None where nothing did."""
    kinds = [
        f"{len(images)} {what} ({', '.join(images[:SHOWN])}{', …' if len(images) > SHOWN else ''})"
        for what, images in zip(Changes._fields, found, strict=True)
        if images
    ]
    if not kinds:
        return None
    left = len(remaining(domain, found).ids)
    return (
        f"{domain.name}: since this run first asked about its images, {', '.join(kinds)}; "
        f"it goes on with the {left} that are as they were"
    )


def same(domain: Domain, index: int, known: Print) -> bool:
    """Whether an image is there as it was."""
    if domain.file is None:
        return True
    if known.get("crc32") is None:
        return domain.file(index).exists()
    now = _print_of(domain, index, known)
    return (now["bytes"], now["crc32"]) == (known["bytes"], known["crc32"])


def _print_of(domain: Domain, index: int, before: Print | None = None) -> Print:
    """What is remembered of an image; `before`, what was known of it, may save reading its file."""
    if domain.file is None:
        return {"bytes": None, "crc32": None, "mtime_ns": None}
    file = domain.file(index)
    try:
        stat = file.stat()
        if before and (before.get("bytes"), before.get("mtime_ns")) == (
            stat.st_size,
            stat.st_mtime_ns,
        ):
            return before
        crc = _checksum(file, stat.st_size, stat.st_mtime_ns)
        return {"bytes": stat.st_size, "crc32": crc, "mtime_ns": stat.st_mtime_ns}
    except OSError:  # it is gone, or cannot be read: not as it was
        return {"bytes": -1, "crc32": -1, "mtime_ns": -1}


@functools.lru_cache(maxsize=2**16)
def _checksum(file: pathlib.Path, size: int, mtime_ns: int) -> int:
    """The CRC-32 of a file's content; size and time tell one content from another."""
    found = 0
    with open(file, "rb") as opened:
        while part := opened.read(2**20):
            found = zlib.crc32(part, found)
    return found


def check_complete(workdir: str | os.PathLike, stage: int) -> None:
    """Checks that a stage's queries are about its images: a copy may lack the last lines.

    Raises:
      UserError: a file is damaged.
    """
    q.check_complete(workdir, stage, _images(workdir, stage))


def _images(workdir: str | os.PathLike, stage: int) -> Iterable[str]:
    """The images of a stage; those of stage 1 where an earlier version wrote no file of it."""
    return prints(workdir, stage if path(workdir, stage).exists() else 1)
