"""Several processes on this machine, which join as one run."""

import contextlib
import os
import pathlib
import random
import socket
import subprocess
import sys
from collections.abc import Sequence

from support.waiting import COMPILED

from labor_jax.util import hosts

ROOT = pathlib.Path(__file__).parents[2]


def free_port() -> int:
    """A port of this machine that nobody listens on.

    It is none of those that the system gives to who asks for any, from 32768 on: it would be
    another test's by the time that a slow process listens on it.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_768)
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


def start(
    arguments: Sequence[Sequence[str]],
    devices: int,
    host: str = "127.0.0.1",
    before: Sequence[Sequence[str]] = (),
) -> list[subprocess.Popen]:
    """Python with each of the arguments, as the processes of one run; what they say is in pipes.

    Args:
      arguments: of each process.
      devices: that each has.
      host: the first one's address.
      before: of each process, a command that starts it, if any.
    """
    port, started = free_port(), []
    for index, mine in enumerate(arguments):
        environment = os.environ | {
            "NPROC": "4",  # XLA cuts some products by its threads, which are at least the devices
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
        }
        if len(arguments) > 1:
            values = (f"{host}:{port}", str(len(arguments)), str(index))
            environment |= dict(zip(hosts.MANUAL, values, strict=True))
        command = [*(before[index] if before else ()), sys.executable, *mine]
        pipe = subprocess.PIPE
        started.append(
            subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True
            )
        )
    return started


def finish(processes: Sequence[subprocess.Popen]) -> list[tuple[int, str]]:
    """Waits for all; the status of each, and what it wrote to stderr."""
    errors = [process.communicate(timeout=COMPILED)[1] for process in processes]
    return [(process.returncode, error) for process, error in zip(processes, errors, strict=True)]
