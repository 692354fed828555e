"""A comparison runs what is missing and nothing else, and stops where a cell is wrong."""

import io
import json
import pathlib
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from support import commands
from support.made_up import confusions
from support.waiting import PATIENCE

from labor_jax.annotation import journal, ledger, oracle
from labor_jax.compare import results
from labor_jax.compare import run as compare
from labor_jax.compare.cells import Cell
from labor_jax.config.protocol import Protocol
from labor_jax.data.labels import CAMVID
from labor_jax.infer import evaluate, metrics, restore
from labor_jax.selection.segments import run_pixels
from labor_jax.util import files
from labor_jax.util.errors import Stopped, UserError

ROOT = pathlib.Path(__file__).parents[2]


def asked(methods=("random", "labor_ppl"), budgets=("4points",), seeds=2, errors=("0",)):
    return compare.Asked("toytown:quick", Protocol(methods, budgets, seeds, errors), 1)


@pytest.fixture
def quick(monkeypatch, make_config):
    """A config, and the names of the cells that were run: at once, with made-up scores."""
    started = []

    def run(config, workdir):
        started.append(workdir.name)
        files.write_json(workdir / "config.json", config.to_dict())
        scores = dict.fromkeys(CAMVID.names, 50.0)
        budget = ledger.budget([], {})
        values = {"status": "finished", "mIoU": 50.0 + len(started), "per_class_iou": scores}
        files.write_json(
            workdir / "summary.json", values | {"budget": budget, "wall_seconds": 60.0}
        )

    def count(workdir, target, table):
        data = io.BytesIO()
        np.savez(data, confusions=confusions(0, 0.5), border=3, classed=4, wrong=0, labelled=0)
        files.write_atomic(workdir / "compare.npz", data.getvalue())

    monkeypatch.setattr(compare.schedule, "run", run)
    monkeypatch.setattr(compare.results, "count", count)
    return make_config("uda"), started


def test_every_cell_is_run_once_and_only_what_is_new_is_added(quick, tmp_path, capsys):
    config, started = quick
    page = compare.run(config, tmp_path, asked())
    names = ("full", "source_only", "uda", "random-4points", "labor_ppl-4points")
    assert started == [f"{name}-seed{seed}" for seed in (0, 1) for name in names]
    assert page == tmp_path / "compare.html" and "10 of 10 runs" in page.read_text()
    said = capsys.readouterr().out
    assert "run 1 of 10: full-seed0\n" in said
    assert "run 10 of 10: labor_ppl-4points-seed1, about 60 s left" in said

    started.clear()
    compare.run(config, tmp_path, asked())
    assert not started and "run " not in capsys.readouterr().out
    compare.run(config, tmp_path, asked(budgets=("4points", "6points"), errors=("0", "0.1")))
    assert len(started) == 2 * 2 * 3 and not any(name.startswith("full") for name in started)


def test_a_cell_that_is_missing_is_run_and_no_other(quick, tmp_path):
    config, started = quick
    compare.run(config, tmp_path, asked())
    started.clear()
    (tmp_path / "random-4points-seed1" / "summary.json").unlink()
    (tmp_path / "uda-seed0" / "compare.npz").unlink()
    compare.run(config, tmp_path, asked())
    assert started == ["uda-seed0", "random-4points-seed1"]


def test_the_page_of_fewer_methods_leaves_the_others_out(quick, tmp_path):
    config, _ = quick
    compare.run(config, tmp_path, asked())
    compare.run(config, tmp_path, asked(methods=("random",), seeds=1))
    assert "labor_ppl" not in (tmp_path / "compare.md").read_text()


def test_what_was_done_before_a_stop_is_on_the_page(quick, tmp_path, monkeypatch):
    config, started = quick
    run = compare.schedule.run

    def stops_at_the_third(config, workdir):
        if len(started) == 2:
            raise Stopped(3, signal.SIGTERM)
        run(config, workdir)

    monkeypatch.setattr(compare.schedule, "run", stops_at_the_third)
    with pytest.raises(Stopped):
        compare.run(config, tmp_path, asked())
    assert "2 of 10 runs" in (tmp_path / "compare.html").read_text()


def test_a_cell_that_an_earlier_version_finished_is_told_with_what_to_do(
    make_config, tmp_path, monkeypatch
):
    monkeypatch.setattr(compare.schedule, "run", lambda config, workdir: None)
    told = r"^full-seed0: .*full-seed0/confusions.npy is missing, .* delete .*/full-seed0, and"
    with pytest.raises(UserError, match=told):
        compare.run(make_config("uda"), tmp_path, asked())


def test_a_fault_of_one_cell_names_it(quick, tmp_path, monkeypatch):
    config, _ = quick

    def fails(config, workdir):
        raise UserError("loss/total is nan at step 3")

    monkeypatch.setattr(compare.schedule, "run", fails)
    with pytest.raises(UserError, match=r"^full-seed0: loss/total is nan at step 3$"):
        compare.run(config, tmp_path, asked())


def test_a_folder_with_another_config_is_named_before_anything_runs(quick, tmp_path):
    config, started = quick
    compare.run(config, tmp_path, asked())
    started.clear()
    config.adapt_steps = 5
    with pytest.raises(UserError, match=r"^full-seed0: .*adapt_steps \(was 4, now 5\)"):
        compare.run(config, tmp_path, asked(seeds=3))
    assert not started


def test_a_config_that_makes_no_run_is_told_before_anything_runs(quick, tmp_path):
    config, started = quick
    config.stages = -1
    with pytest.raises(UserError, match=r"^full-seed0: config\.stages: -1 is negative"):
        compare.run(config, tmp_path, asked())
    assert not started and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["target", "val"])
def test_images_without_labels_are_told_before_anything_runs(quick, tmp_path, name, monkeypatch):
    config, started = quick
    load = compare.loading.load

    def unlabelled(spec, data_dir, table):
        opened = load(spec, data_dir, table)
        hidden = spec.split == config[name].split
        return opened.__class__(
            opened.name, opened.ids, opened.read_image, None if hidden else opened.read_label
        )

    monkeypatch.setattr(compare.loading, "load", unlabelled)
    with pytest.raises(UserError, match=rf"config\.{name}: .* has no labels"):
        compare.run(config, tmp_path, asked())
    assert not started


# ------------------------------------------------------------------------------ real runs


def test_what_is_counted_of_a_run_agrees_with_its_summary_and_its_journal(finished, tmp_path):
    run = restore.restore(finished)
    target, val = run.load_domain("target"), run.load_domain("val")
    before = sorted(p.name for p in finished.iterdir())
    copy = tmp_path / "labor_spl-seed0"
    copy.mkdir()
    for path in finished.iterdir():
        (copy / path.name).symlink_to(path)
    results.count(copy, target, run.table)
    found = results.read(copy, Cell("labor_spl", 0))
    assert found.confusions.shape == (len(val.ids), len(CAMVID), len(CAMVID))
    ious = metrics.per_class_iou(found.confusions.sum(0))
    assert metrics.mean_of(ious) == pytest.approx(found.miou, abs=1e-3)
    assert (
        found.per_class_iou
        == evaluate.evaluate(run.predict, val, run.table, run.config)["per_class_iou"]
    )
    near, classed = 0, 0
    for entry in journal.read(finished, CAMVID):
        if entry["class"] != 255:
            truth = target.read_label(target.ids.index(entry["image"]))
            border = oracle.at_border(truth).ravel()[run_pixels(entry["runs"])]
            near, classed = near + border.sum(), classed + border.size
    assert found.border == pytest.approx(near / classed) and 0 < found.border <= 1
    assert found.wrong == 0, "the oracle answered"
    assert sorted(p.name for p in finished.iterdir()) == before


def test_labels_that_are_not_the_truth_are_counted(finished, tmp_path):
    run = restore.restore(finished)
    copy = tmp_path / "labor_spl-seed0"
    shutil.copytree(finished, copy)
    lines = journal.path(copy).read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    for entry in entries[::2]:
        if entry["class"] != 255:
            entry["class"] = (entry["class"] + 1) % len(CAMVID)
    journal.path(copy).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    results.count(copy, run.load_domain("target"), run.table)
    sizes = [sum(e["runs"][1::2]) * (e["class"] != 255) for e in entries]
    found = results.read(copy, Cell("labor_spl", 0)).wrong
    assert found == pytest.approx(sum(sizes[::2]) / sum(sizes))


def test_the_gap_is_measured_within_a_seed():
    def result(method, seed, miou, budget=None):
        return results.Result(
            Cell(method, seed, budget), miou, {}, {}, 1.0, None, None, np.zeros(0), np.zeros(0)
        )

    budget = compare.cells.parse_budget("4points")
    done = [result("source_only", 0, 30.0), result("full", 0, 50.0), result("full", 1, 60.0)]
    done += [result("random", 0, 45.0, budget), result("random", 1, 45.0, budget)]
    closed = results.gap_closed(done)
    assert closed[Cell("random", 0, budget)] == pytest.approx(0.75)
    assert Cell("random", 1, budget) not in closed, "its source_only has not been run"
    assert (closed[Cell("source_only", 0)], closed[Cell("full", 0)]) == (0.0, 1.0)


def flags_of(workdir, data_dir, *more):
    config = f"--config={ROOT / 'configs' / 'toytown.py'}:quick"
    return [config, f"--workdir={workdir}", f"--config.data_dir={data_dir}", *more]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--methods=random", "--budgets=lots"], ["--budgets", "'lots'", "40points"]),
        (["--methods=rnd", "--budgets=4points"], ["--methods", "'rnd'", "random"]),
        (["--methods=random"], ["--budgets"]),
        (["--methods=random", "--budgets=4points", "--seeds=0"], ["--seeds"]),
    ],
)
def test_a_mistyped_flag_is_one_line(tmp_path, tiny_dir, flags, words):
    ended = commands.call("compare", *flags_of(tmp_path / "all", tiny_dir, *flags))
    line = commands.the_line(ended)
    assert all(word in line for word in words), line
    assert not (tmp_path / "all").exists()


@pytest.mark.slow
def test_two_methods_two_seeds_and_a_signal_in_between(tmp_path, tiny_dir):
    more = ["--methods=random,labor_ppl", "--budgets=4points", "--seeds=2", "--examples=2"]
    flags = flags_of(tmp_path, tiny_dir, *more)
    process = commands.start("compare", *flags, stderr=subprocess.PIPE)
    while not (tmp_path / "source_only-seed0" / "config.json").exists():
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143 and "Traceback" not in said
    assert said.splitlines()[-1].endswith("run the same command again to go on")
    kept = (tmp_path / "full-seed0" / "summary.json").stat().st_mtime_ns

    ended = commands.call("compare", *flags)
    assert ended.status == 0, ended.stderr
    assert (tmp_path / "full-seed0" / "summary.json").stat().st_mtime_ns == kept
    text = (tmp_path / "compare.md").read_text()
    assert "10 of 10 runs" in text and "paired differences" in text.lower()
    for seed in (0, 1):
        own = files.read_json(tmp_path / f"labor_ppl-4points-seed{seed}" / "summary.json")
        assert own["status"] == "finished" and own["config"]["seed"] == seed
        assert own["budget"]["points_per_image"] <= 4
    page = (tmp_path / "compare.html").read_text()
    assert "10 of 10 runs" in page and page.count("<article") == 2
