"""PNG files bit by bit, of depths that no library writes."""

import struct
import zlib

import numpy as np

GREY, PALETTE = 0, 3
"""Colour types of a PNG with one channel."""


def png(values: np.ndarray, depth: int, colour: int) -> bytes:
    """A PNG of numbers [H, W] with 1, 2, 4, 8 or 16 bits each."""
    height, width = values.shape
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", head)]
    if colour == PALETTE:
        parts.append(chunk(b"PLTE", bytes(n * 41 % 256 for n in range(3 * 2**depth))))
    rows = b"".join(b"\0" + _packed(row, depth) for row in values)
    return b"".join([*parts, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")])


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _packed(row: np.ndarray, depth: int) -> bytes:
    bits = "".join(f"{int(value):0{depth}b}" for value in row)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
