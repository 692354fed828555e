"""One writer for each part of a run's folder: programs of each sort at once, and after a kill."""

import contextlib
import re
import signal
import subprocess

import numpy as np
import pytest
from support import annotating, commands, faults
from support.waiting import PATIENCE

from labor_jax import notebook
from labor_jax.annotation import journal
from labor_jax.annotation import queries as q
from labor_jax.data.labels import CAMVID
from labor_jax.util import lock
from labor_jax.util.errors import UserError

SIZE = (24, 32)
SHORT = ("--config.method=source_only", "--config.stages=0")
QUICK = f"--config={faults.ROOT / 'configs' / 'toytown.py'}:quick"


@pytest.fixture
def waiting(tmp_path):
    """A run that waits for people."""
    draw = np.random.default_rng(0)
    images = {name: draw.integers(0, 255, (*SIZE, 3)).astype(np.uint8) for name in "ab"}
    queries = [q.point_query(name, 1, SIZE, [(1, 1), (8, 20)]) for name in images]
    return annotating.make_run(tmp_path / "run", images, queries)


@pytest.fixture
def answered(waiting, tmp_path):
    """What another tool makes of its queries: every point is road."""
    out = tmp_path / "tasks"
    commands.call("annotate", "export", f"--workdir={waiting}", "--format=cvat", f"--out={out}")
    path = out / "annotations.xml"
    path.write_text(re.sub(r'label="\?"', 'label="road"', path.read_text()))
    return path


def take_in(workdir, path):
    return "annotate", "import", f"--workdir={workdir}", "--format=cvat", f"--file={path}"


def locks(workdir):
    return [
        lock.path(workdir, part).name
        for part in (lock.RUN, lock.ANSWERS)
        if lock.path(workdir, part).exists()
    ]


@contextlib.contextmanager
def training(workdir, tiny_dir):
    """A run with an oracle, in a process of its own that was put to sleep while it trains."""
    process = faults.start(workdir, tiny_dir, *SHORT)
    said = b""
    while b"step 0/" not in said:
        line = process.stderr.readline()
        assert line, said.decode()
        said += line
    process.send_signal(signal.SIGSTOP)
    yield process
    process.kill()
    process.communicate()


# -------------------------------------------------------------------------------- run and run


@pytest.mark.slow
def test_a_second_run_is_told_of_the_first_and_goes_on_after_its_kill(tmp_path, tiny_dir):
    flags = ("run", QUICK, f"--workdir={tmp_path}", f"--config.data_dir={tiny_dir}", *SHORT)
    with training(tmp_path, tiny_dir) as first:
        before = (tmp_path / "config.json").read_bytes()
        line = commands.the_line(commands.call(*flags))
        assert f"is being written by labor-jax run, process {first.pid} on " in line
        assert (tmp_path / "config.json").read_bytes() == before
        answers = commands.the_line(commands.call("annotate", f"--workdir={tmp_path}", "--port=0"))
        assert f"annotated already by labor-jax run, process {first.pid}" in answers, "an oracle's"
        first.kill()
        first.wait()
        ended = commands.call(*flags)
    assert ended.status == 0, ended.stderr
    assert not locks(tmp_path)


# ---------------------------------------------------------------------------- run and people


def test_a_run_may_ask_more_while_people_answer_and_ends_while_it_waits(waiting):
    with annotating.serving(waiting, "--annotator=ana"):
        with lock.hold(waiting, lock.RUN, "labor-jax run"):
            pass
        assert locks(waiting) == [lock.path(waiting, lock.ANSWERS).name]
    assert not locks(waiting)


@pytest.mark.parametrize("second", ["server", "import", "widget", "frame"])
def test_while_a_server_runs_nobody_else_takes_answers(waiting, answered, second):
    server, _ = annotating.start(waiting)
    try:
        if second in ("server", "import"):
            arguments = ("annotate", f"--workdir={waiting}", "--port=0")
            ended = commands.call(
                *(take_in(waiting, answered) if second == "import" else arguments)
            )
            line = commands.the_line(ended)
        else:
            with pytest.raises(UserError) as refused:
                notebook.annotator(waiting, "ben", frame=second == "frame")
            line = str(refused.value)
            assert "close() the widget or frame there was before" in line
        assert f"annotated already by labor-jax annotate, process {server.pid} on " in line
        assert not journal.read(waiting, CAMVID)
    finally:
        server.kill()
        server.communicate()
    assert commands.call(*take_in(waiting, answered)).status == 0, "it was killed: it goes on"
    assert len(journal.read(waiting, CAMVID)) == 4 and not locks(waiting)


@pytest.mark.slow
def test_while_a_widget_is_open_no_server_starts_until_it_is_closed(waiting, answered):
    widget = notebook.annotator(waiting, "ana", frame=False)
    for arguments in (("annotate", f"--workdir={waiting}", "--port=0"), take_in(waiting, answered)):
        assert "a notebook's widget, process" in commands.the_line(commands.call(*arguments))
    with pytest.raises(UserError, match=r"close\(\) the widget"):
        notebook.annotator(waiting, "ana", frame=False)
    widget.close()
    with annotating.serving(waiting):
        pass
    assert not locks(waiting)


def test_two_imports_at_once_take_each_answer_once(waiting, answered):
    pipe = subprocess.PIPE
    both = [commands.start(*take_in(waiting, answered), stdout=pipe, stderr=pipe) for _ in range(2)]
    told = [process.communicate(timeout=PATIENCE) for process in both]
    assert sorted(process.returncode for process in both) in ([0, 0], [0, 2]), told
    assert len(journal.lines(waiting, CAMVID)) == 4 and not locks(waiting)


# ------------------------------------------------------------------------------------ readers


def test_readers_neither_need_a_lock_nor_change_anything(waiting, tmp_path):
    journal.append(waiting, [], CAMVID)
    with open(journal.path(waiting), "ab") as file:
        file.write(b'{"query": "1/a", "half')
    before = journal.path(waiting).read_bytes()
    with lock.hold(waiting, lock.RUN, "one"), lock.hold(waiting, lock.ANSWERS, "another"):
        out = f"--out={tmp_path / 'out'}"
        ended = commands.call("annotate", "export", f"--workdir={waiting}", "--format=png", out)
    assert ended.status == 0, ended.stderr
    assert journal.path(waiting).read_bytes() == before
