"""Many processes as one run: starting them, what they tell each other, and who writes.

All processes see the same DIR (a shared file system); the first one alone writes into it, but for
checkpoints, which all write together, and each one's part of the queries, which the first joins.
With one process, nothing here does anything.
"""

import json
import os
import pathlib
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from labor_jax.util.errors import UserError

MANUAL = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
"""What says by hand where the first process listens, how many there are, and which this one is."""


def start(asked: bool | None) -> None:
    """Joins the other processes of this run; to be called before anything asks for devices.

    Args:
      asked: --distributed; None: where the environment tells of several processes.
    Raises:
      UserError: asked for, and neither the environment nor `MANUAL` says how.
    """
    if asked is False or (asked is None and not _several()):
        return
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM for itself
    try:
        if os.environ.get(MANUAL[1]):
            address, number, index = (os.environ.get(name, "") for name in MANUAL)
            jax.distributed.initialize(address, int(number), int(index or 0))
        else:
            jax.distributed.initialize()  # it knows Cloud TPU, Slurm, Open MPI and Kubernetes
    except (ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"--distributed: this environment does not say which processes there are ({reason}); "
            f"set {', '.join(MANUAL)} in each, or leave the flag out"
        ) from None


def _several() -> bool:
    """Whether the launcher's environment tells of more than one process."""
    hosts = os.environ.get("TPU_WORKER_HOSTNAMES", "")
    numbers = (os.environ.get(name, "") for name in (MANUAL[1], "SLURM_STEP_NUM_TASKS"))
    return "," in hosts or any(n.isdigit() and int(n) > 1 for n in numbers)


def first() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def share(count: int) -> range:
    """Which of `count` things this process does."""
    return range(jax.process_index(), count, jax.process_count())


def wait(name: str) -> None:
    """Until every process is here: what the first one wrote can be read from now on."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def largest(number: int) -> int:
    """The largest number of all processes, in every process."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.process_allgather(np.int32(number)).max())


def total(counts: np.ndarray) -> np.ndarray:
    """The sum of all processes' counts, int64."""
    if jax.process_count() == 1:
        return counts
    parts = np.stack([counts >> 31, counts & (2**31 - 1)]).astype(np.int32)  # JAX has no int64
    high, low = np.asarray(multihost_utils.process_allgather(parts), np.int64).sum(0)
    return (high << 31) + low


def gather(values: list[Any]) -> list[Any]:
    """The lists of all processes as one, each value once, in the order of `share`.

    Args:
      values: what JSON can hold, one for each number of this process's share.
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
    """Raises UserError unless all processes see the same DIR."""
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
