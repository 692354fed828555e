"""SIGINT and SIGTERM end a program in a bounded time; a training phase saves everything first."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from labor_jax.errors import Terminated

GRACE = 25.0
"""Seconds from a signal to the end, whatever is under way; schedulers kill 30 after SIGTERM."""


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """While a program's main runs: SIGTERM raises `Terminated`, and `GRACE` is kept.

    Python sees to a signal when what it has called returns, which a compilation may not do for
    minutes; so a thread, which the system wakes at once, watches the time.
    """

    def terminate(*_: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # launchers may pass it on once more
        raise Terminated

    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_end_after_grace, args=(read,), daemon=True).start()
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:  # all is said: nothing more to be done before the end
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)


def _end_after_grace(signals: int) -> None:
    number = 0
    while number not in (signal.SIGINT, signal.SIGTERM):
        number = os.read(signals, 1)[0]
    time.sleep(GRACE)
    print(
        f"stopped {GRACE:.0f} s after the signal without saving once more; what was saved before "
        f"is whole: run the same command again to go on",
        file=sys.stderr,
        flush=True,
    )
    os._exit(128 + number)


@contextlib.contextmanager
def stop_asked() -> Iterator[Callable[[], int]]:
    """Yields a function that tells which signal asked to stop, 0 for none.

    A second Ctrl-C stops at once; a signal that nobody asked about takes effect at the end.
    Outside the main thread signals are left as they are.
    """
    received: list[int] = []

    def note(number: int, _: Any) -> None:
        if received and number == signal.SIGINT:
            raise KeyboardInterrupt
        received.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: received[0] if received else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])
