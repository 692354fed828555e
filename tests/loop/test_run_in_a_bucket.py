"""A run whose folder is in a bucket; killed on one machine, it goes on on another one."""

import contextlib
import itertools
import json
import pathlib
import signal
import subprocess
import time

import fsspec
import jax
import numpy as np
import pytest
from support import buckets, commands
from support.tiny import like

from labor_jax.annotation import journal
from labor_jax.annotation import queries as q
from labor_jax.data.labels import CAMVID
from labor_jax.infer import restore
from labor_jax.loop import schedule
from labor_jax.report.monitor import read_metrics
from labor_jax.train import parallel, state
from labor_jax.train.checkpoint import Checkpoints
from labor_jax.util import bucket, rng
from labor_jax.util.errors import Stopped, UserError
from labor_jax.util.progress import Progress

HERE = "gs://runs/town"
KILLS = 10


@pytest.fixture
def server():
    """The environment in which programs see an empty bucket; this process sees it, too."""
    with buckets.seen() as environment:
        yield environment


@pytest.mark.slow
def test_a_run_in_a_bucket_is_the_run_of_a_folder_and_is_read_from_anywhere(
    server, make_config, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "one"))
    config = make_config("random", stages=1)
    values = schedule.run(config, HERE)
    apart = schedule.run(config, tmp_path / "apart")
    assert values["status"] == "finished" and values["stages"] == apart["stages"]
    assert schedule.run(config, HERE)["stages"] == apart["stages"]  # nothing is done again
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "two"))
    there, here = restore.restore(HERE), restore.restore(tmp_path / "apart")
    jax.tree.map(np.testing.assert_array_equal, there.segmenter, here.segmenter)
    with pytest.raises(UserError, match="holds a run with another config: seed"):
        schedule.run(make_config("random", stages=1, seed=5), HERE)


@pytest.mark.slow
def test_each_version_that_is_published_has_something_new_and_a_stopped_run_is_whole(
    make_config, tmp_path, monkeypatch
):
    published: list[dict[str, bytes]] = []

    @contextlib.contextmanager
    def working_copy(address):
        folder = tmp_path / "run"

        def publish():
            paths = (path for path in folder.rglob("*") if path.is_file())
            published.append({str(path.relative_to(folder)): path.read_bytes() for path in paths})

        yield folder, publish

    monkeypatch.setattr(bucket, "working_copy", working_copy)
    config = make_config("random", stages=1, checkpoint_every=2)
    advance = Progress.advance

    def stopping_advance(self, step, metrics=None):
        advance(self, step, metrics)
        if step == 3:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "advance", stopping_advance)
        with pytest.raises(Stopped, match="stopped at step 3"):
            schedule.run(config, HERE)
    assert any(name.startswith("checkpoints/3/") for name in published[-1])
    schedule.run(config, HERE)
    assert json.loads(published[-1]["summary.json"])["status"] == "finished"
    assert all(before != after for before, after in itertools.pairwise(published))


def test_people_answer_in_a_folder_of_their_machine(server, make_config):
    with pytest.raises(UserError, match=r"people answer in a folder of the machine"):
        schedule.run(make_config("random", annotator="web"), HERE)
    assert not fsspec.filesystem("gs", use_listings_cache=False).find("runs")


def test_commands_that_need_a_folder_of_this_machine_say_so(tmp_path):
    for command in ("live", "compare"):
        flags = [f"--workdir={HERE}", "--config=toytown:quick"]
        assert "is an address" in commands.the_line(commands.call(command, *flags))
    fetched = str(bucket.reading_folder(HERE))
    of_others = ("--format=png", f"--out={tmp_path}/out"), ("--format=png", f"--file={tmp_path}")
    for flags in ([], ["export", *of_others[0]], ["import", *of_others[1]]):
        told = commands.the_line(commands.call("annotate", *flags, f"--workdir={HERE}"))
        assert f"labor-jax evaluate --workdir={HERE}" in told and fetched in told
    for bad in ("gs://", "gs://runs", "gs://runs//a", "gs://runs/../a"):
        ended = commands.call("evaluate", f"--workdir={bad}")
        assert commands.the_line(ended).endswith("is no folder; give gs://BUCKET/FOLDER")


@pytest.mark.slow
def test_killed_at_ten_random_moments_it_ends_as_the_undisturbed_local_run(
    server, make_config, tiny_dir, tmp_path, monkeypatch
):
    values = {"optimizer.average": 0.9, "adapt": "both", "checkpoint_every": 3}
    config = make_config("labor_spl", **values)
    schedule.run(config, tmp_path / "unharmed")
    flags = [f"--workdir={HERE}", "--config=toytown:quick", f"--config.data_dir={tiny_dir}"]
    flags += [f"--config.{key}={value}" for key, value in values.items()]
    moments = rng.generator(0, "kills").uniform(0, 8, KILLS)
    killed = 0
    for number, moment in enumerate([*moments, None]):
        cache = {"XDG_CACHE_HOME": str(tmp_path / f"machine_{number % 3}")}
        with commands.start(
            "run", *flags, env=server | cache, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            said = iter(process.stdout.readline, "")
            if moment is not None:
                next((line for line in said if "segmenter of" in line), None)  # it has begun
                time.sleep(moment)
                process.send_signal(signal.SIGKILL)
            output = "".join(said)
        killed += process.returncode == -signal.SIGKILL
        assert process.returncode in (0, -signal.SIGKILL), output
    assert process.returncode == 0 and killed >= 3, output
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert_same_runs(pathlib.Path(bucket.local_folder(HERE, "--workdir")), tmp_path / "unharmed",
                     config)  # fmt: skip


def assert_same_runs(one: pathlib.Path, other: pathlib.Path, config) -> None:
    """Queries, answers, label maps, records and the last state are equal, bit for bit."""
    for stage in (1, 2):
        assert q.read_queries(one, stage) == q.read_queries(other, stage)
    assert journal.path(one).read_bytes() == journal.path(other).read_bytes()
    labels = [
        {p.relative_to(d): p.read_bytes() for p in (d / "annotations" / "labels").rglob("*.png")}
        for d in (one, other)
    ]
    assert labels[0] and labels[0] == labels[1]
    records = [sorted(read_metrics(d), key=lambda r: (r["step"], r["phase"])) for d in (one, other)]
    assert records[0] == records[1]
    start, ends = state.init_state(config, len(CAMVID)), []
    for workdir in (one, other):
        checkpoints = Checkpoints(workdir, CAMVID)
        last = like(parallel.replicate(start, "jit"))
        ends.append(jax.device_get(checkpoints.load(checkpoints.latest, last)))
        checkpoints.close()
    jax.tree.map(np.testing.assert_array_equal, *ends)
