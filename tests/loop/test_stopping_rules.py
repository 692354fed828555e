"""When a run stops before its last stage."""

import pytest

from labor_jax.annotation import journal
from labor_jax.config import default_config
from labor_jax.data.labels import CAMVID
from labor_jax.loop import schedule, stopping_rules
from labor_jax.util.files import read_json


def make_config(**values):
    c = default_config()
    c.stages = 3
    c.update_from_flattened_dict(values)
    return c


def rows(*held, share=0.1):
    return [
        {"stage": stage, "held_mIoU": score, "mask": {"share": share} if stage else None}
        for stage, score in enumerate([None, *held])
    ]


def test_by_default_every_stage_asks():
    assert stopping_rules.reason(make_config(), rows(30.0, 30.0, share=0.0)) is None


@pytest.mark.parametrize(("second", "stops"), [(30.9, True), (29.0, True), (31.1, False)])
def test_a_stage_that_gains_too_little_on_held_answers_is_the_last(second, stops):
    config = make_config(**{"stop.plateau": 1.0})
    assert stopping_rules.reason(config, rows(30.0)) is None, "there is nothing to compare with"
    reason = stopping_rules.reason(config, rows(30.0, second))
    assert ("stop.plateau" in reason) if stops else reason is None


@pytest.mark.parametrize(("share", "stops"), [(0.009, True), (0.011, False)])
def test_little_disagreement_ends_the_run(share, stops):
    reason = stopping_rules.reason(
        make_config(**{"stop.disagreement": 0.01}), rows(30.0, share=share)
    )
    assert ("stop.disagreement" in reason) if stops else reason is None


def test_after_the_last_stage_there_is_nothing_to_stop():
    config = make_config(**{"stop.plateau": 99.0, "stop.disagreement": 1.0})
    assert stopping_rules.reason(config, rows(30.0, 30.0, 30.0)) is None


def test_held_images_are_a_seeded_share_and_none_without_the_rule():
    names = [f"street/{n:04d}" for n in range(2000)]
    config = make_config(**{"stop.plateau": 1.0, "stop.held": 0.25})
    held = {name for name in names if stopping_rules.is_held(config, name)}
    assert 0.2 < len(held) / len(names) < 0.3
    assert held != {
        n for n in names if stopping_rules.is_held(make_config(seed=1, **{"stop.plateau": 1.0}), n)
    }
    assert not any(stopping_rules.is_held(make_config(), name) for name in names)


@pytest.mark.slow
def test_a_run_that_has_asked_enough_says_so_and_asks_no_more(tmp_path, make_config):
    values = {"stages": 3, "stop.plateau": 100.0, "stop.held": 0.5}
    schedule.run(make_config("random", **values), tmp_path)
    summary = read_json(tmp_path / "summary.json")
    assert summary["status"] == "finished" and "stop.plateau" in summary["stopped"]
    assert [row["stage"] for row in summary["stages"]] == [0, 1, 2]
    assert all(row["held_mIoU"] is not None for row in summary["stages"][1:])
    assert {entry["stage"] for entry in journal.read(tmp_path, CAMVID)} == {1, 2}
    again = schedule.run(make_config("random", **values), tmp_path)
    assert again == summary
