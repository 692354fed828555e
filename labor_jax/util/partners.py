"""Tells in one line that another process of the run is gone, where JAX prints forty.

JAX's coordination service finds out, by heartbeats or by a closed connection. JAX then aborts this
process from C++, which nothing in Python can prevent. What C++ code writes on stderr therefore goes
through a small program, this file, which outlives the process that it tells of.
"""

import os
import re
import signal
import subprocess
import sys

ABORTS = "Terminating process because the JAX distributed service"
BEGINS = re.compile(rf"(coordination_service(_agent)?|preemption_sync_manager)\.cc:\d+\]|{ABORTS}")
"""The first line of what JAX prints about a process that is gone."""

ANOTHER = "another process of this run"

NOISE = "preemption_notifier.cc"
"""JAX's line about a signal, which is told by a line of ours."""


def tell_in_one_line(processes: int) -> None:
    """From now on what C++ code writes on stderr goes through this file's program.

    Python's own `sys.stderr` is the old one, so that a terminal is still known as one.

    Args:
      processes: how many processes the run has.
    """
    read, write = os.pipe()
    program = [sys.executable, "-I", __file__, str(processes)]
    subprocess.Popen(program, stdin=read, stdout=subprocess.DEVNULL, start_new_session=True)
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
    os.dup2(write, 2)
    os.close(read)
    os.close(write)


def lost(whom: str) -> str:
    """What is said of a process that is gone."""
    return (
        f"{whom} has ended or cannot be reached any more; what was saved is whole: start all "
        f"processes again to go on"
    )


def told(text: str, processes: int) -> str:
    """What JAX printed before it aborted, in one line."""
    heartbeats = re.search(r"stopped sending heartbeats\):\n((?:\d+\n)+)", text)
    numbers = heartbeats[1].split() if heartbeats else re.findall(r"Task (\d+) heartbeat", text)[:1]
    if not numbers and ("leader task" in text or "CoordinationService/Heartbeat" in text):
        numbers = ["0"]
    if len(numbers) > 1:
        return lost(f"one of the processes {', '.join(numbers)} of {processes}")
    return lost(f"process {numbers[0]} of {processes}" if numbers else ANOTHER)


def main() -> None:
    """Copies standard input to stderr, but for what JAX says of a process that is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):  # it ends with the process that it tells of
        signal.signal(number, signal.SIG_IGN)
    text = ""
    for line in os.fdopen(0, errors="replace"):
        if text or BEGINS.search(line):
            text += line
        elif NOISE not in line:
            sys.stderr.write(line)
            sys.stderr.flush()
    processes = int(sys.argv[1])
    sys.stderr.write(f"error: {told(text, processes)}\n" if ABORTS in text else text)


if __name__ == "__main__":
    main()
