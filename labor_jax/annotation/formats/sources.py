"""The files of an export as they come: one file, a folder, or a zip archive as downloaded.

Links are followed. What tools and systems leave beside them (`._a.json`, `__MACOSX`, hidden
folders) is passed over.
"""

import codecs
import contextlib
import functools
import io
import json
import pathlib
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple
from xml.etree import ElementTree

from labor_jax.util import contents, folders
from labor_jax.util.errors import UserError
from labor_jax.util.tally import LeftOut, Tally, one_line

MOST = 2**28
"""How many bytes a file in an archive may have."""
SMALL, RATIO = 2**24, 100
"""A file in an archive that has more bytes than this may be so many times as large as packed."""
DEEPEST = 3
"""How many archives may lie in each other."""
LOCKED, DEEP, LARGE, OTHER = (
    "with a password",
    "too deep in others",
    "of a suspicious size",
    "of another kind",
)
"""Reasons whose examples say what can be done."""
ARCHIVES = (".zip", ".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".txz", ".xz", ".zst")
"""The endings of archives; those that are no zip are told."""


class Member(NamedTuple):
    """A file of an export: its path in it, and a function that reads it."""

    name: str
    read: Callable[[], bytes]


@contextlib.contextmanager
def opened(path: pathlib.Path, endings: tuple[str, ...], tally: Tally) -> Iterator[list[Member]]:
    """The files of some endings in a folder or an archive, sorted by path; or the one file itself.

    Args:
      path: a file, a folder, or a zip archive. Archives in a folder or an archive are opened, too.
      endings: of names in lower case, such as ".xml".
      tally: counts archives and files in them that cannot be opened.
    Raises:
      UserError: an archive that was given alone cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        if not path.is_dir():
            if zipfile.is_zipfile(path):
                yield _unpacked(path, str(path), endings, stack, tally)
            else:
                yield [_file(path, path.parent)]
            return
        found, passed = [], Tally("file")
        for name, file in folders.below(path, passed).items():
            if name.lower().endswith(endings):
                found.append(_file(file, path))
            elif name.lower().endswith(ARCHIVES):
                with tally.spare("archive", name):
                    found += _unpacked(file, name, endings, stack, tally)
        # Beside what is exported lie the images: what is passed over there matters to nobody.
        if not found:
            tally.merge(passed)
        yield found


def _file(path: pathlib.Path, root: pathlib.Path) -> Member:
    return Member(path.relative_to(root).as_posix(), path.read_bytes)


def _unpacked(
    file: pathlib.Path | IO[bytes],
    name: str,
    endings: tuple[str, ...],
    stack: contextlib.ExitStack,
    tally: Tally,
    depth: int = 1,
) -> list[Member]:
    """The files of some endings in a zip archive, which is open until the stack is closed.

    Args:
      name: of the archive, for messages.
      depth: how many archives lie around these files.
    """
    if depth > DEEPEST:
        raise LeftOut(DEEP, "unpack it")
    try:
        archive = stack.enter_context(zipfile.ZipFile(file))
    except Exception as error:  # zipfile raises what its damaged numbers lead to
        why = one_line(error)
        told = f"{name}: no zip, or a damaged archive ({why}); unpack it, or download it again"
        raise UserError(told) from None
    found = []
    for info in sorted(archive.infolist(), key=lambda info: info.filename):
        inside = info.filename.replace("\\", "/")
        if folders.passed_over(inside):
            continue
        # The folder that systems make when they pack one says nothing.
        inside = inside.removeprefix(f"{pathlib.PurePath(name).stem}/")
        if inside.lower().endswith(endings):
            found.append(Member(inside, functools.partial(_unpack, archive, info)))
        elif inside.lower().endswith(ARCHIVES):
            with tally.spare("archive", f"{name}: {inside}"):
                inner = io.BytesIO(_unpack(archive, info))
                found += _unpacked(inner, inside, endings, stack, tally, depth + 1)
    return found


def _unpack(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.flag_bits & 1:
        raise LeftOut(LOCKED, "unpack the archive by its password and give the folder")
    most = min(MOST, max(SMALL, RATIO * info.compress_size))
    with archive.open(info) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise LeftOut(LARGE, f"over {most:,} bytes; unpack it if you trust it")
    return data


def json_of(data: bytes) -> Any:
    """The value of a JSON file, in UTF-8, UTF-16 or UTF-32, with a byte order mark or without.

    Bytes that are no UTF-8 are kept as surrogates: a file in an old encoding has letters of that
    kind in few places.

    Raises:
      LeftOut: it is no JSON.
    """
    _check_text(data)
    try:
        return json.loads(data.decode(json.detect_encoding(data), "surrogateescape"))
    except ValueError as error:
        raise LeftOut("not in JSON", str(error)) from None
    except RecursionError:
        raise LeftOut("not in JSON", "it is nested too deep") from None


def xml_of(data: bytes) -> ElementTree.Element:
    """The root of an XML file.

    Raises:
      LeftOut: it is no XML.
    """
    _check_text(data)
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    declared = re.match(rb"\s*<\?xml[^>]*encoding=[\"']([\w.-]+)", data)
    try:
        # The parser knows few encodings, and of text it does not believe what the first line says.
        encoding = "utf-16" if utf16 else declared[1].decode() if declared else "utf-8-sig"
        text = data.decode("utf-8-sig" if encoding.lower() == "utf-8" else encoding)
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise LeftOut("not in XML", str(error)) from None


def _check_text(data: bytes) -> None:
    """Raises LeftOut if a file is empty, or something else that people take for it."""
    if not data.strip():
        raise LeftOut("without content", "it is empty")
    if found := contents.recognised(data[: contents.BEGIN]):
        raise LeftOut(OTHER, f"it is {found.what}; {found.mend}")
    if data.startswith(b"PK\3\4"):
        raise LeftOut(OTHER, "it is a damaged zip archive; download it again")
