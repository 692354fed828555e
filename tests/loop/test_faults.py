"""Whatever kills a run or breaks its files: it ends as if nothing had, or says what is wrong."""

import math
import os
import random
import shutil
import signal
import time

import numpy as np
import pytest
from support import faults

from labor_jax.data.labels import CAMVID
from labor_jax.loop import schedule
from labor_jax.train import parallel, state
from labor_jax.util import stopping
from labor_jax.util.errors import Stopped, UserError
from labor_jax.util.progress import Progress

KILLS = 20


@pytest.fixture(scope="module")
def initial(make_config):
    return parallel.replicate(state.init_state(make_config("labor_spl"), len(CAMVID)), "jit")


# ---------------------------------------------------------------------------------------- kills


def steps_lost(workdir):
    """How many steps a run has recorded since its last save."""
    return faults.recorded_step(workdir) - max(faults.saved_steps(workdir), default=0)


@pytest.fixture(scope="module")
def killed(tmp_path_factory, tiny_dir):
    """The DIRs of runs that were killed at random until they had ended; how each process ended."""
    started = time.monotonic()
    alone = tmp_path_factory.mktemp("alone")
    faults.end(faults.start(alone, tiny_dir), signal.SIGKILL, math.inf)
    whole = time.monotonic() - started
    draw = random.Random(0)
    ends, workdirs, kills = [], [alone], 0
    while kills < KILLS or ends[-1][0].signal:
        if not ends or not ends[-1][0].signal:
            workdirs.append(tmp_path_factory.mktemp("killed"))
        number = faults.SIGNALS[kills % 2]
        moment = draw.uniform(0, whole) if kills < KILLS else math.inf
        before = steps_lost(workdirs[-1])
        end = faults.end(faults.start(workdirs[-1], tiny_dir), number, moment)
        kills += end.signal != 0
        done = faults.is_finished(workdirs[-1])
        lost = steps_lost(workdirs[-1])
        ends.append((end, done, before, lost))
        last = end.stderr.strip().rpartition("\n")[2]
        print(
            f"{moment:5.1f} s {end.signal:2} {end.status:4} {end.seconds:5.2f} s lost {lost} {last}"
        )
    return workdirs, ends


@pytest.mark.slow
def test_runs_that_are_killed_at_random_end_as_the_uninterrupted_one(killed, finished, initial):
    expected = faults.left_by(finished, initial)
    for workdir in killed[0]:
        assert faults.left_by(workdir, initial) == expected
        assert not faults.half_written(workdir)


@pytest.mark.slow
def test_a_termination_ends_in_time_with_a_line_that_says_how_to_go_on(killed):
    for end, done, *_ in killed[1]:
        assert "Traceback" not in end.stderr
        if end.signal != signal.SIGTERM or end.status == 0:  # it may have come at the very end
            continue
        if end.status == -signal.SIGTERM:  # before the program's first line, or after its last
            assert done or not end.stderr
            continue
        assert end.status == 128 + signal.SIGTERM
        assert end.stderr.strip().endswith("run the same command again to go on")
        assert end.seconds < stopping.GRACE + 5


@pytest.mark.slow
def test_no_kill_loses_more_than_the_steps_since_the_last_save(killed):
    for end, _, before, lost in killed[1]:
        # A save of every third step may still be under way when the next is due. A process that is
        # stopped while it starts leaves what a kill had lost before.
        assert lost <= (6 if end.signal == signal.SIGKILL else max(before, 0))


# --------------------------------------------------------------------------------------- damage


@pytest.fixture(scope="module")
def config(make_config):
    return make_config("labor_spl")


@pytest.fixture(scope="module")
def halfway(tmp_path_factory, config):
    """The DIR of a run that was stopped when stage 2 was adapting, at step 20 of 22."""
    workdir = tmp_path_factory.mktemp("halfway")
    advance = Progress.advance

    def stopping_advance(self, step, metrics=None):
        advance(self, step, metrics)
        if step == 20:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Progress, "advance", stopping_advance)
        with pytest.raises(Stopped, match="stopped at step 20, all saved"):
            schedule.run(config, workdir)
    assert faults.saved_steps(workdir) == [6, 18, 20]
    return workdir


@pytest.fixture
def broken(halfway, tmp_path):
    shutil.copytree(halfway, tmp_path / "run")
    return tmp_path / "run"


HARM = (faults.half, faults.empty, faults.one_bit, faults.last_line, None)
LOST = "is lost or incomplete"
CASES = [
    ("config.json", HARM[:3], "config.json: damaged"),
    ("summary.json", HARM[:3], "summary.json: damaged"),
    ("summary.json", HARM[4:], LOST),
    ("metrics.jsonl", HARM[:4], "metrics.jsonl: damaged: the record of"),
    ("queries/stage_1.jsonl", HARM[:4], "stage_1.jsonl: damaged"),
    ("queries/stage_2.jsonl", HARM[4:], LOST),
    ("queries/stage_1.score.json", HARM[:3], "stage_1.score.json: damaged"),
    ("queries/stage_2.score.json", HARM[4:], LOST),
    ("annotations/journal.jsonl", (HARM[0], HARM[1], *HARM[3:]), LOST),
    ("annotations/journal.jsonl", HARM[2:3], "is damaged"),
    (
        "checkpoints/20/state/ocdbt.process_0/d/*",
        (*HARM[:3], None),
        "checkpoints/20 cannot be read",
    ),
    ("checkpoints/20/state/d/*", (*HARM[:3], None), "checkpoints/20 cannot be read"),
    ("checkpoints/20/state/manifest.ocdbt", (*HARM[:3], None), "checkpoints/20 cannot be read"),
    ("checkpoints/20/state/_METADATA", (*HARM[:2], None), "checkpoints/20 cannot be read"),
    ("checkpoints/20/_CHECKPOINT_METADATA", (*HARM[:2], None), "checkpoints/20 cannot be read"),
    ("previews/stage_1/target_train_0000.png", HARM[:2], "cannot be read as a label map"),
]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("where", "harm", "words"),
    [(where, harm, words) for where, harms, words in CASES for harm in harms],
    ids=lambda value: getattr(value, "__name__", None) or ("gone" if value is None else None),
)
def test_a_file_that_cannot_be_trusted_is_refused_in_one_line(broken, config, where, harm, words):
    (path,) = broken.glob(where)
    if harm is None:
        path.unlink()
    else:
        path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(UserError) as error:
        schedule.run(config, broken)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.slow
def test_what_derives_from_the_rest_is_made_again(broken, config, finished, initial):
    labels = list((broken / "annotations" / "labels").glob("*.png"))
    events = list((broken / "tensorboard").glob("*"))
    for path in [*labels, *events, broken / "parameters.txt", broken / "report.html"]:
        path.write_bytes(faults.half(path.read_bytes()))
    (broken / "config.json").unlink()
    journal, half_line = broken / "annotations" / "journal.jsonl", b'{"query": "2/target_train_0'
    journal.write_bytes(journal.read_bytes() + half_line)
    with open(broken / "metrics.jsonl", "ab") as metrics:
        metrics.write(b'{"step": 21, "pha')
    (broken / "queries" / ".stage_2.jsonl.4194999.partial").write_bytes(b"{")
    shutil.copytree(
        broken / "checkpoints" / "20", broken / "checkpoints" / "21.orbax-checkpoint-tmp"
    )
    schedule.run(config, broken)
    # Nobody answers any more. The next one who did would cut it off; until then it is passed over.
    journal.write_bytes(journal.read_bytes().removesuffix(half_line))
    assert faults.left_by(broken, initial) == faults.left_by(finished, initial)
    assert not faults.half_written(broken)


@pytest.mark.slow
def test_a_run_goes_on_from_the_checkpoint_before(broken, config, finished, initial):
    shutil.rmtree(broken / "checkpoints" / "20")
    (broken / "queries" / "stage_2.score.json").unlink()
    journal = broken / "annotations" / "journal.jsonl"
    journal.write_bytes(faults.last_line(journal.read_bytes())[:-7])
    schedule.run(config, broken)
    assert faults.left_by(broken, initial) == faults.left_by(finished, initial)


@pytest.mark.slow
def test_records_that_were_deleted_are_done_without(broken, config, finished, initial):
    (broken / "metrics.jsonl").unlink()
    schedule.run(config, broken)
    ours, theirs = (faults.left_by(workdir, initial) for workdir in (broken, finished))
    records, whole = ours.pop("records"), theirs.pop("records")
    assert ours == theirs
    assert records[0] == {"step": 20, "phase": "start", "stage": 0}
    assert records[1:] == [record for record in whole if record["step"] > 20]


# ------------------------------------------------------------------------------------------ NaN


def test_a_nan_is_named_and_never_saved(tmp_path, make_config, monkeypatch):
    config = make_config("labor_spl", checkpoint_every=2, log_every=100)
    map_step = parallel.map_step

    def failing_at_4(step, mode):
        mapped = map_step(step, mode)

        def run(now, batch):
            now, losses = mapped(now, batch)
            if int(now.step) >= 4:
                losses = losses | {"loss/source_main": np.float32("nan")}
            return now, losses

        return run

    monkeypatch.setattr(parallel, "map_step", failing_at_4)
    with pytest.raises(UserError, match=r"loss/source_main is nan at step 4; the last checkpoint"):
        schedule.run(config, tmp_path)
    assert faults.saved_steps(tmp_path) == [2]
