"""Several processes as one run: how they start, what they exchange, which of them writes.

All processes see the same DIR on a shared file system. Only the first one writes into it, with two
exceptions: all write checkpoints together, and each writes its part of the queries, which the first
one joins. In a run of one process the functions here do nothing.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from labor_jax.util import partners
from labor_jax.util.errors import UserError

MANUAL = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
"""Environment variables for any launcher: the first process's address, how many, which is this."""

TELL_SECONDS = 5.0
"""Seconds between two lines that say whom this process waits for."""
WAIT_SECONDS = 300.0
"""Seconds after which a process no longer waits for the others to join."""
LOST_SECONDS = 40.0
"""Seconds without a sign of life after which a process counts as gone."""
END_SECONDS = 3600.0
"""Seconds that a process waits at its end for the others, of which the first writes the report."""


def start(asked: bool | None) -> None:
    """Joins the other processes of this run, before anything in this one asks JAX for devices.

    Args:
      asked: --distributed. With None processes are joined if the environment tells of several.
    While it waits for them it says so every few seconds, and not longer than `WAIT_SECONDS`: it
    then ends with status 2. Where another process is gone later, this one ends with one line after
    `LOST_SECONDS` at most.

    Raises:
      UserError: neither the launcher's environment nor `MANUAL` tells which processes there are.
    """
    if asked is False or (asked is None and not _several()):
        return
    if os.environ.get(MANUAL[1]):
        address, number, index = manual()
        with _waiting(lambda: _lacking(address, number, index)), _refused(f"at {address}"):
            _join(address, number, index)
    else:
        with _waiting(lambda: "the other processes of this launcher"), _refused("by --distributed"):
            _join()  # JAX knows Cloud TPU, Slurm, Open MPI and Kubernetes
    if jax.process_count() > 1:
        partners.tell_in_one_line(jax.process_count())


_jaxs_handler: Callable[[int], None] = signal.raise_signal
"""JAX's handler of SIGTERM, which gives notice to all processes, once `start` has joined them."""


def _join(address: str | None = None, number: int | None = None, index: int | None = None) -> None:
    """Joins the other processes; SIGTERM is still handled as before."""
    global _jaxs_handler
    jax.config.update("jax_enable_preemption_service", True)
    jax.distributed.initialize(
        address,
        number,
        index,
        initialization_timeout=int(WAIT_SECONDS + 60),  # JAX's own wait ends by an abort
        heartbeat_timeout_seconds=int(LOST_SECONDS),
        shutdown_timeout_seconds=int(END_SECONDS),
    )
    # JAX's preemption service has set a handler in C, of which Python does not know.
    system = ctypes.CDLL(None)
    system.signal.restype, system.signal.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
    if handler := system.signal(signal.SIGTERM, None):
        _jaxs_handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(handler)
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))


FAILED = re.compile("Gloo|NCCL|[Cc]ollective|coordination service|CoordinationService|DEADLINE")
"""What an error says where an exchange between processes failed."""


@contextlib.contextmanager
def losses_told() -> Iterator[None]:
    """Around a run: where another process is gone, JAX has the time to find out which.

    An exchange with a process that is gone may fail at once, or never. JAX ends this process in
    both cases, by the line of `partners`.

    Raises:
      UserError: an exchange failed, and JAX did not find out why.
    """
    try:
        yield
    except Exception as error:
        if jax.process_count() == 1 or not _exchange_failed(error):
            raise
        time.sleep(LOST_SECONDS + 15)
        raise UserError(partners.lost(partners.ANOTHER)) from None


def _exchange_failed(error: BaseException | None) -> bool:
    """Whether an error, or one in whose place it is told, is of an exchange of processes."""
    while error is not None:
        if not isinstance(error, UserError) and FAILED.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _several() -> bool:
    """Whether the launcher's environment tells of more than one process, or may mean to."""
    hosts = os.environ.get("TPU_WORKER_HOSTNAMES", "")
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "")
    by_hand = any(os.environ.get(name) for name in MANUAL) and os.environ.get(MANUAL[1]) != "1"
    return by_hand or "," in hosts or (tasks.isdigit() and int(tasks) > 1)


def manual() -> tuple[str, int, int]:
    """The values of `MANUAL`: the first process's address, how many there are, and which this is.

    Raises:
      UserError: one of them is missing or wrong.
    """
    address, number, index = (os.environ.get(name, "").strip() for name in MANUAL)
    if lacking := [name for name in MANUAL if not os.environ.get(name, "").strip()]:
        there = [name for name in MANUAL if name not in lacking]
        raise UserError(
            f"{' and '.join(f'{name}={os.environ[name]}' for name in there)}, but no "
            f"{' and no '.join(lacking)}: set {', '.join(MANUAL)} in each process, or none of them"
        )
    if not (number.isdecimal() and int(number) >= 1):
        raise UserError(f"{MANUAL[1]}={number}: give a whole number of processes, 1 or more")
    if not (index.isdecimal() and int(index) < int(number)):
        raise UserError(
            f"{MANUAL[2]}={index}: give the number of this process, from 0 to {int(number) - 1}"
        )
    port = re.search(r"[^:\]]:(\d+)$|\]:(\d+)$", address)
    if not port or not 0 < int(port[1] or port[2]) < 65536:
        raise UserError(f"{MANUAL[0]}={address}: give HOST:PORT of the first process")
    return address, int(number), int(index)


@contextlib.contextmanager
def _refused(where: str) -> Iterator[None]:
    """Tells in one line why JAX could not join the processes."""
    try:
        yield
    except Exception as error:  # each launcher's detection raises what it likes
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(
            f"--distributed: the processes cannot be joined {where} ({reason}); set "
            f"{', '.join(MANUAL)} in each, or give --nodistributed"
        ) from None


@contextlib.contextmanager
def _waiting(whom: Callable[[], str]) -> Iterator[None]:
    """Says every few seconds whom this process waits for, and ends it when the wait is over.

    JAX waits in C++ code, which neither an exception nor a signal's handler interrupts.
    """
    over, start = threading.Event(), time.monotonic()

    def tell() -> None:
        while not over.wait(TELL_SECONDS):
            waited = time.monotonic() - start
            if waited >= WAIT_SECONDS:
                print(
                    f"error: waited {waited:.0f} s in vain for {whom()}; start all processes at "
                    f"about the same time, with the same {MANUAL[0]}",
                    file=sys.stderr,
                    flush=True,
                )
                os._exit(2)
            line = f"waiting for {whom()}: {waited:.0f} s of at most {WAIT_SECONDS:.0f} s"
            print(line, file=sys.stderr, flush=True)

    threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _lacking(address: str, number: int, index: int) -> str:
    """In words, the processes that a process waits for."""
    if index == 0:
        others = "process 1" if number == 2 else f"processes 1 to {number - 1}"
        return f"{others} of {number} to join this one, process 0, at {address}"
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=1):
            return f"the other processes of {number}; process 0 answers at {address}"
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return f"process 0 of {number}, which does not answer at {address} ({reason})"


def first() -> bool:
    """Whether this is the first process, the one that writes."""
    return jax.process_index() == 0


def share(count: int) -> range:
    """This process's share of the numbers 0 to `count` - 1, which are dealt in turn."""
    return range(jax.process_index(), count, jax.process_count())


def wait(name: str) -> None:
    """Waits until every process has called this: what the first one wrote can then be read.

    Args:
      name: the same in all processes, and another at each place of the program.
    """
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def largest(number: int) -> int:
    """The largest of all processes' numbers (all-reduce), at most 2^31 - 1."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.process_allgather(np.int32(number)).max())


def stop(step: int, number: int) -> int:
    """The signal to stop for, 0 for none: all processes get one at the same step.

    That step follows from JAX's preemption service, which asks no device: a call takes
    microseconds, and a stop is seen at the next step or the one after it.

    Args:
      step: how many steps are done; this is called after each one, by all processes.
      number: the signal that this process got, or 0.
    """
    if jax.process_count() == 1:
        return number
    if number:
        _jaxs_handler(number)
    return (number or signal.SIGTERM) if multihost_utils.reached_preemption_sync_point(step) else 0


def total(counts: np.ndarray) -> np.ndarray:
    """The sum of all processes' counts (all-reduce).

    Args:
      counts: int64, not negative, the same shape in all processes.
    Returns:
      int64 of that shape.
    """
    if jax.process_count() == 1:
        return counts
    parts = np.stack([counts >> 31, counts & (2**31 - 1)]).astype(np.int32)  # JAX has no int64
    high, low = np.asarray(multihost_utils.process_allgather(parts), np.int64).sum(0)
    return (high << 31) + low


def gather(values: list[Any]) -> list[Any]:
    """All processes' lists as one (all-gather), in the order of the numbers that `share` dealt.

    Args:
      values: one for each number of this process's share; anything that JSON can hold.
    """
    if jax.process_count() == 1:
        return values
    data = np.frombuffer(json.dumps(values).encode(), np.uint8)
    longest = largest(data.size)
    padded = np.pad(data, (0, longest - data.size), constant_values=ord(" "))
    lists = [json.loads(row.tobytes()) for row in multihost_utils.process_allgather(padded)]
    total = sum(len(values) for values in lists)
    return [lists[i % len(lists)][i // len(lists)] for i in range(total)]


def check_shared(workdir: pathlib.Path) -> None:
    """Checks that all processes see the same DIR.

    Raises:
      UserError: they do not.
    """
    if jax.process_count() == 1:
        return
    mark = workdir / ".shared"
    if first():
        workdir.mkdir(parents=True, exist_ok=True)
        mark.touch()
    wait("mark")
    missing = largest(not mark.exists())
    if first():
        mark.unlink()
    if missing:
        raise UserError(
            f"--workdir: {workdir} is not the same folder for all {jax.process_count()} processes; "
            "give one on a file system that they share"
        )
