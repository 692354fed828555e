"""What is shown of a long piece of work."""

import pytest

from labor_jax.util import progress
from labor_jax.util.progress import show_progress


def shown_lines(capfd, monkeypatch, seconds_a_step, steps=range(101, 141)):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    capfd.readouterr()
    with show_progress("adapt", 100, 140, "step") as shown:
        for step in steps:
            now[0] += seconds_a_step
            shown.advance(step, {"loss": 1 / step})
    return capfd.readouterr().err.splitlines()


def test_plain_lines_are_the_first_the_last_and_one_every_ten_seconds(capfd, monkeypatch):
    lines = shown_lines(capfd, monkeypatch, seconds_a_step=1.0)
    assert [line.split("step")[1].split("·")[0].strip() for line in lines] == [
        "0/40",
        "10/40",
        "20/40",
        "30/40",
        "40/40",
    ]
    assert lines[1].startswith("adapt")
    assert "1 steps/s · 0:30 left · loss 0.009091" in lines[1]


def test_images_are_counted_as_such_and_nothing_is_shown_of_none(capfd):
    with show_progress("predict", 0, 0, "image"):
        pass
    with show_progress("predict", 0, 2, "image") as shown:
        shown.advance(1)
        shown.advance(2)
    first, last = capfd.readouterr().err.splitlines()
    assert "image 0/2" in first and "image 2/2" in last and "images/s" in last


def test_a_fast_phase_takes_two_lines(capfd, monkeypatch):
    assert len(shown_lines(capfd, monkeypatch, seconds_a_step=0.001)) == 2


def test_an_interrupted_phase_says_where_it_stopped(capfd, monkeypatch):
    lines = shown_lines(capfd, monkeypatch, 0.001, steps=range(101, 120))
    assert "step 19/40" in lines[-1]


def test_a_resumed_phase_measures_its_own_speed(capfd, monkeypatch):
    lines = shown_lines(capfd, monkeypatch, 2.0, steps=range(131, 141))
    assert "0.5 steps/s" in lines[-1]


def test_metrics_are_fetched_only_when_shown():
    fetched = []

    class Scalar:
        def __float__(self):
            fetched.append(1)
            return 0.5

    with show_progress("adapt", 0, 50, "step") as shown:
        for step in range(1, 51):
            shown.advance(step, {"loss": Scalar()})
    assert len(fetched) == 1


def test_a_program_that_only_imports_a_kernel_is_no_notebook(monkeypatch):
    import ipykernel.zmqshell
    import IPython

    assert not progress.in_notebook() and progress.console().stderr
    shell = ipykernel.zmqshell.ZMQInteractiveShell.__new__(ipykernel.zmqshell.ZMQInteractiveShell)
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    assert not progress.in_notebook(), "a shell without a kernel"
    monkeypatch.setattr(type(shell), "kernel", object(), raising=False)
    assert progress.in_notebook() and not progress.console().stderr


@pytest.mark.parametrize(("seconds", "text"), [(5, "0:05"), (65.4, "1:05"), (3725, "1:02:05")])
def test_time_left_reads_like_a_clock(seconds, text):
    assert progress.clock(seconds) == text
