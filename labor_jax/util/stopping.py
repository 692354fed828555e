"""SIGINT and SIGTERM end a program in a bounded time; a training phase saves everything first."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from labor_jax.util.errors import Terminated

GRACE = 25.0
"""Seconds from a signal to the end where something is saved first; schedulers kill after 30."""
PROMPT = 3.0
"""Seconds from a signal to the end where there is nothing to be saved."""


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """While a program's main runs: SIGTERM raises `Terminated`, and the end comes in time.

    Python sees to a signal when what it has called returns, which a compilation may not do for
    minutes. So a thread, which the system wakes at once, watches the time.
    """
    seen = False

    def raise_again(dropped: Any) -> None:
        # What is raised while JAX's callback of the garbage collector runs is dropped. What else
        # is told here are Orbax's threads that outlive their event loop.
        nonlocal seen
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            seen = False
            number = signal.SIGTERM if dropped.exc_type is Terminated else signal.SIGINT
            main = threading.main_thread().ident
            threading.Timer(0.01, signal.pthread_kill, (main, number)).start()

    def terminate(*_: Any) -> None:
        nonlocal seen
        if not seen:  # launchers may pass it on once more
            seen = True
            raise Terminated

    sys.unraisablehook = raise_again
    signal.signal(signal.SIGTERM, terminate)
    at_once = (terminate, signal.default_int_handler)
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    over = threading.Event()
    threading.Thread(target=_watch, args=(read, at_once, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)


def _watch(signals: int, at_once: tuple[Callable, ...], over: threading.Event) -> None:
    number = 0
    while number not in (signal.SIGINT, signal.SIGTERM):
        number = os.read(signals, 1)[0]
    limit = PROMPT if signal.getsignal(number) in at_once else GRACE
    if not over.wait(limit):
        print(
            f"stopped {limit:.0f} s after the signal, in the midst of something; what was saved "
            f"before is whole: run the same command again to go on",
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
