"""Several processes run as one, stop as one, and tell of one that is gone."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import processes
from support.waiting import COMPILED, PATIENCE

from labor_jax.annotation import queries as q
from labor_jax.report.monitor import read_metrics
from labor_jax.util import files, hosts, partners
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


GONE = {
    "process 2 of 4": """
E1128 10:36:26.939555 2630 coordination_service_agent.cc:289] Polled an error from coordination \
service (this can be an error from this or another task).
F1128 10:36:26.939738 2630 client.h:80] Terminating process because the JAX distributed service \
detected fatal errors. [...] absl::Status: UNAVAILABLE: The following tasks are unhealthy (stopped \
sending heartbeats):
2
The tasks have crashed. Check the task logs for an earlier error, or scheduler events.
""",
    "one of the processes 1, 3 of 4": """
F1128 10:36:26.939738 2630 client.h:80] Terminating process because the JAX distributed service \
detected fatal errors. The following tasks are unhealthy (stopped sending heartbeats):
1
3
""",
    "process 0 of 4": """
F1128 10:36:38.464674 2926 client.h:80] Terminating process because the JAX distributed service \
detected fatal errors. absl::Status: UNAVAILABLE: Failed to send RPC to coordination service. \
Either the leader task was preempted/died/restarted unexpectedly or this task is experiencing \
network issues.
""",
    "process 0 of 5": """
F1128 12:01:00.243089 24451 client.h:80] Terminating process because the JAX distributed service \
detected fatal errors. absl::Status: DEADLINE_EXCEEDED: Deadline Exceeded

RPC: /xla.coordination.CoordinationService/Heartbeat
""",
    "another process of this run": "F1128 client.h:80] Terminating process",
}


@pytest.mark.parametrize("whom", GONE)
def test_what_jax_prints_about_a_process_that_is_gone_is_told_in_one_line(whom):
    line = partners.told(GONE[whom], 5 if whom.endswith("5") else 4)
    assert line.startswith(f"{whom} has ended or cannot be reached") and "\n" not in line


@pytest.mark.parametrize("end", [GONE["process 0 of 4"], ""])
def test_other_messages_of_libraries_are_passed_on(end):
    said = "a library's warning\n" + end.lstrip()
    program = [sys.executable, partners.__file__, "4"]
    shown = subprocess.run(program, input=said, stderr=subprocess.PIPE, text=True).stderr
    lines = shown.splitlines()
    assert lines[0] == "a library's warning" and len(lines) == (2 if end else 1)
    assert not end or lines[1] == f"error: {partners.lost('process 0 of 4')}"


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
    values = (f"127.0.0.1:{processes.free_port()}", "1", "0")
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
    values = (f"127.0.0.1:{processes.free_port()}", "3", str(index))
    environment = os.environ | dict(zip(hosts.MANUAL, values, strict=True))
    ended = subprocess.run(
        [sys.executable, "-c", WAITS],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    *before, last = [line for line in ended.stderr.splitlines() if whom in line]
    assert ended.returncode == 2, ended.stderr
    assert before and all(line.startswith(f"waiting for {whom}") for line in before)
    assert re.match(r"error: waited \d+ s in vain for ", last) and values[0] in last


LOOP = """
import sys, time
from labor_jax.cli import program
from labor_jax.util import errors, hosts, stopping
hosts.LOST_SECONDS, fails = 10.0, sys.argv.pop(1) == "fails"
def main(argv):
    hosts.start(True)
    with hosts.losses_told(), stopping.stop_asked() as asked:
        for step in range(1, 10**6):
            hosts.wait("step")
            if step == 1:
                print("going", flush=True)
            if step == 20 and fails:
                raise errors.UserError("a mistake of mine")
            time.sleep(0.02)
            if number := hosts.stop(step, asked()):
                raise errors.Stopped(step, number)
sys.exit(program.process(lambda argv: errors.exit_status(lambda: main(argv))))
"""


def going(fails: int | None = None, number: int = 4, **how) -> list[subprocess.Popen]:
    """Processes of one device each that exchange something again and again, till one `fails`."""
    arguments = [["-c", LOOP, "fails" if i == fails else ""] for i in range(number)]
    started = processes.start(arguments, 1, **how)
    for process in started:
        while (line := process.stdout.readline()) != "going\n":
            assert line, process.communicate()[1]
    return started


def said(error: str) -> list[str]:
    """What a process wrote to stderr, without what Gloo says when it connects."""
    return [line for line in error.splitlines() if "loo" not in line.partition("]")[0]]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_asked_of_one_process_is_seen_by_all_at_one_step(number):
    started = going()
    started[3].send_signal(number)
    ends = processes.finish(started)
    assert [status for status, _ in ends] == [128 + signal.SIGTERM] * 3 + [128 + number]
    lines = {tuple(said(error)) for _, error in ends}
    assert len(lines) == 1, lines
    assert re.fullmatch(r"stopped at step \d+, all saved: .*", *lines.pop())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
@pytest.mark.parametrize("victim", [0, 2])
def test_a_process_that_is_gone_is_named_by_all_others_in_one_line(victim, number):
    started = going()
    gone = started.pop(victim)
    gone.send_signal(number)
    since = time.monotonic()
    try:
        for status, error in processes.finish(started):
            assert status != 0
            assert said(error) == [f"error: {partners.lost(f'process {victim} of 4')}"]
        assert time.monotonic() - since < 60
    finally:
        gone.kill()
        gone.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("one", [0, 1])
def test_a_process_that_fails_alone_ends_and_so_do_the_others(one):
    for index, (status, error) in enumerate(processes.finish(going(fails=one))):
        if index == one:
            assert (status, said(error)) == (2, ["error: a mistake of mine"])
        else:
            assert said(error) == [f"error: {partners.lost(f'process {one} of 4')}"]


def command(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


@pytest.fixture
def three_hosts():
    """Names of three network namespaces with an address each, 10.217.0.10 and the next ones."""
    name, mine = f"lj{os.getpid()}", []
    settings = [pathlib.Path("/etc/netns", f"{name}n{i}") for i in range(3)]
    with contextlib.ExitStack() as stack:
        try:
            for index, folder in enumerate(settings):
                command("ip", "netns", "add", folder.name)
                stack.callback(command, "ip", "netns", "del", folder.name)
                folder.mkdir(parents=True)
                stack.callback(shutil.rmtree, folder)
                (folder / "hosts").write_text(f"10.217.0.1{index} {socket.gethostname()}\n")
                mine.append(folder.name)
            command("ip", "link", "add", name, "type", "bridge")
            stack.callback(command, "ip", "link", "del", name)
            command("ip", "link", "set", name, "up")
            for index, there in enumerate(mine):
                link, at = f"{name}v{index}", ("ip", "-n", there)
                peer = ("peer", "name", "eth0", "netns", there)
                command("ip", "link", "add", link, "type", "veth", *peer)
                stack.callback(command, "ip", "link", "del", link)
                command("ip", "link", "set", link, "master", name, "up")
                command(*at, "addr", "add", f"10.217.0.1{index}/24", "dev", "eth0")
                command(*at, "link", "set", "eth0", "up")
                command(*at, "link", "set", "lo", "up")
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", b"").decode().strip() or str(error)
            pytest.skip(f"network namespaces cannot be made here: {reason}")
        yield mine, lambda index: command("ip", "link", "set", f"{name}v{index}", "down")


@pytest.mark.slow
def test_hosts_of_their_own_addresses_join_and_one_whose_cable_is_pulled_is_named(three_hosts):
    names, pull = three_hosts
    before = [["ip", "netns", "exec", name] for name in names]
    started = going(number=3, host="10.217.0.10", before=before)
    pull(2)
    ends = processes.finish(started)
    for status, error in ends[:2]:
        assert status != 0 and said(error) == [f"error: {partners.lost('process 2 of 3')}"]
    assert ends[2][0] != 0 and len(said(ends[2][1])) == 1


# -------------------------------------------------------------------------------- whole runs


def start(
    workdir: pathlib.Path,
    data_dir: str,
    number: int,
    *flags: str,
    other: pathlib.Path | None = None,
    stops: int | None = None,
) -> list[subprocess.Popen]:
    """`configs/toytown.py:quick` on four devices in all, with sums in their order.

    other: the DIR of all but the first process, if another.
    stops: the process that is asked to stop, when stage 1 begins to adapt.
    """
    return processes.start(
        [
            [
                *("-c", STOPS + MAIN if index == stops else MAIN),
                *("--config=configs/toytown.py:quick", f"--config.data_dir={data_dir}"),
                f"--workdir={other if other and index else workdir}",
                *("--config.ordered_sums=true", "--config.log_every=1", *flags),
            ]
            for index in range(number)
        ],
        4 // number,
    )


STOPS = """
import os, signal
from labor_jax.util.progress import Progress
advance = Progress.advance
def stopping_advance(self, step, metrics=None):
    advance(self, step, metrics)
    if (self.title, step) == ("stage 1 · adapt", 11):
        os.kill(os.getpid(), signal.SIGTERM)
Progress.advance = stopping_advance
"""

MAIN = """
import sys
from labor_jax import main
from labor_jax.cli import program
from labor_jax.util import hosts, stopping
hosts.LOST_SECONDS = 10.0
stopping.GRACE = 1e6  # what is saved is looked at, however long a slow machine takes
sys.exit(program.process(main.main))
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory, tiny_dir):
    workdir = tmp_path_factory.mktemp("alone")
    assert processes.finish(start(workdir, tiny_dir, 1))[0][0] == 0
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
    for status, error in processes.finish(
        start(tmp_path / "run", tiny_dir, 2, f"--config.parallel={mode}")
    ):
        assert status == 0, error
    assert_same_run(alone, tmp_path / "run")


@pytest.mark.slow
def test_two_processes_that_one_of_them_stops_go_on_as_one(alone, tmp_path, tiny_dir):
    workdir = tmp_path / "run"
    ends = processes.finish(start(workdir, tiny_dir, 2, stops=1))
    for status, error in ends:
        assert status == 128 + signal.SIGTERM, error
    assert "all saved: run the same command again" in ends[1][1].splitlines()[-1]
    assert json.loads((workdir / "summary.json").read_text())["status"] == "running"
    assert processes.finish(start(workdir, tiny_dir, 1))[0][0] == 0
    assert_same_run(alone, workdir)


# ------------------------------------------------------------------- four processes' whole life


def steps_recorded(workdir: pathlib.Path) -> int:
    return max((record["step"] for record in read_metrics(workdir)), default=0)


@pytest.mark.slow
def test_four_processes_of_which_one_is_killed_one_is_stopped_and_the_first_dies_go_on(
    tmp_path, tiny_dir
):
    # A network of few tensors: a step of four processes exchanges each of them.
    flags = [
        "--config.method=source_only",
        "--config.plugins=('support.one_layer',)",
        "--config.model.backbone=one_layer",
        "--config.model.output_stride=8",
        "--config.input.size=(32, 32)",
        "--config.warmup_steps=40",
        "--config.stages=1",
    ]
    whole, workdir = tmp_path / "whole", tmp_path / "run"
    ((status, error),) = processes.finish(start(whole, tiny_dir, 1, *flags))
    assert status == 0, error
    for victim, number in ((2, signal.SIGKILL), (3, signal.SIGTERM), (0, signal.SIGKILL)):
        since, started = steps_recorded(workdir), start(workdir, tiny_dir, 4, *flags)
        deadline = time.monotonic() + COMPILED
        while steps_recorded(workdir) < since + 4:
            assert time.monotonic() < deadline and started[0].poll() is None
            time.sleep(0.05)
        started[victim].send_signal(number)
        for index, (status, error) in enumerate(processes.finish(started)):
            last = (said(error) or [""])[-1]
            if number == signal.SIGTERM:
                assert status == 128 + number and last.startswith("stopped at step"), error
            elif index != victim:
                assert last == f"error: {partners.lost(f'process {victim} of 4')}", error
    for status, error in processes.finish(start(workdir, tiny_dir, 4, *flags)):
        assert status == 0, error
    scores = [files.read_json(d / "summary.json") for d in (whole, workdir)]
    assert scores[0]["status"] == scores[1]["status"] == "finished"
    assert abs(scores[0]["mIoU"] - scores[1]["mIoU"]) <= 0.1


# ------------------------------------------------------------------------------------ refusals


def test_processes_that_would_each_train_a_model_of_their_own_are_told_so(tmp_path, tiny_dir):
    for status, error in processes.finish(start(tmp_path, tiny_dir, 2, "--config.parallel=jit")):
        assert status == 2
        assert "config.parallel: jit trains on one device" in error.splitlines()[-1]
    assert not (tmp_path / "config.json").exists()


def test_processes_that_see_different_folders_are_told_so(tmp_path, tiny_dir):
    for status, error in processes.finish(
        start(tmp_path / "one", tiny_dir, 2, other=tmp_path / "two")
    ):
        assert status == 2
        assert "is not the same folder for all 2 processes" in error.splitlines()[-1]
