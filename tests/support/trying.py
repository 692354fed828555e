"""Tries generated values for as long as there is time, and ends what hangs or grows."""

import contextlib
import itertools
import resource
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
from hypothesis import strategies as st

from labor_jax.util.errors import UserError

HANG = 20
"""Seconds that no value may take."""
GIB = 2**30


class Hung(BaseException):
    """A value took too long. No handler of a reader ends it."""


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Ends what hangs, and checks how much memory was taken."""

    def end(*_: Any) -> None:
        raise Hung

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    handler = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, HANG)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < GIB


def try_for(seconds: float, values: st.SearchStrategy, check: Callable[[Any], None]) -> int:
    """Checks generated values until the time is up; how many."""
    end, tried = time.monotonic() + seconds, itertools.count()

    def once(value: Any) -> None:
        if time.monotonic() < end:
            next(tried)
            with bounded():
                check(value)

    settings = hypothesis.settings(
        max_examples=200,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    for seed in itertools.count():
        if time.monotonic() >= end:
            return next(tried)
        hypothesis.seed(seed)(settings(hypothesis.given(values)(once)))()


def one_line(error: UserError) -> None:
    text = str(error)
    assert text.isprintable() and 0 < len(text) < 1000, text
