"""Progress, metrics.jsonl and TensorBoard."""

import json
import math

import jax
import jax.numpy as jnp
import pytest
from tensorboardX.proto import event_pb2

from labor_jax.report.monitor import Monitor, check_records, read_metrics
from labor_jax.util.errors import UserError


def lines_of(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def events_of(workdir):
    """All (tag, step, value) of a TensorBoard folder, and the steps purged at restarts."""
    scalars, purges = [], []
    for path in sorted((workdir / "tensorboard").iterdir()):
        data = path.read_bytes()
        while data:
            size = int.from_bytes(data[:8], "little")
            event = event_pb2.Event.FromString(data[12 : 12 + size])
            data = data[16 + size :]
            scalars += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
            if event.HasField("session_log"):
                purges.append(event.step)
    return scalars, purges


def test_a_record_is_on_disk_before_the_run_ends(tmp_path):
    with Monitor(tmp_path) as watch:
        watch.record(3, "warm-up", 0, {"loss": jnp.float32(0.5), "count": 7})
        record = {"step": 3, "phase": "warm-up", "stage": 0, "loss": 0.5, "count": 7}
        assert lines_of(tmp_path) == [record]
    assert ("warm-up/loss", 3, 0.5) in events_of(tmp_path)[0]


def test_what_is_not_finite_is_null(tmp_path):
    with Monitor(tmp_path) as watch:
        watch.record(1, "adapt", 1, {"loss": math.nan, "mIoU": None, "adv": math.inf})
    text = (tmp_path / "metrics.jsonl").read_text()
    assert "NaN" not in text and "Infinity" not in text
    assert set(lines_of(tmp_path)[0].values()) == {1, "adapt", None}


def test_resuming_drops_what_happens_again_and_a_half_line(tmp_path):
    with Monitor(tmp_path) as watch:
        for step in range(1, 6):
            watch.record(step, "warm-up", 0, {"loss": step / 10})
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 2, "phase": "wa')
    with Monitor(tmp_path, resume_step=3) as watch:
        assert [r["step"] for r in lines_of(tmp_path)] == [1, 2, 3]
        watch.record(4, "warm-up", 0, {"loss": 9.0})
    assert [r["loss"] for r in lines_of(tmp_path)] == [0.1, 0.2, 0.3, 9.0]
    assert 4 in events_of(tmp_path)[1]


def test_a_record_kept_from_before_a_kill_is_not_doubled(tmp_path):
    (tmp_path / "metrics.jsonl").touch()
    for _ in range(2):
        with Monitor(tmp_path, resume_step=3) as watch:
            watch.record(3, "evaluate", 1, {"mIoU": 40.0})
            watch.record(3, "select", 1, {"share": 0.02})
    assert [r["phase"] for r in lines_of(tmp_path)] == ["evaluate", "select"]


def test_reading_metrics_leaves_out_a_half_line(tmp_path):
    assert read_metrics(tmp_path) == []
    (tmp_path / "metrics.jsonl").write_bytes(
        b'{"step": 1, "phase": "a", "stage": 0}\n{"step": 1\xff'
    )
    assert read_metrics(tmp_path) == [{"step": 1, "phase": "a", "stage": 0}]


EXPECTED = [(2, "warmup"), (4, "warmup"), (4, "evaluate")]


def write_expected(tmp_path):
    with Monitor(tmp_path) as watch:
        for step, phase in EXPECTED:
            watch.record(step, phase, 0, {"loss": 1.0})
    return tmp_path / "metrics.jsonl"


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_lost_record_is_named(tmp_path, lost):
    path = write_expected(tmp_path)
    check_records(tmp_path, EXPECTED)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:lost] + lines[lost + 1 :]))
    step, phase = EXPECTED[lost]
    with pytest.raises(UserError, match=rf"metrics.jsonl: .* record of {phase} at step {step} is"):
        check_records(tmp_path, EXPECTED)


def test_records_that_were_deleted_are_not_asked_for_again(tmp_path):
    write_expected(tmp_path).unlink()
    check_records(tmp_path, EXPECTED)
    with Monitor(tmp_path, resume_step=4):
        pass
    check_records(tmp_path, EXPECTED)
    with pytest.raises(UserError, match=r"record of selector at step 6 is lost"):
        check_records(tmp_path, [*EXPECTED, (6, "selector")])


def test_a_second_process_is_silent_and_writes_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    with Monitor(tmp_path) as watch, watch.phase("warm-up", 0, 0, 2) as progress:
        progress.advance(2, {"loss": 1.0})
        watch.record(1, "warm-up", 0, {"loss": 1.0})
        watch.say("hello")
    assert not any(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_a_phase_is_shown_with_its_stage(tmp_path, capfd):
    with Monitor(tmp_path) as watch:
        for stage in (0, 2):
            with watch.phase("adapt", stage, 100, 140) as progress:
                progress.advance(140)
    first, _, third, _ = capfd.readouterr().err.splitlines()
    assert first.split("step") == ["adapt                ", "  0/40"]
    assert third.split("step") == ["stage 2 · adapt      ", "  0/40"]


def test_on_a_terminal_there_is_a_bar_and_a_said_line_stays_whole(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with Monitor(tmp_path) as watch, watch.phase("warm-up", 0, 0, 3) as progress:
        progress.advance(1, {"loss": 0.25})
        watch.say("[bold] saved step 1")
        progress.advance(3, {"loss": 0.125})
    error = capfd.readouterr().err
    assert "[bold] saved step 1" in error
    assert "3/3" in error and "loss 0.125" in error
