"""What a file is that was meant to be another, by its first bytes, and what to do about it."""

import re

__all__ = ["BEGIN", "mistaken"]


BEGIN = 4096
"""How many bytes of a file's begin `mistaken` looks at."""

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


def mistaken(begin: bytes) -> str | None:
    """What a file is instead, with the mend, to follow its name in an error; None if unknown.

    Args:
      begin: its first bytes, `BEGIN` of them if it has as many.

    >>> mistaken(b"version https://git-lfs.github.com/spec/v1")
    'is a Git LFS pointer and not the file itself; run `git lfs pull` in its repository'
    >>> mistaken(bytes(100)) is None
    True
    """
    if not begin:
        return "is empty: its download broke off, or the disk was full; download it once more"
    if begin.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer and not the file itself; run `git lfs pull` in its repository"
    text = begin.removeprefix(b"\xef\xbb\xbf").lstrip().decode("utf-8", "replace")
    if re.match(r"<(!doctype html|html|head|script)\b", text, re.IGNORECASE):
        title = re.search(r"<title[^>]*>\s*(.*?)\s*</title>", text, re.IGNORECASE | re.DOTALL)
        named = f" ({' '.join(title[1].split())[:80]!r})" if title else ""
        return f"is a web page{named} and not the file; get it from its address in a browser"
    if re.match(r"<(\?xml|error)\b", text, re.IGNORECASE):
        told = re.search(r"<(?:Code|Message)>(.*?)</", text)
        named = f" ({told[1][:80]})" if told else ""
        return (
            f"is an XML text{named}, as a server sends it in place of a file that it does not have "
            f"or give; see in a browser what its address needs"
        )
    if re.match(r'[{\[]\s*["{\[\]}]', text):
        return "is a JSON text and not the file; give the file that it belongs to or tells of"
    for magic, name in _ARCHIVES:
        if begin.startswith(magic):
            return f"is a {name} archive; unpack it, and give the file in it"
    if begin[257:262] == b"ustar":
        return "is a tar archive; unpack it, and give the file in it"
    for magic, name in _OTHERS:
        if begin.startswith(magic):
            return f"is {name}; give another file"
    return None
