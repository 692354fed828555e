"""Whole runs: every method, what they leave in DIR, and what they may not do."""

import hashlib
import itertools
import json
import pathlib
import shutil
import sys

import jax
import numpy as np
import pytest
from PIL import Image
from support.tiny import like

from labor_jax.annotation import journal, oracle
from labor_jax.annotation import queries as q
from labor_jax.config import default_config
from labor_jax.config.files import from_dict
from labor_jax.data import domain, loading
from labor_jax.data.images import read_label_png
from labor_jax.data.labels import CAMVID, CITYSCAPES
from labor_jax.infer import evaluate, restore
from labor_jax.loop import asking, schedule
from labor_jax.loop.plan import has_selector, phases
from labor_jax.report.monitor import read_metrics
from labor_jax.selection import strategies
from labor_jax.train import optimizers, state
from labor_jax.train.checkpoint import Checkpoints
from labor_jax.util import files
from labor_jax.util.errors import UserError, Waiting

PIXELS, IMAGES = 48 * 64, 12


# ---------------------------------------------------------------------------------------- plans


@pytest.mark.parametrize("method", strategies.methods())
def test_a_plan_leads_from_step_to_step_and_evaluates_every_stage(method):
    config = default_config()
    config.method, config.stages = method, 3
    plan = phases(config)
    assert plan[0].first == 0
    for before, after in itertools.pairwise(plan):
        assert before.first <= before.last == after.first
    assert [p.stage for p in plan if p.name == "evaluate"] == [0, 1, 2, 3]
    training = [p for p in plan if p.first < p.last]
    assert sum(p.last - p.first for p in training if p.name != "selector") == (
        optimizers.segmenter_steps(config)
    )
    asked = [p.stage for p in plan if p.name == "query"]
    assert asked == [s for s in (1, 2, 3) if asking.asks(method, s)]
    assert asked == [p.stage for p in plan if p.name == "annotate"]
    fitted = [p.stage for p in plan if p.name == "selector"]
    assert fitted == ([1, 2, 3] if method.startswith("labor") else [])


def test_without_a_source_a_run_begins_with_the_first_questions(base, make_config):
    config = make_config(
        "random", **{"source.domain": "", "warmup_steps": 0, "budget.points_per_image": 2}
    )
    assert [p.name for p in phases(config)][:4] == ["evaluate", "query", "annotate", "adapt"]
    summary = schedule.run(config, base / "no_source")
    assert summary["status"] == "finished"
    assert [row["stage"] for row in summary["stages"]] == [0, 1, 2]
    assert summary["budget"]["points"] == 2 * IMAGES


def test_a_plan_reads_as_the_paper():
    config = default_config()
    config.method, config.stages = "labor_spl", 1
    stage = ["selector", "query", "annotate", "adapt", "evaluate"]
    assert [p.name for p in phases(config)] == ["warmup", "evaluate", *stage]


# ----------------------------------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> pathlib.Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def spl(finished) -> pathlib.Path:
    return finished


@pytest.fixture(scope="module")
def watched(base, make_config, spl) -> tuple[pathlib.Path, set[str]]:
    """The DIR of labor_ppl after spl's warm-up; and which functions read the target's truth."""
    load, readers = loading.load, set()

    def watching(spec, data_dir, table):
        opened = load(spec, data_dir, table)
        if spec.split != "target_train":
            return opened

        def read_label(index):
            frame = sys._getframe(1)
            while frame.f_code.co_filename == domain.__file__:  # a domain of some of the images
                frame = frame.f_back
            readers.add(frame.f_code.co_name)
            return opened.read_label(index)

        return domain.Domain(opened.name, opened.ids, opened.read_image, read_label)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "load", watching)
        schedule.run(make_config("labor_ppl", warmup_from=str(spl)), base / "ppl")
    return base / "ppl", readers


@pytest.fixture(scope="module")
def ppl(watched) -> pathlib.Path:
    return watched[0]


def summary_of(workdir):
    return json.loads((workdir / "summary.json").read_text())


def hashes(workdir):
    return {
        str(path.relative_to(workdir)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(workdir.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def initial(make_config):
    return state.init_state(make_config("uda"), len(CAMVID))


def final(workdir, initial):
    """The state at the end of a run, on the host."""
    checkpoints = Checkpoints(workdir, CAMVID)
    try:
        return jax.device_get(checkpoints.load(checkpoints.latest, like(initial)))
    finally:
        checkpoints.close()


def test_the_summary_has_every_key_that_others_read(spl):
    summary = summary_of(spl)
    keys = ["config", "status", "mIoU", "per_class_iou", "budget", "stages", "subsets", "stopped"]
    assert set(summary) == {*keys, "data", "wall_seconds", "versions", "device"}
    assert summary["status"] == "finished"
    budget = ["images", "pixels", "fraction", "points", "segments", "clicks", "void", "seconds"]
    assert set(budget) <= set(summary["budget"])
    assert [row["stage"] for row in summary["stages"]] == [0, 1, 2]
    for row in summary["stages"]:
        assert {"stage", "mIoU", "budget"} <= set(row)
    assert summary["mIoU"] == summary["stages"][-1]["mIoU"]
    assert summary["budget"] == summary["stages"][-1]["budget"]
    assert list(summary["per_class_iou"]) == list(CAMVID.names)
    known = [iou for iou in summary["per_class_iou"].values() if iou is not None]
    assert summary["mIoU"] == pytest.approx(np.mean(known), abs=1e-3)
    assert 0 < summary["mIoU"] <= 100 and summary["wall_seconds"] > 0


def test_a_run_leaves_the_files_that_others_read(spl):
    names = {str(path.relative_to(spl)) for path in spl.rglob("*")}
    assert {"config.json", "checkpoints", "metrics.jsonl", "tensorboard", "summary.json"} <= names
    assert {"report.html", "annotations/journal.jsonl", "annotations/labels"} <= names
    for folder in ("stage_1", "stage_2", "final"):
        pictures = sorted((spl / "previews" / folder).iterdir())
        assert len(pictures) == 2
        with Image.open(pictures[0]) as picture:
            assert picture.mode == "P" and picture.size == (64, 48)
    assert not [name for name in names if "partial" in name or "tmp" in name]
    assert (
        restore.read_config(spl).to_dict()
        == from_dict(files.read_json(spl / "config.json")).to_dict()
    )
    phases = {record["phase"] for record in read_metrics(spl)}
    assert phases == {"warmup", "evaluate", "selector", "query", "adapt"}


def test_the_masks_score_is_told_at_each_stage(spl):
    for row in summary_of(spl)["stages"][1:]:
        assert set(row["mask"]) == {"share", "precision", "recall", "error_rate"}
        assert all(0 <= value <= 1 for value in row["mask"].values())


@pytest.mark.parametrize("method", ["spl", "ppl"])
def test_a_run_stays_within_its_hard_budget_and_asks_no_pixel_twice(method, request):
    workdir = request.getfixturevalue(method)
    config = restore.read_config(workdir)
    asked = {}
    for stage in (1, 2):
        queries = q.read_queries(workdir, stage)
        assert len(queries) == IMAGES
        for query in queries:
            asked.setdefault(query["image"], []).extend(q.asked_pixels(query).tolist())
    cap = config.budget.points_per_image
    if method == "spl":
        cap = int(config.budget.max_fraction * PIXELS)
    for pixels in asked.values():
        assert len(pixels) == len(set(pixels)) <= cap
    budget = summary_of(workdir)["budget"]
    total = sum(map(len, asked.values()))
    assert budget["pixels"] == total > 0
    assert budget["fraction"] == pytest.approx(total / (IMAGES * PIXELS))
    assert budget["clicks"] == len(journal.read(workdir, CAMVID))


def test_the_labels_are_the_truth_at_exactly_the_pixels_asked(spl, make_config):
    config = make_config("labor_spl")
    target = loading.load(config.target, config.data_dir, CAMVID)
    labelled = 0
    for index, image in enumerate(target.ids):
        asked = np.zeros(PIXELS, bool)
        for stage in (1, 2):
            query = next(x for x in q.read_queries(spl, stage) if x["image"] == image)
            asked[q.asked_pixels(query)] = True
        expected = np.where(asked.reshape(48, 64), target.read_label(index), 255)
        path = journal.labels_path(spl, image)
        assert path.exists() == asked.any()
        if asked.any():
            np.testing.assert_array_equal(read_label_png(path), expected)
            labelled += (expected != 255).sum()
    assert labelled > 0


def test_a_finished_run_changes_nothing_when_it_is_run_again(spl, make_config):
    before = hashes(spl)
    assert schedule.run(make_config("labor_spl"), spl)["status"] == "finished"
    assert hashes(spl) == before


@pytest.mark.slow
def test_a_run_that_shares_a_warm_up_ends_bit_identical(base, spl, initial, make_config):
    values = schedule.run(make_config("labor_spl", warmup_from=str(spl)), base / "again")
    own, shared = final(spl, initial), final(base / "again", initial)
    jax.tree.map(np.testing.assert_array_equal, own, shared)
    assert own.step > 0 and values["mIoU"] == summary_of(spl)["mIoU"]
    assert journal.path(base / "again").read_bytes() == journal.path(spl).read_bytes()


def test_a_run_that_shares_a_warm_up_scores_as_the_other_did_after_it(spl, ppl):
    assert summary_of(ppl)["stages"][0] == summary_of(spl)["stages"][0]


def test_only_the_annotator_the_masks_score_and_a_reports_examples_read_the_targets_truth(watched):
    # test_asking: queries are the same without labels; test_report: nobody who answers sees them.
    assert watched[1] == {"annotate", "ask", "examples"}


def test_random_asks_as_many_clicks_as_the_run_it_stands_beside(base, spl, ppl, make_config):
    # What is only of the selector makes no other warm-up.
    other_selector = {"selector.optimizer": "sgd"}
    config = make_config("random", warmup_from=str(spl), beside=str(ppl), **other_selector)
    budget = schedule.run(config, base / "random")["budget"]
    other = summary_of(ppl)["budget"]
    assert budget["clicks"] == other["clicks"] > 0
    assert budget["points"] == other["points"]
    rows = zip(q.read_queries(base / "random", 2), q.read_queries(ppl, 2), strict=True)
    assert all(len(a["points"]) == len(b["points"]) for a, b in rows)


def test_full_labels_every_pixel_at_the_first_stage(base, spl, make_config):
    schedule.run(make_config("full", warmup_from=str(spl)), base / "full")
    summary = summary_of(base / "full")
    assert [row["budget"]["fraction"] for row in summary["stages"]] == [0, 1, 1]
    assert summary["budget"]["pixels"] == IMAGES * PIXELS


@pytest.fixture(scope="module")
def unlabelled(base, make_config) -> pathlib.Path:
    """Toytown's target images in a folder, without labels."""
    config = make_config("uda")
    target = loading.load(config.target, config.data_dir, CAMVID)
    (base / "images" / "deep").mkdir(parents=True)
    for index in range(6):
        Image.fromarray(target.read_image(index)).save(base / "images" / "deep" / f"{index}.png")
    return base / "images"


def folder_config(make_config, unlabelled, method):
    config = make_config(method)
    for spec in (config.target, config.val):
        spec.domain, spec.images, spec.labels = "folder", str(unlabelled), ""
    return config


def test_uda_runs_on_unlabelled_targets_and_an_unlabelled_val_has_no_score(
    base, unlabelled, make_config
):
    values = schedule.run(folder_config(make_config, unlabelled, "uda"), base / "uda")
    assert values["status"] == "finished"
    assert values["mIoU"] is None and set(values["per_class_iou"].values()) == {None}
    assert values["budget"]["clicks"] == 0
    assert not (base / "uda" / "annotations" / "journal.jsonl").exists()


def test_the_oracle_cannot_answer_for_unlabelled_images(base, unlabelled, make_config):
    config = folder_config(make_config, unlabelled, "labor_ppl")
    with pytest.raises(UserError, match=r"config\.target: .* has no labels for the oracle"):
        schedule.run(config, base / "unlabelled")
    assert not (base / "unlabelled").exists()


@pytest.mark.slow  # its step is compiled apart
def test_source_only_runs_without_discriminators(base, initial, make_config):
    values = schedule.run(make_config("source_only"), base / "source")
    assert values["status"] == "finished" and values["mIoU"] > 0
    with pytest.raises(UserError, match=r"checkpoints/\d+ cannot be read"):
        final(base / "source", initial)


def test_a_checkpoint_holds_a_selector_only_until_its_queries_are_made(spl, initial, make_config):
    config = make_config("labor_spl")
    assert [s for s in range(23) if has_selector(config, s)] == [*range(7, 11), *range(15, 19)]
    begun = state.start_selector(initial, config, len(CAMVID), 1)
    checkpoints = Checkpoints(spl, CAMVID)
    assert checkpoints.steps == [6, 18, 22]
    assert checkpoints.load(18, like(begun)).stage == 2
    for step in (6, 22):
        with pytest.raises(UserError, match=rf"checkpoints/{step} cannot be read"):
            checkpoints.load(step, like(begun))
    checkpoints.close()


def test_a_restored_run_scores_what_its_summary_says(spl):
    run = restore.restore(spl)
    val, told = run.load_domain("val"), []
    scores = evaluate.evaluate(run.predict, val, run.table, run.config, told.append)
    assert told == list(range(1, len(val.ids) + 1))
    summary = summary_of(spl)
    assert scores == {name: summary[name] for name in ("mIoU", "per_class_iou", "subsets")}


def test_nineteen_sixteen_and_thirteen_classes_are_scored_from_one_head(spl):
    run = restore.restore(spl)
    truth = np.arange(19, dtype=np.uint8).repeat(4).reshape(4, 19)
    guess = np.where(truth % 2 == 0, truth, 0).astype(np.uint8)
    val = domain.Domain(
        "streets", ("a",), lambda _: np.zeros((4, 19, 3), np.uint8), lambda _: truth
    )
    scores = evaluate.evaluate(lambda *_: guess[None], val, CITYSCAPES, run.config)
    ious = list(scores["per_class_iou"].values())
    assert ious[0] == 10 and ious[2::2] == [100] * 9 and ious[1::2] == [0] * 9
    assert scores["mIoU"] == pytest.approx((10 + 900) / 19, abs=1e-3)
    sixteen = (10 + 100 * 7) / 16  # terrain 9, truck 14 and train 16 are left out
    thirteen = (10 + 100 * 6) / 13  # and wall 3, fence 4, pole 5
    assert scores["subsets"] == pytest.approx({"mIoU16": sixteen, "mIoU13": thirteen}, abs=1e-3)


def test_evaluate_averages_over_scales_and_mirror_images_when_asked(spl):
    plain = restore.restore(spl)
    averaged = restore.restore(spl, {"scales": (0.75, 1.25), "flip": True})
    assert restore.views(averaged.config) == [(36, 48), (60, 80)]
    scores = [
        evaluate.evaluate(run.predict, run.load_domain("val"), run.table, run.config)["mIoU"]
        for run in (plain, averaged)
    ]
    assert scores[0] != scores[1] and 0 < scores[1] <= 100


# -------------------------------------------------------------------------------------- refusals


def refused(config, workdir, words):
    before = hashes(workdir) if workdir.exists() else None
    with pytest.raises(UserError, match=words) as error:
        schedule.run(config, workdir)
    assert "\n" not in str(error.value)
    if before is not None:
        assert hashes(workdir) == before


def test_a_changed_config_is_refused_with_the_keys_that_differ(spl, make_config):
    config = make_config(
        "labor_spl", **{"optimizer.learning_rate": 0.5, "budget.max_fraction": 0.3}
    )
    keys = r"budget\.max_fraction \(was .*, now 0\.3\); optimizer\.learning_rate \(was"
    refused(config, spl, rf"another config: {keys}")


def test_how_a_run_is_done_may_change_on_resume(spl, make_config):
    config = make_config("labor_spl", log_every=7, checkpoint_every=9, parallel="jit")
    assert schedule.run(config, spl)["status"] == "finished"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"warmup_from": "nowhere"}, r"config\.warmup_from: no run in 'nowhere'"),
        (
            {"optimizer.power": 0.5},
            r"config\.warmup_from: .* had a warm-up with other settings: optimizer\.power",
        ),
        ({"method": "source_only"}, r"had a warm-up with other settings: method"),
    ],
)
def test_another_warm_up_is_refused(base, spl, make_config, values, words):
    config = make_config("labor_spl", warmup_from=str(spl))
    config.update_from_flattened_dict(values)
    refused(config, base / "refused", words)
    assert not (base / "refused" / "config.json").exists()


def test_an_unfinished_warm_up_is_refused(base, spl, make_config, tmp_path):
    shutil.copy(spl / "config.json", tmp_path)
    config = make_config("labor_spl", warmup_from=str(tmp_path))
    refused(config, base / "refused", r"has not finished its warm-up")


def test_a_batch_that_devices_cannot_share_is_refused(base, make_config):
    refused(
        make_config("uda", batch_size=6), base / "x", r"config\.batch_size: 6 .* over 4 devices"
    )


@pytest.mark.parametrize("name", ["config.json", "summary.json"])
def test_a_damaged_file_is_named(tmp_path, spl, make_config, name):
    (tmp_path / "run").mkdir()
    shutil.copy(spl / "config.json", tmp_path / "run")
    (tmp_path / "run" / name).write_text("{")
    refused(make_config("labor_spl"), tmp_path / "run", rf"{name}: damaged")


# --------------------------------------------------------------------------------------- people


@pytest.mark.slow
def test_a_run_that_asks_people_waits_for_them_and_goes_on_like_any_other(
    base, spl, make_config, capsys
):
    workdir, config = base / "people", make_config("labor_spl", warmup_from=str(spl))
    config.annotator = "web"
    target = loading.load(config.target, config.data_dir, CAMVID)
    for stage in (1, 2):
        for _ in range(2):
            with pytest.raises(Waiting, match=rf"^\d+ images wait .* --workdir={workdir}\n"):
                schedule.run(config, workdir)
        queries = q.read_queries(workdir, stage)
        for query in queries:
            truth = target.read_label(target.ids.index(query["image"]))
            journal.append(workdir, oracle.annotate(query, truth), CAMVID)
    schedule.run(config, workdir)
    assert summary_of(workdir)["mIoU"] == summary_of(spl)["mIoU"]

    # The journal replayed is the same run again; one with errors is another.
    config.annotator, config.replay = "replay", str(workdir)
    schedule.run(config, base / "replayed")
    assert summary_of(base / "replayed")["per_class_iou"] == summary_of(spl)["per_class_iou"]
