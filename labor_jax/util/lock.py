"""One writer for each part of a run's folder at a time; readers need no lock.

A run's folder has two parts, since a run and the people who answer work on it at once:

    RUN       all that a run writes: checkpoints, queries, label maps, scores, reports
    ANSWERS   the journal: the annotator's server or widget, an import, or a run's own oracle

A lock is a file that tells who holds it: process, host, and when the process started. The file
appears as a whole by a hard link, which network file systems also do atomically, and its holder
touches it every `BEAT` seconds. Where holder and reader are on one machine, the process table says
whether the holder is alive. Elsewhere, and after a reboot, the touches do: the file system's own
clock is compared, so that the hosts' clocks need not agree. A lock whose holder is gone is taken
over.

`one_at_a_time` is for work that others wait for and then find done, such as preparing a data set.
"""

import contextlib
import errno
import fcntl
import functools
import json
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from labor_jax.util.errors import UserError

__all__ = ["ANSWERS", "RUN", "hold", "one_at_a_time", "path"]


RUN, ANSWERS = "run", "answers"

BEAT = 15.0
"""Seconds between two touches of a lock by its holder."""
PATIENCE = 1.0
"""Seconds after which a second writer is refused."""
SILENT = 120.0
"""Seconds without a touch after which a holder on another host is taken to be gone."""


def path(workdir: str | os.PathLike, part: str) -> pathlib.Path:
    """The file that is there while somebody writes a part, RUN or ANSWERS, of a folder."""
    return pathlib.Path(workdir, f".{part}.lock")


@contextlib.contextmanager
def hold(workdir: str | os.PathLike, part: str, what: str) -> Iterator[None]:
    """Makes this process the only writer of a part of a folder.

    Args:
      workdir: a run's DIR, or that of a comparison; made if it does not exist.
      part: RUN or ANSWERS, or another name for what the folder is held for.
      what: what this process does, such as "labor-jax annotate", to be told to others.
    Raises:
      UserError: another writer has it; the message tells who that is.
    """
    lock, me = path(workdir, part), {"what": what, **_myself(), "since": time.time()}
    made = [folder for folder in lock.parents if not folder.exists()]
    lock.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(me | {"id": secrets.token_hex(8)})
    _take(lock, text)
    over = threading.Event()
    threading.Thread(target=_beat, args=(lock, text, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()
        if _read(lock) == text:
            lock.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # what was written stays
            for folder in made:
                folder.rmdir()


@contextlib.contextmanager
def one_at_a_time(file: pathlib.Path) -> Iterator[None]:
    """Holds a file's lock, for which others wait; the system releases it when the process dies."""
    with open(file, "w") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process that writes {file.parent}", file=sys.stderr)
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def _take(lock: pathlib.Path, text: str) -> None:
    """Makes the lock's file, with a text, where nobody who is alive has it."""
    mine = lock.with_name(
        f"{lock.name}.{socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"
    )
    patience = time.monotonic() + PATIENCE
    try:
        mine.write_text(text)
        while not _link(mine, lock):
            there = _read(lock)
            if there is None:  # it was released just now
                continue
            mine.touch()
            if not there and mine.stat().st_mtime - lock.stat().st_mtime < 1:
                time.sleep(0.1)  # it is being written, on a file system without hard links
                continue
            if (holder := _holder(there)) and _lives(holder, lock, mine):
                if time.monotonic() < patience:  # it may be about to end, or be dying of a kill
                    time.sleep(0.1)
                    continue
                raise UserError(_told(lock, holder, mine))
            _remove(lock, there)
    except OSError as error:
        error.filename = error.filename or str(lock)  # a full disk is told with the place
        raise
    finally:
        mine.unlink(missing_ok=True)


def _link(mine: pathlib.Path, lock: pathlib.Path) -> bool:
    """Makes a file appear under the lock's name too; returns whether the name was free."""
    try:
        os.link(mine, lock)
        return True
    except FileExistsError:
        # A network file system may have made the link, and lost the answer.
        return mine.stat().st_nlink == 2
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
    # A file system without hard links, such as FAT: the name is made first, and then the text.
    try:
        with open(lock, "x") as file:
            file.write(mine.read_text())
        return True
    except FileExistsError:
        return False


def _remove(lock: pathlib.Path, text: str) -> None:
    """Removes a lock whose holder is gone, unless another process was faster and has it now.

    The file is moved aside and looked at once more, since its name may be a new lock's by now.
    """
    aside = lock.with_name(f"{lock.name}.{os.getpid()}.{secrets.token_hex(4)}.gone")
    try:
        os.rename(lock, aside)
    except FileNotFoundError:
        return
    if _read(aside) != text:
        _link(aside, lock)
    aside.unlink(missing_ok=True)


def _read(lock: pathlib.Path) -> str | None:
    try:
        return lock.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError:
        return ""


def _holder(text: str) -> dict[str, Any] | None:
    """Who a lock's text names; None where it is no text of ours, as of a power cut."""
    try:
        told = json.loads(text)
        return told if {"what", "pid", "host", "place", "start", "since"} <= told.keys() else None
    except (ValueError, AttributeError):
        return None


def _lives(holder: dict[str, Any], lock: pathlib.Path, mine: pathlib.Path) -> bool:
    """Whether a lock's holder is alive; `mine` was touched just now, by the same clock."""
    me = _myself()
    if (holder["host"], holder["place"]) == (me["host"], me["place"]):
        started = _start_of(holder["pid"])
        return started is not None and started in ("", holder["start"])
    try:
        touched = lock.stat().st_mtime
    except FileNotFoundError:
        return False
    silent = mine.stat().st_mtime - touched
    if holder["host"] == me["host"] and touched < (_booted() or 0.0):
        return False  # this machine was started again since
    return silent < SILENT


def _told(lock: pathlib.Path, holder: dict[str, Any], mine: pathlib.Path) -> str:
    """The line that tells who holds a lock and what to do."""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder["since"]))
    who = f"{holder['what']}, process {holder['pid']} on {holder['host']}, since {since}"
    if holder["host"] == socket.gethostname():
        mend = "wait until it ends, or end it"
    else:
        with contextlib.suppress(OSError):
            seconds = max(0, int(mine.stat().st_mtime - lock.stat().st_mtime))
            who += f" (its last sign of life was {seconds} s ago)"
        mend = f"wait until it ends; if it is dead, that shows after {SILENT:.0f} s"
    busy = "annotated already" if lock.name == path("", ANSWERS).name else "written"
    return f"--workdir: {lock.parent} is being {busy} by {who}; {mend}"


def _beat(lock: pathlib.Path, text: str, over: threading.Event) -> None:
    """Touches a lock until it is released; ends the work if another process has taken it over."""
    while not over.wait(BEAT):
        there = _read_safely(lock)
        if there == text:
            with contextlib.suppress(OSError):
                os.utime(lock)
        elif there is not None and not over.is_set():
            print(
                f"{lock.parent} was taken over by another writer while this process slept; it ends",
                file=sys.stderr,
                flush=True,
            )
            _interrupt()
            return


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def _read_safely(lock: pathlib.Path) -> str | None:
    with contextlib.suppress(OSError):  # a network that is away for a while
        return _read(lock)
    return None


# ------------------------------------------------------------------------------- who one is


@functools.cache
def _of_machine() -> tuple[str, str]:
    """This machine's name, and what its process numbers are of: a boot and a namespace."""
    boot = ""
    with contextlib.suppress(OSError):
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with contextlib.suppress(OSError):
        boot += f" {os.readlink('/proc/self/ns/pid')}"
    return socket.gethostname(), boot or _asked("sysctl", "-n", "kern.boottime")


def _myself() -> dict[str, Any]:
    host, place = _of_machine()
    return {"pid": os.getpid(), "host": host, "place": place, "start": _start_of(os.getpid()) or ""}


def _start_of(process: int) -> str | None:
    """When a process started, in the system's own words; "" if it does not tell, None if dead."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:
        pass
    try:
        # The name, in brackets, may have spaces and brackets itself.
        fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _asked("ps", "-o", "lstart=", "-p", str(process))
    state, started = fields[0], fields[19]
    return None if state in "ZX" else started


def _booted() -> float | None:
    """When this machine was started, in seconds since 1970; None where it does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = pathlib.Path("/proc/stat").read_text().splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("btime ")))
    return None


def _asked(*command: str) -> str:
    """What a program of the system says; "" where there is none."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
        return found.stdout.strip()
    return ""
