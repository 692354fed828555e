"""A run that is killed in every phase ends as if it had not been."""

import pathlib
import signal
import subprocess
import sys

import jax
import numpy as np
import pytest
from support.tiny import like
from support.waiting import COMPILED

from labor_jax.annotation import journal
from labor_jax.annotation import queries as q
from labor_jax.data.labels import CAMVID
from labor_jax.infer import restore
from labor_jax.loop import schedule
from labor_jax.report.monitor import read_metrics
from labor_jax.train import parallel, state
from labor_jax.train.checkpoint import Checkpoints

SUPPORT = pathlib.Path(__file__).parents[1] / "support"

# `configs/toytown.py:quick` warms up to step 6; a stage's selector takes 4 steps, adapting 4.
TWO = ["int:warmup:2", "stage 1 annotate:7:half"]
FIRST_STAGE = [
    "int:warmup:2",
    "warmup:5",
    "stage 1 selector:8",
    "stage 1 query:5",
    "stage 1 annotate:7:half",
    "stage 1 adapt:12",
    "save:14",
]
SECOND_STAGE = [
    "save:6",
    "save:9",
    "stage 2 selector:16",
    "stage 2 query:12",
    "stage 2 annotate:1",
    "stage 2 annotate:12",
    "stage 2 adapt:19",
    "int:stage 2 adapt:21",
    "save:22",
]


MORE = {"optimizer.average": 0.9, "adapt": "both"}
"""So that the moving average and what its labels are mixed with have to survive, too."""


def run(where: str, workdir: pathlib.Path, data_dir: str) -> subprocess.CompletedProcess:
    config = f"--config={SUPPORT.parents[1] / 'configs' / 'toytown.py'}:quick"
    flags = [config, f"--workdir={workdir}", f"--config.data_dir={data_dir}"]
    flags += [f"--config.{key}={value}" for key, value in MORE.items()]
    program = [sys.executable, str(SUPPORT / "dying.py"), where, *flags]
    return subprocess.run(
        program, cwd=SUPPORT.parents[1], capture_output=True, text=True, timeout=COMPILED
    )


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory, make_config):
    """The DIR of the same run without a death."""
    workdir = tmp_path_factory.mktemp("unharmed")
    schedule.run(make_config("labor_spl", **MORE), workdir)
    return workdir


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(TWO, id="two deaths"),
        pytest.param(FIRST_STAGE, id="first stage", marks=pytest.mark.slow),
        pytest.param(SECOND_STAGE, id="second stage", marks=pytest.mark.slow),
    ],
)
def survivor(request, tmp_path_factory, tiny_dir):
    """The DIR of a run that died at every place of a list, and how each of its processes ended."""
    workdir = tmp_path_factory.mktemp("survivor")
    ends = [(where, run(where, workdir, tiny_dir)) for where in [*request.param, "nowhere"]]
    return workdir, ends


def test_every_process_dies_where_it_should_and_the_last_one_ends_well(survivor):
    for where, end in survivor[1]:
        if where == "nowhere":
            assert end.returncode == 0, end.stderr
            assert end.stdout.startswith("labor_spl: finished")
        elif where.startswith("int:"):
            assert end.returncode == 128 + signal.SIGINT, end.stderr
        else:
            assert end.returncode == -signal.SIGKILL, (where, end.stderr)
        assert "Traceback" not in end.stderr


def test_ctrl_c_says_at_which_step_all_was_saved(survivor):
    for where, end in survivor[1]:
        if where.startswith("int:"):
            step = where.rpartition(":")[2]
            line = f"stopped at step {step}, all saved: run the same command again to go on"
            assert end.stderr.splitlines()[-1] == line


def test_the_queries_are_the_same(survivor, unharmed):
    for stage in (1, 2):
        assert q.read_queries(survivor[0], stage) == q.read_queries(unharmed, stage)


def test_the_journal_and_the_labels_are_the_same(survivor, unharmed):
    assert journal.path(survivor[0]).read_bytes() == journal.path(unharmed).read_bytes()
    labels = [
        {p.relative_to(d): p.read_bytes() for p in (d / "annotations" / "labels").rglob("*.png")}
        for d in (survivor[0], unharmed)
    ]
    assert labels[0] and labels[0] == labels[1]


def test_the_final_state_is_bit_identical(survivor, unharmed, make_config):
    start = state.init_state(make_config("labor_spl", **MORE), len(CAMVID))
    ends = []
    for workdir in (survivor[0], unharmed):
        checkpoints = Checkpoints(workdir, CAMVID)
        assert checkpoints.latest == 22
        ends.append(jax.device_get(checkpoints.load(22, like(parallel.replicate(start, "jit")))))
        checkpoints.close()
    jax.tree.map(np.testing.assert_array_equal, *ends)
    shipped = jax.device_get(restore.restore(survivor[0]).segmenter)
    jax.tree.map(np.testing.assert_array_equal, shipped, ends[0].average)
    raw = ends[0].segmenter.replace(opt_state=())
    assert any(jax.tree.leaves(jax.tree.map(lambda a, b: (a != b).any(), shipped, raw)))


def test_the_metrics_are_the_same_and_none_is_recorded_twice(survivor, unharmed):
    records = [
        sorted(read_metrics(d), key=lambda r: (r["step"], r["phase"]))
        for d in (survivor[0], unharmed)
    ]
    assert records[0] == records[1]


def test_nothing_half_written_is_left_behind(survivor):
    names = [path.name for path in survivor[0].rglob("*")]
    assert not [name for name in names if "tmp" in name or "partial" in name]
