"""A file that was meant to be another is told by what it is, with the way out."""

import gzip
import io
import tarfile

import pytest

from labor_jax.util import contents


def tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(tarfile.TarInfo("a"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("begin", "words"),
    [
        (b"", ["is empty", "download it once more"]),
        (b"version https://git-lfs.github.com/spec/v1\noid x", ["Git LFS", "`git lfs pull`"]),
        (b"\n <!DOCTYPE HTML><html><title>\n Sign in </title>", ["web page ('Sign in')"]),
        (b"\xef\xbb\xbf<html lang=de><body>", ["web page and"]),
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code>", ["XML", "NoSuchKey"]),
        (b'{"error": "not found"}', ["JSON"]),
        (b"[]", ["JSON"]),
        (gzip.compress(b"x", mtime=0), ["gzip archive; unpack it"]),
        (tar()[: contents.BEGIN], ["tar archive; unpack it"]),
        (b"Rar!\x1a\x07", ["RAR archive"]),
        (b"\x89HDF\r\n\x1a\n", ["HDF5", "give another file"]),
        (b"\x89PNG\r\n\x1a\n", ["PNG image"]),
    ],
)
def test_what_a_file_is_instead_is_told(begin, words):
    told = contents.mistaken(begin)
    assert told is not None and "\n" not in told
    assert all(word in told for word in words), told


@pytest.mark.parametrize(
    "begin", [b"PK\3\4", b"\x80\x02}q\0.", b"\x08\0\0\0\0\0\0\0{}      ", bytes(300), b"hello"]
)
def test_what_may_be_right_is_not_called_something_else(begin):
    assert contents.mistaken(begin) is None
