"""Errors that a user can cause: one clear line with the mend, exit status 2, no traceback."""

import collections
import errno
import os
import sys
from collections.abc import Callable

from labor_jax.util import runtime

__all__ = [
    "FULL",
    "UNUSABLE",
    "Stopped",
    "Terminated",
    "UserError",
    "Waiting",
    "ends_all",
    "exit_status",
    "told_of",
]


UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
"""What the system says of a path that a user gave and that cannot be read or written."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What it says where there is no space left."""


_last: collections.deque[KeyboardInterrupt] = collections.deque(maxlen=1)
"""The signal that ended a command. Its frames hold what XLA may still be compiling in a thread of
its own, which would crash without it."""


class UserError(Exception):
    """The message is one line that names the file or key at fault and how to mend it."""


class Waiting(Exception):
    """The run is well and can go on only when a person has done something; says what."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a program as Ctrl-C does."""


class Stopped(Exception):
    """A signal asked the run to stop; everything up to here is saved."""

    def __init__(self, step: int, signal_number: int) -> None:
        super().__init__(f"stopped at step {step}, all saved: run the same command again to go on")
        self.status = 128 + signal_number


def ends_all(error: Exception) -> bool:
    """Whether an error met while one part of many is written would be met with all the others."""
    return isinstance(error, OSError) and error.errno in (*FULL, *UNUSABLE)


def told_of(name: str, error: Exception) -> str:
    """An error that one part of many leads to, with the part's name, in one line."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        mend = "; give it a shorter name" if error.errno == errno.ENAMETOOLONG else ""
        return f"{name}: {error.strerror}{mend}"
    return f"{name}: " + (
        runtime.told(error) or " ".join(f"{type(error).__name__}: {error}".split())[:300]
    )


def exit_status(do: Callable[[], int | None]) -> int:
    """Does what a command does; returns the exit status, its own or 0.

    A `UserError`, a full disk, a signal, a reader that is gone, or what `runtime.told` knows ends
    it in one line at most.
    """
    try:
        status = do() or 0
        sys.stdout.flush()  # a reader that is gone is met here, and not when Python exits
        return status
    except UserError as error:
        return _told(str(error))
    except Waiting as wait:
        print(wait)
        return 0
    except Stopped as stop:
        print(stop, file=sys.stderr)
        return stop.status
    except KeyboardInterrupt as signal:
        _last.append(signal)
        print("interrupted: run the same command again to go on", file=sys.stderr)
        return 143 if isinstance(signal, Terminated) else 130
    except BrokenPipeError:  # what reads our output has seen enough, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor is it told at exit
        return 141
    except OSError as error:
        where = f" while writing {error.filename}" if error.filename else ""
        if error.errno in FULL:
            return _told(f"the disk is full{where}: free some space and run the same command again")
        if error.errno in UNUSABLE and error.filename:
            return _told(f"{error.filename}: {error.strerror}; give a place that can be used")
        raise
    except Exception as error:
        if line := runtime.told(error):
            return _told(line)
        raise


def _told(message: str) -> int:
    # Names of files can have line breaks, and bytes that are no text.
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
    print(f"error: {line}", file=sys.stderr)
    return 2
