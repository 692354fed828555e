"""Errors that a user can cause: one clear line with the mend, exit status 2, no traceback."""

import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

__all__ = [
    "UNUSABLE",
    "Stopped",
    "Terminated",
    "UserError",
    "Waiting",
    "exit_on_user_error",
]


UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
"""What the system says of a path that a user gave and that cannot be read or written."""


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


def _exit(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def exit_on_user_error(main: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a program's `main`: a `UserError`, a full disk or a signal ends it in one line."""

    @functools.wraps(main)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return main(*args, **kwargs)
        except UserError as error:
            _exit(str(error))
        except Waiting as wait:
            print(wait)
        except Stopped as stop:
            print(stop, file=sys.stderr)
            sys.exit(stop.status)
        except KeyboardInterrupt as signal:
            print("interrupted: run the same command again to go on", file=sys.stderr)
            sys.exit(143 if isinstance(signal, Terminated) else 130)
        except BrokenPipeError:  # what reads our output has seen enough, as `| head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor is it told at exit
            sys.exit(141)
        except OSError as error:
            where = f" while writing {error.filename}" if error.filename else ""
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                _exit(f"the disk is full{where}: free some space and run the same command again")
            if error.errno in UNUSABLE and error.filename:
                _exit(f"{error.filename}: {error.strerror}; give a place that can be used")
            raise

    return wrapped
