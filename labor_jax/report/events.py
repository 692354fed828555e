"""TensorBoard's event files, without TensorFlow or torch, and without a thread that fails unseen.

A file is a sequence of records: the length (8 bytes), its checksum (4), the data, its checksum (4);
the data is a protocol buffer `Event`, of which three kinds of field are used here.
"""

import os
import pathlib
import socket
import struct
import time

_TABLE = []
for _byte in range(256):
    for _ in range(8):
        _byte = _byte >> 1 ^ (0x82F63B78 if _byte & 1 else 0)
    _TABLE.append(_byte)


def checksum(data: bytes) -> int:
    """CRC-32C, rotated and shifted as TFRecord files have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def _message(field: int, data: bytes) -> bytes:
    """A field that holds bytes, a string or another message."""
    return _varint(field << 3 | 2) + _varint(len(data)) + data


class Events:
    """A new event file in a folder.

    Args:
      folder: made if it is not there.
      first_step: what earlier files of the folder have from this step on is hidden.

    Raises, as all its methods do:
      OSError: the disk is full, say.
    """

    def __init__(self, folder: str | os.PathLike, first_step: int) -> None:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        # Nanoseconds and the process keep the names of restarts apart, and in order.
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self._file = open(pathlib.Path(folder, name), "wb", buffering=0)  # noqa: SIM115
        self._write(0, _message(3, b"brain.Event:2"))
        self._write(first_step, _message(7, b"\x08\x01"))  # a session log whose status is START

    def scalar(self, name: str, value: float, step: int) -> None:
        """Appends one value of one curve."""
        point = _message(1, name.encode()) + b"\x15" + struct.pack("<f", value)
        self._write(step, _message(5, _message(1, point)))

    def close(self) -> None:
        """Closes the file; everything is in it already."""
        self._file.close()

    def _write(self, step: int, what: bytes) -> None:
        event = b"\x09" + struct.pack("<d", time.time()) + b"\x10" + _varint(step) + what
        length = struct.pack("<Q", len(event))
        check = (struct.pack("<I", checksum(part)) for part in (length, event))
        self._file.write(length + next(check) + event + next(check))
