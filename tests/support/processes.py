"""Several processes on this machine, which join as one run."""

import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Sequence

from labor_jax.util import hosts

ROOT = pathlib.Path(__file__).parents[2]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


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
    errors = [process.communicate(timeout=300)[1] for process in processes]
    return [(process.returncode, error) for process, error in zip(processes, errors, strict=True)]
