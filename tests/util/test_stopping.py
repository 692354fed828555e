"""A signal ends a program in one line and in time, whatever it is at."""

import signal
import subprocess
import sys
import time

import pytest
from support.waiting import PATIENCE

SAVING = "with stopping.stop_asked() as asked:\n  print(1, flush=True)\n  while not asked(): pass"
PLAIN = "print(1, flush=True)\ntime.sleep(60)"
DEAF = "import hashlib\nprint(1, flush=True)\nhashlib.pbkdf2_hmac('sha1', b'', b'', 10**8)"
SWALLOWED = """
class Box:
    def __del__(self):
        print(1, flush=True)
        time.sleep(60)
Box()
time.sleep(60)
"""
COMPILING = """
import jax
def deep(x):
    for _ in range(1000):
        x = jax.numpy.sort(jax.numpy.sin(x @ x))
    return x
lowered = jax.jit(deep).lower(jax.numpy.ones((9, 9)))
print(1, flush=True)
lowered.compile()
"""


def ended(body, number):
    """How a program ends at a signal: status, last line, seconds."""
    lines = ["import sys, time", "from labor_jax.cli import program"]
    lines += ["from labor_jax.util import stopping", "stopping.PROMPT = 1"]
    lines += ["def main(argv):", *(f"  {line}" for line in body.splitlines())]
    lines += ["sys.exit(program.process(main))"]
    command = [sys.executable, "-c", "\n".join(lines)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout.readline() == "1\n"
    time.sleep(0.3)
    process.send_signal(number)
    started = time.monotonic()
    _, said = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in said
    return process.returncode, said.splitlines()[-1], time.monotonic() - started


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (PLAIN, "interrupted: "),
        (SWALLOWED, "interrupted: "),
        (SAVING, "interrupted: "),
        (DEAF, "stopped 1 s after the signal"),
        (COMPILING, "interrupted: "),
    ],
    ids=[
        "at something",
        "in a finaliser",
        "where it is asked for",
        "in one long call",
        "while XLA compiles",
    ],
)
def test_a_program_says_how_to_go_on(body, words, number):
    status, line, seconds = ended(body, number)
    assert status == 128 + number
    assert line.startswith(words) and line.endswith("run the same command again to go on")
    assert seconds < 5
