"""Files that appear at once or not at all."""

import errno
import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from labor_jax.util import files


def test_a_file_holds_what_was_written_and_nothing_lies_beside_it(tmp_path):
    files.write_atomic(tmp_path / "deep" / "a.bin", b"\x00one")
    files.write_atomic(tmp_path / "deep" / "a.bin", b"two")
    assert (tmp_path / "deep" / "a.bin").read_bytes() == b"two"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.bin"]


def test_json_comes_back_as_it_went(tmp_path):
    value = {"a": [1, 2.5, None], "ü": {"b": "text"}}
    files.write_json(tmp_path / "a.json", value)
    assert files.read_json(tmp_path / "a.json") == value


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_is_told_by_name(tmp_path, monkeypatch, fails):
    path = tmp_path / "a.json"
    files.write_json(path, {"old": True})

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, fails, full)
    with pytest.raises(OSError, match="No space left") as error:
        files.write_json(path, {"old": False})
    assert error.value.filename == str(path)
    assert files.read_json(path) == {"old": True}
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_killed_before_the_renaming_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"old": True})
    code = (
        "import os, signal\n"
        "from labor_jax.util import files\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        f"files.write_json({str(path)!r}, {{'old': False}})"
    )
    root = pathlib.Path(__file__).parent.parent
    died = subprocess.run([sys.executable, "-c", code], cwd=root)
    assert died.returncode == -signal.SIGKILL
    assert files.read_json(path) == {"old": True}


def test_what_a_killed_process_left_is_removed_and_what_is_being_written_is_not(tmp_path):
    (tmp_path / "deep").mkdir()
    dead = tmp_path / "deep" / ".a.png.4194999.partial"  # above the largest number of a process
    alive = tmp_path / f".b.json.{os.getpid()}.partial"
    foreign = tmp_path / ".film.partial"
    for path in (dead, alive, foreign, tmp_path / "c.json"):
        path.touch()
    files.remove_partial(tmp_path)
    assert not dead.exists() and alive.exists() and (tmp_path / "c.json").exists()
    assert foreign.exists(), "it is not ours"


def test_lines_are_found_again_by_their_key_without_being_held(tmp_path):
    path = tmp_path / "a.jsonl"
    values = [{"key": "ä", "n": 1}, {"key": "b", "n": 2}, {"key": "ä", "n": 3}]
    path.write_text("".join(json.dumps(v, ensure_ascii=False) + "\n" for v in values))
    index = files.Index((path, place, value["key"]) for place, value in files.json_lines(path))
    with open(path, "a") as file:
        file.write('{"key": "b", "n"')
    assert dict(index) == {"ä": values[::2], "b": values[1:2]}
    assert [value for _, value in files.json_lines(path, growing=True)] == values
    with pytest.raises(ValueError):
        list(files.json_lines(path))
    assert list(files.json_lines(tmp_path / "not there")) == []


def test_the_folders_of_a_new_file_are_synced_after_the_rename(tmp_path, monkeypatch):
    done = []
    sync, rename = os.fsync, os.replace

    def note(number):
        sync(number)
        done.append(pathlib.Path(os.readlink(f"/proc/self/fd/{number}")))

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("this system does not tell what is open")
    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "replace", lambda *paths: (rename(*paths), done.append("renamed")))
    files.write_atomic(tmp_path / "new" / "deep" / "a", b"x")
    after = done[done.index("renamed") + 1 :]
    assert set(after) == {tmp_path / "new" / "deep", tmp_path / "new", tmp_path}


def test_a_file_system_that_cannot_sync_folders_is_written_all_the_same(tmp_path, monkeypatch):
    sync = os.fsync

    def files_only(number):
        if os.path.isdir(f"/proc/self/fd/{number}"):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync(number)

    monkeypatch.setattr(os, "fsync", files_only)
    files.write_atomic(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_bytes() == b"x"


def test_partial_folders_of_dead_processes_are_removed(tmp_path):
    for process in (999_999_999, os.getpid()):
        (tmp_path / f".files.{process}.partial" / "deep").mkdir(parents=True)
    files.remove_partial(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f".files.{os.getpid()}.partial"]
