"""TensorBoard's event files, read back by another implementation."""

import struct

import pytest
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.record_writer import masked_crc32c

from labor_jax.report.events import Events, checksum


def read(path):
    data, events = path.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        body = data[12 : 12 + length]
        assert struct.unpack("<I", data[8:12])[0] == masked_crc32c(data[:8])
        assert struct.unpack("<I", data[12 + length : 16 + length])[0] == masked_crc32c(body)
        events.append(Event.FromString(body))
        data = data[16 + length :]
    return events


def test_the_checksum_is_the_known_one_of_the_known_text():
    crc = 0xE3069283  # CRC-32C of these nine digits, RFC 3720
    assert checksum(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32


@pytest.mark.parametrize("step", [0, 1, 127, 128, 70_000, 2**40])
def test_a_scalar_comes_back_with_its_name_and_step(tmp_path, step):
    events = Events(tmp_path / "new", first_step=3)
    events.scalar("adapt/loss ü", -0.25, step)
    events.close()
    (path,) = (tmp_path / "new").iterdir()
    version, start, point = read(path)
    assert version.file_version == "brain.Event:2" and "tfevents" in path.name
    assert (start.step, start.session_log.status) == (3, start.session_log.START)
    (value,) = point.summary.value
    assert (point.step, value.tag, value.simple_value) == (step, "adapt/loss ü", -0.25)
    assert version.wall_time <= start.wall_time <= point.wall_time


def test_a_value_is_on_disk_at_once_and_a_restart_has_a_file_of_its_own(tmp_path):
    first = Events(tmp_path, 1)
    first.scalar("a", 1.0, 1)
    second = Events(tmp_path, 2)
    assert sorted(len(read(path)) for path in tmp_path.iterdir()) == [2, 3]
    assert [len(read(path)) for path in sorted(tmp_path.iterdir())] == [3, 2]
    first.close()
    second.close()
