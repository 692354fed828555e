"""One writer for each part of a folder; one whose holder is gone is taken over."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from support.waiting import PATIENCE

from labor_jax.util import lock
from labor_jax.util.errors import UserError

HOLD = """
import sys
from labor_jax.util import lock
with lock.hold(sys.argv[1], sys.argv[2], "labor-jax run"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def holder(workdir, part=lock.RUN):
    """Another process that holds a lock."""
    command = [sys.executable, "-c", HOLD, str(workdir), part]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.fixture
def at_once(monkeypatch):
    """Refusals come without patience."""
    monkeypatch.setattr(lock, "PATIENCE", 0.0)


def take(workdir, part=lock.RUN):
    with lock.hold(workdir, part, "labor-jax run"):
        pass


def refusal(workdir, part=lock.RUN):
    with pytest.raises(UserError) as refused:
        take(workdir, part)
    return str(refused.value)


@pytest.mark.usefixtures("at_once")
def test_a_second_writer_is_told_who_holds_it_and_a_normal_end_leaves_nothing(tmp_path):
    with holder(tmp_path / "run") as process:
        line = refusal(tmp_path / "run")
        assert f"process {process.pid} on " in line and "labor-jax run" in line
        assert line.startswith(f"--workdir: {tmp_path / 'run'} is being written by ")
        process.communicate("")
        assert not (tmp_path / "run").exists(), "nor a folder that nothing was written to"
    take(tmp_path / "run")


@pytest.mark.usefixtures("at_once")
def test_the_two_parts_of_a_folder_have_a_writer_each(tmp_path):
    with holder(tmp_path, lock.ANSWERS):
        take(tmp_path, lock.RUN)
        assert "is being annotated already by" in refusal(tmp_path, lock.ANSWERS)


@pytest.mark.usefixtures("at_once")
def test_a_writer_is_alone_in_its_own_process_too_and_lets_go_after_an_error(tmp_path):
    with pytest.raises(RuntimeError), lock.hold(tmp_path, lock.RUN, "labor-jax run"):
        assert f"process {os.getpid()} on " in refusal(tmp_path)
        raise RuntimeError
    take(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_killed_writer_holds_nothing_even_before_its_parent_has_noticed(tmp_path):
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
        take(tmp_path)
    assert not list(tmp_path.iterdir())


def write(workdir, silent=0.0, **other):
    """A lock of a process like this one but for some values, touched so many seconds ago."""
    me = {"what": "labor-jax run", **lock._myself(), "since": time.time(), "id": "x"}
    path = lock.path(workdir, lock.RUN)
    path.write_text(json.dumps(me | other))
    os.utime(path, (time.time() - silent,) * 2)


@pytest.mark.usefixtures("at_once")
def test_another_process_with_the_number_of_a_dead_one_does_not_hold_its_lock(tmp_path):
    write(tmp_path)
    assert f"process {os.getpid()}" in refusal(tmp_path)
    write(tmp_path, start="0")
    take(tmp_path)


@pytest.mark.parametrize("other", [{"host": "node7"}, {"place": "another container"}])
@pytest.mark.usefixtures("at_once")
def test_a_writer_that_cannot_be_looked_up_lives_as_long_as_it_gives_signs_of_life(tmp_path, other):
    write(tmp_path, silent=30, **other)
    line = refusal(tmp_path)
    if "host" in other:
        assert "on node7" in line and "last sign of life was 3" in line and "120 s" in line
    write(tmp_path, silent=lock.SILENT + 5, **other)
    take(tmp_path)


def test_after_a_reboot_a_lock_is_nobodys_at_once(tmp_path):
    booted = lock._booted()
    if booted is None:
        pytest.skip("this system does not tell when it was started")
    write(tmp_path, silent=time.time() - booted + 5, place="the boot before")
    take(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\x00\x00\x00\x00"])
def test_half_a_lock_of_a_power_cut_is_nobodys(tmp_path, text):
    path = lock.path(tmp_path, lock.RUN)
    path.write_text(text)
    os.utime(path, (time.time() - 5,) * 2)
    take(tmp_path)


def test_a_holder_touches_its_lock_and_stops_when_another_took_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lock, "BEAT", 0.02)
    sent = threading.Event()
    monkeypatch.setattr(lock, "_interrupt", sent.set)
    path = lock.path(tmp_path, lock.RUN)
    with lock.hold(tmp_path, lock.RUN, "labor-jax run"):
        os.utime(path, (0, 0))
        while path.stat().st_mtime == 0:
            time.sleep(0.01)
        assert not sent.is_set()
        path.write_text("another's")
        assert sent.wait(PATIENCE)
    assert path.read_text() == "another's", "what is another's stays"
    assert "was taken over by another writer" in capsys.readouterr().err


RACE = """
import os, pathlib, sys, time
from labor_jax.util import lock
from labor_jax.util.errors import UserError
workdir, inside = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[1], "inside")
print("ready", flush=True)
sys.stdin.readline()
try:
    with lock.hold(workdir, lock.RUN, "racer"):
        os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
        time.sleep(0.05)
        inside.unlink()
    print("held")
except UserError:
    print("refused")
except FileExistsError:
    print("two at once")
"""


@pytest.mark.parametrize("stale", [False, True])
def test_of_many_that_come_at_once_there_are_never_two(tmp_path, stale):
    if stale:
        write(tmp_path, start="0")
    pipe, racers = subprocess.PIPE, []
    for _ in range(4):
        command = [sys.executable, "-c", RACE, str(tmp_path)]
        racers.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    ends = [racer.communicate(timeout=PATIENCE)[0].strip() for racer in racers]
    assert set(ends) <= {"held", "refused"} and "held" in ends, ends
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("at_once")
def test_where_there_are_no_hard_links_a_lock_is_taken_all_the_same(tmp_path, monkeypatch):
    def none(*_):
        raise PermissionError(1, "no hard links here")

    monkeypatch.setattr(lock.os, "link", none)
    with lock.hold(tmp_path, lock.RUN, "labor-jax run"):
        assert f"process {os.getpid()}" in refusal(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_writer_that_is_about_to_end_is_waited_for_a_moment(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", PATIENCE)  # the end may come late
    with lock.hold(tmp_path, lock.RUN, "one"):
        threading.Timer(0.2, lock.path(tmp_path, lock.RUN).unlink).start()
        take(tmp_path)
