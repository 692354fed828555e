"""Kills and damage for the tests of faults: programs that die at random, files that get broken."""

import os
import pathlib
import select
import signal
import subprocess
import sys
import time
from typing import Any, NamedTuple

from support.tiny import like

from labor_jax.data.labels import CAMVID
from labor_jax.report.monitor import read_metrics
from labor_jax.train.checkpoint import Checkpoints, checksums
from labor_jax.util.files import read_json

ROOT = pathlib.Path(__file__).parents[2]


class End(NamedTuple):
    """How a process ended.

    Attributes:
      signal: that was sent; 0 if it ended by itself before.
      shown: the last line that it had shown when the signal was sent.
      seconds: from the signal, or from the start, to the end.
      status: exit status, negative for a signal that was not seen to.
      stderr: all it said.
    """

    signal: int
    shown: str
    seconds: float
    status: int
    stderr: str


def start(workdir: pathlib.Path, data_dir: str, *flags: str) -> subprocess.Popen:
    """`configs/toytown.py:quick` in a DIR, its standard error in a pipe."""
    config = f"--config={ROOT / 'configs' / 'toytown.py'}:quick"
    flags = (config, f"--workdir={workdir}", f"--config.data_dir={data_dir}", *flags)
    command = [sys.executable, "-m", "labor_jax.main", *flags]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=pipe)


def end(process: subprocess.Popen, number: int, seconds: float, word: str = "") -> End:
    """Lets a process run for some seconds after it showed a word, then sends it a signal."""
    started, said = time.monotonic(), b""
    due = None if word else started + seconds
    while process.poll() is None and (due is None or time.monotonic() < due):
        wait = 0.02 if due is None else min(0.02, max(0.0, due - time.monotonic()))
        if select.select([process.stderr], [], [], wait)[0]:
            said += os.read(process.stderr.fileno(), 65536)
        if due is None and word.encode() in said:
            due = time.monotonic() + seconds
    sent = 0
    if process.poll() is None:
        process.send_signal(number)
        sent, started = number, time.monotonic()
    shown = said.decode().strip().rpartition("\n")[2]
    said += process.stderr.read()
    process.wait()
    took = time.monotonic() - started
    return End(sent, shown, took, process.returncode, said.decode())


def saved_steps(workdir: pathlib.Path) -> list[int]:
    """The steps of whole checkpoints, oldest first."""
    folders = (workdir / "checkpoints").glob("*")
    return sorted(int(folder.name) for folder in folders if folder.name.isdigit())


def recorded_step(workdir: pathlib.Path) -> int:
    """The last training step that is known to have been done."""
    return max((record["step"] for record in read_metrics(workdir)), default=0)


def is_finished(workdir: pathlib.Path) -> bool:
    """Whether all is done and written, and only the process's own end may still come."""
    summary = workdir / "summary.json"
    return summary.exists() and read_json(summary)["status"] == "finished"


KEPT = ("parameters.txt", "queries/*", "annotations/**/*", "previews/**/*.png")


def left_by(workdir: pathlib.Path, initial: Any) -> dict[str, Any]:
    """All that a finished run leaves behind and that does not tell of time or place.

    Args:
      initial: a state of the run's config, for its shapes.
    """
    summary = read_json(workdir / "summary.json")
    for key in ("checkpoint_every", "data_dir"):  # how it was done
        del summary["config"][key]
    del summary["wall_seconds"]
    checkpoints = Checkpoints(workdir, CAMVID)
    step = checkpoints.latest
    now = checksums(checkpoints.load(step, like(initial)))
    checkpoints.close()
    kept = {
        str(path.relative_to(workdir)): path.read_bytes()
        for pattern in KEPT
        for path in workdir.glob(pattern)
        if path.is_file()
    }
    records = sorted(read_metrics(workdir), key=lambda r: (r["step"], r["phase"]))
    return {"summary": summary, "state": (step, now), "records": records} | kept


def half_written(workdir: pathlib.Path) -> list[str]:
    """The names of files that a kill left behind and that nobody removed."""
    names = [path.name for path in workdir.rglob("*")]
    return [name for name in names if "tmp" in name or "partial" in name]


def half(data: bytes) -> bytes:
    """The first half."""
    return data[: len(data) // 2]


def empty(data: bytes) -> bytes:
    """Nothing of it."""
    return b""


def one_bit(data: bytes) -> bytes:
    """One bit in the middle is another; in a text that makes no text of it."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x80]) + data[middle + 1 :]


def last_line(data: bytes) -> bytes:
    """Without the last line."""
    return b"".join(data.splitlines(keepends=True)[:-1])


SIGNALS = (signal.SIGTERM, signal.SIGKILL)
