"""Two processes of two devices each run as one process of four."""

import concurrent.futures
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labor_jax.annotation import queries as q
from labor_jax.util import hosts
from labor_jax.util.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        ({}, False),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2"}, True),
        ({"SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"SLURM_STEP_NUM_TASKS": "8"}, True),
        ({"SLURM_NTASKS": "8"}, False),  # of an allocation, in which this may be no step
        ({"JAX_NUM_PROCESSES": "1"}, False),
        (dict(zip(hosts.MANUAL, ("host:1234", "2", "1"), strict=True)), True),
    ],
)
def test_the_environment_tells_whether_there_are_other_processes(environment, several, monkeypatch):
    for name in ("TPU_WORKER_HOSTNAMES", "SLURM_STEP_NUM_TASKS", *hosts.MANUAL):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    started = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *how, **more: started.append(how))
    hosts.start(None)
    assert bool(started) == several
    hosts.start(False)
    assert len(started) == several


def test_being_asked_for_other_processes_that_nothing_tells_of_is_refused(monkeypatch):
    for name in hosts.MANUAL:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=r"--distributed: .* set JAX_COORDINATOR_ADDRESS, "):
        hosts.start(True)


WRONG = {
    "JAX_COORDINATOR_ADDRESS": ["", "host", "host:", "host:0", "host:70000", "::1", ":1234"],
    "JAX_NUM_PROCESSES": ["", "two", "0", "-2", "2.0"],
    "JAX_PROCESS_ID": ["", "2", "-1", "first"],
}


@pytest.mark.parametrize(("name", "value"), [(k, v) for k, some in WRONG.items() for v in some])
def test_a_variable_that_is_missing_or_wrong_is_told_before_anything_waits(
    name, value, monkeypatch
):
    good = dict(zip(hosts.MANUAL, ("host:1234", "2", "1"), strict=True))
    for key, text in (good | {name: value}).items():
        monkeypatch.setenv(key, text)
    monkeypatch.setattr(jax.distributed, "initialize", None)
    with pytest.raises(UserError, match=rf"{name}\b"):
        hosts.start(None)


@pytest.mark.parametrize("address", ["10.0.0.1:8476", "node-1.cluster:1", "[::1]:8476"])
def test_an_address_of_the_first_process_is_a_host_and_a_port(address, monkeypatch):
    for key, text in zip(hosts.MANUAL, (address, "4", "3"), strict=True):
        monkeypatch.setenv(key, text)
    assert hosts.manual() == (address, 4, 3)


@given(st.lists(st.integers(0, 2**60), min_size=3, max_size=3))
def test_counts_of_all_processes_add_up_beyond_what_int32_holds(counts):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax, "process_count", lambda: 3)
        gathered = []

        def split(parts):
            gathered.append(np.asarray(parts))
            return np.stack(gathered)

        patch.setattr(hosts.multihost_utils, "process_allgather", split)
        for count in counts:
            total = hosts.total(np.array([count], np.int64))
        assert all(parts.dtype == np.int32 for parts in gathered)
        assert total.tolist() == [sum(counts)]


def test_shares_of_all_processes_are_everything_once(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    shares = []
    for index in range(3):
        monkeypatch.setattr(jax, "process_index", lambda index=index: index)
        shares += hosts.share(8)
    assert sorted(shares) == list(range(8))


@pytest.mark.parametrize("seconds", [0.01, 0.5, 30.0])
def test_a_stop_asked_of_one_process_is_seen_by_all_at_one_step_and_in_time(monkeypatch, seconds):
    here, gathered = threading.local(), [None, None]
    barrier, asked_at, calls = threading.Barrier(2, timeout=20), 300, [0, 0]

    def gather(mine):
        gathered[here.process] = mine
        barrier.wait()  # breaks if the other process does not take part
        both = np.stack(gathered)
        barrier.wait()
        calls[here.process] += 1
        return both

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(hosts.multihost_utils, "process_allgather", gather)
    monkeypatch.setattr(hosts.time, "monotonic", lambda: here.clock)

    def train(process):
        here.process, here.clock = process, 0.0
        stop = hosts.StopTogether(0)
        for step in range(1, 10**6):
            here.clock += seconds * (1 + process / 10)
            if signal := stop(step, 15 * (process == 1 and step >= asked_at)):
                return step, signal

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        (step, first), (other, second) = pool.map(train, range(2))
    assert step == other and first == second == 15
    assert (step - asked_at) * seconds <= hosts.StopTogether.AGREE
    needed = 3 + step * min(1, 2 * seconds / hosts.StopTogether.AGREE)
    assert calls[0] == calls[1] <= needed, "and not at each step where steps are short"


# ------------------------------------------------------------------------- real processes

SIGNALLED = """
import os, signal, sys, time
from labor_jax.util import errors, hosts, stopping
def main():
    hosts.start(True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(30)
with stopping.in_time():
    sys.exit(errors.exit_status(main))
"""


def test_sigterm_ends_a_process_that_has_joined_others():
    values = (f"127.0.0.1:{free_port()}", "1", "0")
    environment = os.environ | dict(zip(hosts.MANUAL, values, strict=True))
    ended = subprocess.run(
        [sys.executable, "-c", SIGNALLED], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 128 + signal.SIGTERM
    assert "run the same command again" in ended.stderr


WAITS = """
import sys
from labor_jax.util import errors, hosts
hosts.TELL_SECONDS, hosts.WAIT_SECONDS = 0.5, 2.0
sys.exit(errors.exit_status(lambda: hosts.start(None)))
"""


@pytest.mark.parametrize(
    ("index", "whom"),
    [(0, "processes 1 to 2 of 3 to join this one"), (2, "process 0 of 3, which does not answer")],
)
def test_a_partner_that_never_comes_is_named_and_waited_for_in_bounded_time(index, whom):
    values = (f"127.0.0.1:{free_port()}", "3", str(index))
    environment = os.environ | dict(zip(hosts.MANUAL, values, strict=True))
    ended = subprocess.run(
        [sys.executable, "-c", WAITS],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    *before, last = [line for line in ended.stderr.splitlines() if whom in line]
    assert ended.returncode == 2, ended.stderr
    assert before and all(line.startswith(f"waiting for {whom}") for line in before)
    assert last.startswith("error: waited 2 s in vain for ") and values[0] in last


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(
    workdir: pathlib.Path,
    data_dir: str,
    processes: int,
    *flags: str,
    other: pathlib.Path | None = None,
) -> list[subprocess.Popen]:
    """`configs/toytown.py:quick` on four devices in all, with sums in their order.

    other: the DIR of all but the first process, if another.
    """
    port, started = free_port(), []
    for index in range(processes):
        # XLA cuts some products by the number of its threads, which is at least the devices'.
        environment = os.environ | {
            "NPROC": "4",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={4 // processes}",
            "JAX_PLATFORMS": "cpu",
        }
        if processes > 1:
            values = (f"127.0.0.1:{port}", str(processes), str(index))
            environment |= dict(zip(hosts.MANUAL, values, strict=True))
        program = [sys.executable, "-m", "labor_jax.main", "--config=configs/toytown.py:quick"]
        program += [f"--workdir={other if other and index else workdir}"]
        program += [f"--config.data_dir={data_dir}"]
        program += ["--config.ordered_sums=true", "--config.log_every=1", *flags]
        started.append(
            subprocess.Popen(program, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        )
    return started


def finish(processes: list[subprocess.Popen]) -> list[tuple[int, str]]:
    errors = [process.communicate(timeout=300)[1] for process in processes]
    return [(process.returncode, error) for process, error in zip(processes, errors, strict=True)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, tiny_dir):
    workdir = tmp_path_factory.mktemp("alone")
    assert finish(start(workdir, tiny_dir, 1))[0][0] == 0
    return workdir


def assert_same_run(one: pathlib.Path, other: pathlib.Path) -> None:
    for stage in (1, 2):
        assert q.read_queries(one, stage) == q.read_queries(other, stage)
    scores = [json.loads((d / "summary.json").read_text()) for d in (one, other)]
    assert scores[0]["status"] == scores[1]["status"] == "finished"
    assert abs(scores[0]["mIoU"] - scores[1]["mIoU"]) <= 0.1
    assert scores[0]["budget"] == scores[1]["budget"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pmap", "shard_map"])
def test_two_processes_ask_what_one_asks_and_score_the_same(alone, tmp_path, tiny_dir, mode):
    for status, error in finish(start(tmp_path / "run", tiny_dir, 2, f"--config.parallel={mode}")):
        assert status == 0, error
    assert_same_run(alone, tmp_path / "run")


@pytest.mark.slow
def test_two_processes_that_one_of_them_stops_go_on_as_one(alone, tmp_path, tiny_dir):
    workdir = tmp_path / "run"
    processes = start(workdir, tiny_dir, 2)
    metrics = workdir / "metrics.jsonl"
    deadline = time.monotonic() + 200
    while not (metrics.exists() and '"phase": "adapt"' in metrics.read_text()):
        assert time.monotonic() < deadline and processes[0].poll() is None
        time.sleep(0.05)
    processes[1].send_signal(signal.SIGTERM)
    ends = finish(processes)
    for status, error in ends:
        assert status == 128 + signal.SIGTERM, error
    assert "all saved: run the same command again" in ends[1][1].splitlines()[-1]
    assert json.loads((workdir / "summary.json").read_text())["status"] == "running"
    assert finish(start(workdir, tiny_dir, 1))[0][0] == 0
    assert_same_run(alone, workdir)


def test_processes_that_would_each_train_a_model_of_their_own_are_told_so(tmp_path, tiny_dir):
    for status, error in finish(start(tmp_path, tiny_dir, 2, "--config.parallel=jit")):
        assert status == 2
        assert "config.parallel: jit trains on one device" in error.splitlines()[-1]
    assert not (tmp_path / "config.json").exists()


def test_processes_that_see_different_folders_are_told_so(tmp_path, tiny_dir):
    for status, error in finish(start(tmp_path / "one", tiny_dir, 2, other=tmp_path / "two")):
        assert status == 2
        assert "is not the same folder for all 2 processes" in error.splitlines()[-1]
