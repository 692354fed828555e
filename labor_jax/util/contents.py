"""What a file is that was meant to be another, by its first bytes, and what to do about it."""

import re
from typing import NamedTuple

__all__ = ["BEGIN", "Content", "mistaken", "recognised"]


BEGIN = 4096
"""How many bytes of a file's begin `mistaken` looks at."""

UNPACK = "unpack it, and give the file in it"

_ARCHIVES = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!", "RAR"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
)
_OTHERS = (
    (b"\x89HDF\r\n", "an HDF5 file, as Keras writes it"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GGUF", "a GGUF file"),
)


class Content(NamedTuple):
    """What a file is.

    Attributes:
      what: with its article, such as "a gzip archive"; the same for all files of a kind.
      detail: what follows in a sentence, with its space or colon; may be "".
      mend: what to do about it.
    """

    what: str
    detail: str
    mend: str


def mistaken(begin: bytes) -> str | None:
    """What a file is instead, with the mend, to follow its name in an error; None if unknown.

    Args:
      begin: its first bytes, `BEGIN` of them if it has as many.

    >>> mistaken(b"version https://git-lfs.github.com/spec/v1")
    'is a Git LFS pointer and not the file itself; run `git lfs pull` in its repository'
    >>> mistaken(bytes(100)) is None
    True
    """
    found = recognised(begin) or _text(begin)
    return found and f"is {found.what}{found.detail}; {found.mend}"


def recognised(begin: bytes) -> Content | None:
    """What a file is that was meant to be a file of data, JSON and XML included; None if unknown.

    Args:
      begin: as for `mistaken`.
    """
    if not begin:
        broke_off = ": its download broke off, or the disk was full"
        return Content("empty", broke_off, "download it once more")
    if begin.startswith(b"version https://git-lfs"):
        mend = "run `git lfs pull` in its repository"
        return Content("a Git LFS pointer", " and not the file itself", mend)
    text = _decoded(begin)
    if re.match(r"<(!doctype html|html|head|script)\b", text, re.IGNORECASE):
        title = re.search(r"<title[^>]*>\s*(.*?)\s*</title>", text, re.IGNORECASE | re.DOTALL)
        named = f" ({' '.join(title[1].split())[:80]!r})" if title else ""
        mend = "get it from its address in a browser"
        return Content("a web page", f"{named} and not the file", mend)
    for magic, name in _ARCHIVES:
        if begin.startswith(magic):
            return Content(f"a {name} archive", "", UNPACK)
    if begin[257:262] == b"ustar":
        return Content("a tar archive", "", UNPACK)
    for magic, name in _OTHERS:
        if begin.startswith(magic):
            return Content(name, "", "give another file")
    return None


def _text(begin: bytes) -> Content | None:
    """XML or JSON in place of a file that is neither."""
    text = _decoded(begin)
    if re.match(r"<(\?xml|error)\b", text, re.IGNORECASE):
        told = re.search(r"<(?:Code|Message)>(.*?)</", text)
        named = f" ({told[1][:80]})" if told else ""
        return Content(
            "an XML text",
            f"{named}, as a server sends it in place of a file that it does not have or give",
            "see in a browser what its address needs",
        )
    if re.match(r'[{\[]\s*["{\[\]}]', text):
        mend = "give the file that it belongs to or tells of"
        return Content("a JSON text", " and not the file", mend)
    return None


def _decoded(begin: bytes) -> str:
    return begin.removeprefix(b"\xef\xbb\xbf").lstrip().decode("utf-8", "replace")
