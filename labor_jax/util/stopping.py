"""SIGINT and SIGTERM end a program in a bounded time; a training phase first saves its state."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from labor_jax.util.errors import Terminated

GRACE = 25.0
"""Seconds from a signal to the end where a state is saved first; schedulers kill after 30."""
PROMPT = 3.0
"""Seconds from a signal to the end where nothing needs to be saved."""
LEAVE = 10.0
"""Seconds that a process which has failed or stopped waits for the other ones of its run to end."""


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    """Around a program's main: SIGTERM raises `Terminated`, and a signal ends the program in time.

    Python runs a signal's handler once the C code that it has called returns, and a compilation may
    not return for minutes. A thread therefore waits for the signal's number, which the system
    writes into a pipe at once, and ends the process when the time is over.
    """
    seen = False

    def raise_again(dropped: Any) -> None:
        # Python drops an exception that a handler raises inside JAX's callback of the garbage
        # collector, and calls this instead: the signal is sent once more. Other exceptions that
        # arrive here are of Orbax's threads that outlive their event loop; they are left alone.
        nonlocal seen
        if issubclass(dropped.exc_type, KeyboardInterrupt):
            seen = False
            number = signal.SIGTERM if dropped.exc_type is Terminated else signal.SIGINT
            main = threading.main_thread().ident
            threading.Timer(0.01, signal.pthread_kill, (main, number)).start()

    def terminate(*_: Any) -> None:
        nonlocal seen
        if not seen:  # a launcher may send it to the process a second time
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


def end_in_time(status: int) -> None:
    """Ends a process that failed or was stopped: at once after a signal, else after `LEAVE`.

    A compilation that a signal interrupts goes on in a thread of XLA's. When Python exits, it waits
    for that thread, or crashes with it. A process of several exits in Python's way all the same,
    since JAX then waits for the others.
    """

    def end() -> None:
        with contextlib.suppress(OSError):  # nobody reads it any more
            sys.stdout.flush()
        os._exit(status)

    jax = sys.modules.get("jax")
    if status > 128 and not (jax and jax.distributed.is_initialized()):
        end()
    timer = threading.Timer(LEAVE, end)
    timer.daemon = True
    timer.start()


def _watch(signals: int, at_once: tuple[Callable, ...], over: threading.Event) -> None:
    """Ends the process if it has not ended in time after a signal.

    Args:
      signals: the end of a pipe from which the numbers of signals are read.
      at_once: the handlers in whose place nothing needs to be saved.
      over: set when the program's main has ended.
    """
    number = 0
    while number not in (signal.SIGINT, signal.SIGTERM):
        number = os.read(signals, 1)[0]
    limit = PROMPT if signal.getsignal(number) in at_once else GRACE
    if not over.wait(limit):
        print(
            f"stopped {limit:.0f} s after the signal, in the middle of its work; what was saved "
            f"earlier is whole: run the same command again to go on",
            file=sys.stderr,
            flush=True,
        )
        os._exit(128 + number)


@contextlib.contextmanager
def stop_asked() -> Iterator[Callable[[], int]]:
    """Holds signals back; yields a function that returns the first one's number, 0 for none.

    The caller asks that function where it can stop. A second Ctrl-C raises KeyboardInterrupt at
    once. A signal that has arrived takes effect when the context ends. In other threads than the
    main one, which alone may set handlers, signals are not held back.
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
