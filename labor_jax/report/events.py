"""TensorBoard's event files, written without TensorFlow or torch.

Other writers without these use a thread, whose errors nobody sees: a full disk would go unnoticed.

A file is a sequence of TFRecords: the data's length (8 bytes), the length's checksum (4), the data,
and the data's checksum (4). The data is a protocol buffer, `Event`.
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
    """CRC-32C of data, masked as in TFRecord files: rotated by 15 bits, plus a constant."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _varint(number: int) -> bytes:
    """A number as protocol buffers write it: seven bits a byte, the lowest first."""
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def _message(field: int, data: bytes) -> bytes:
    """A field of a protocol buffer that holds bytes, a string or another message."""
    return _varint(field << 3 | 2) + _varint(len(data)) + data


class Events:
    """An event file that is being written.

    Raises, where it is made and in every method:
      OSError: the file cannot be written, for example because the disk is full.
    """

    def __init__(self, folder: str | os.PathLike, first_step: int) -> None:
        """Begins a new file in a folder.

        Args:
          folder: made if it does not exist.
          first_step: TensorBoard does not show what earlier files have from this step on.
        """
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        # The time and the process's number make a restart's name another, and a later one.
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self._file = open(pathlib.Path(folder, name), "wb", buffering=0)  # noqa: SIM115
        self._write(0, _message(3, b"brain.Event:2"))
        self._write(first_step, _message(7, b"\x08\x01"))  # a session log whose status is START

    def scalar(self, name: str, value: float, step: int) -> None:
        """Appends a curve's value at a step."""
        point = _message(1, name.encode()) + b"\x15" + struct.pack("<f", value)
        self._write(step, _message(5, _message(1, point)))

    def close(self) -> None:
        """Closes the file. Nothing is buffered: all values are in it already."""
        self._file.close()

    def _write(self, step: int, what: bytes) -> None:
        event = b"\x09" + struct.pack("<d", time.time()) + b"\x10" + _varint(step) + what
        length = struct.pack("<Q", len(event))
        check = (struct.pack("<I", checksum(part)) for part in (length, event))
        self._file.write(length + next(check) + event + next(check))
