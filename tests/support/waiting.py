"""Waiting for what another thread, process or page does: until it is there, however slow."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 120.0
"""Seconds after which something that takes a moment on a quiet machine is waited for in vain."""
COMPILED = 1200.0
"""The same for what compiles or trains first, in several processes at once and without a cache."""

Told = TypeVar("Told")


def wait_until(true: Callable[[], Told], seconds: float = PATIENCE) -> Told:
    """Waits until a function returns something true; returns that."""
    begun = time.monotonic()
    while not (told := true()):
        waited = time.monotonic() - begun
        assert waited < seconds, "waited in vain"
        time.sleep(min(0.05, 0.005 + waited / 100))  # what is waited for needs the core as well
    return told
