"""The report of made-up runs: everything is there, nothing comes from outside."""

import base64
import dataclasses
import io
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from support.fabricate import TABLE, ask, guess, street, write_run
from support.pages import Page

from labor_jax.annotation.queries import asked_pixels
from labor_jax.data.labels import IGNORE
from labor_jax.report import charts, page, pictures, template
from labor_jax.report.page import write_report
from labor_jax.report.run_files import read_run_files
from labor_jax.util import files

SECTIONS = ("result", "stages", "classes", "pictures", "ledger", "training", "settings")


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The pages of runs of every kind, by name."""
    cases = {
        "points": ("labor_ppl", {}),
        "segments": ("labor_spl", {}),
        "no queries": ("uda", {}),
        "partial": ("labor_spl", {"asked_stages": 1, "summary": False}),
    }
    pages = {}
    for name, (method, options) in cases.items():
        workdir = tmp_path_factory.mktemp("run")
        target = write_run(workdir, method, **options)
        pages[name] = Page(write_report(workdir, target, TABLE).read_text())
    return pages


@pytest.mark.parametrize("name", ["points", "segments", "no queries", "partial"])
def test_every_report_has_every_section_and_needs_nothing_from_outside(reports, name):
    report = reports[name]
    assert set(SECTIONS) <= set(report.ids)
    assert len(report.ids) == len(set(report.ids))
    for link in report.links:
        assert link.startswith("data:image/") or link[1:] in report.ids, link[:60]
    assert not report.count("script") and not report.count("link")


def test_no_style_reaches_outside(reports):
    folder = pathlib.Path(page.__file__).parent
    for path in (*folder.glob("*.j2"), folder / "style.css"):
        assert not re.search(r"https?:|url\(|@import", path.read_text())
    assert "prefers-color-scheme: dark" in (folder / "style.css").read_text()


def test_every_embedded_image_can_be_decoded(reports):
    for link in reports["segments"].links:
        if link.startswith("data:"):
            Image.open(io.BytesIO(base64.b64decode(link.split(",")[1]))).load()


def test_points_are_ringed_and_every_answer_shows_at_its_stage_and_at_the_end(tmp_path):
    target = write_run(tmp_path, "labor_ppl")
    read = read_run_files(tmp_path)
    report = Page(write_report(tmp_path, target, TABLE).read_text())
    answers = [answer for some in read.answers.values() for answer in some]
    unsure = sum(answer["class"] == IGNORE for answer in answers)
    assert report.count("circle", **{"class": "unsure"}) == 2 * unsure > 0
    assert report.count("circle", **{"class": "answered"}) == 2 * (len(answers) - unsure) > 0
    assert report.text.count("Asked:") == len(read.queries) == 6 * 3
    assert report.text.count("Answered:") == len(read.answers)
    assert report.text.count("End of the run") == report.text.count("Before any answer") == 6
    assert report.text.count("The heads disagree:") == 6 * 3


def test_the_curves_show_share_and_clicks_where_something_was_asked(reports):
    assert "mIoU against labelled share" in reports["segments"].text
    assert "mIoU against clicks" in reports["segments"].text
    assert "mIoU against" not in reports["no queries"].text
    assert "mIoU by stage" in reports["no queries"].text


def test_a_run_without_queries_says_so(reports):
    assert "with no label in the target domain" in reports["no queries"].text
    assert "Nobody was asked anything" in reports["no queries"].text
    assert "Asked:" not in reports["no queries"].text


def test_a_run_that_goes_on_shows_what_there_is(reports):
    text = reports["partial"].text
    assert "running" in text and "Not scored" in text
    assert text.count("Asked:") == 6 and "End of the run" not in text


def test_the_truth_is_shown_at_the_end_and_not_while_people_may_answer(tmp_path):
    target = write_run(tmp_path, "labor_ppl")
    truth = np.full((24, 32), TABLE.names.index("car"), np.uint8)
    object.__setattr__(target, "read_label", lambda _: truth)
    assert Page(write_report(tmp_path, target, TABLE).read_text()).text.count("Truth") == 6
    shutil.rmtree(tmp_path / "previews" / "final")
    assert "Truth" not in Page(write_report(tmp_path, target, TABLE).read_text()).text


def test_a_run_that_has_just_begun_has_a_report(tmp_path):
    target = write_run(tmp_path, "labor_ppl", stages=0, summary=False)
    for path in tmp_path.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    report = Page(write_report(tmp_path, target, TABLE).read_text())
    assert set(SECTIONS) <= set(report.ids)


def test_missing_truth_leaves_scores_out(tmp_path):
    target = write_run(tmp_path, "labor_ppl")
    summary = files.read_json(tmp_path / "summary.json")
    for scores in (summary, *summary["stages"]):
        scores["mIoU"] = None
        scores["per_class_iou"] = {}
        scores["mask"] = None
    files.write_json(tmp_path / "summary.json", summary)
    text = Page(write_report(tmp_path, target, TABLE).read_text()).text
    assert "Not scored" in text and "No class has been scored" in text
    assert "Precision" not in text


def test_names_are_escaped(tmp_path):
    target = write_run(tmp_path, "uda")
    config = {"method": "<script>alert(1)</script>"}
    files.write_json(tmp_path / "summary.json", {"config": config})
    assert not Page(write_report(tmp_path, target, TABLE).read_text()).count("script")


def test_only_previewed_images_are_read(tmp_path):
    target = write_run(tmp_path, "labor_spl")
    read = []
    original = target.read_image
    object.__setattr__(target, "read_image", lambda n: read.append(n) or original(n))
    write_report(tmp_path, target, TABLE)
    assert read == [0, 1, 2, 3, 4, 5]


# ------------------------------------------------------------------ run


def test_the_ledger_by_stage_and_by_image_adds_up_to_the_summary(tmp_path):
    write_run(tmp_path, "labor_spl")
    rows = page.ledger_rows(read_run_files(tmp_path))
    budget = files.read_json(tmp_path / "summary.json")["budget"]
    for key in ("pixels", "segments", "clicks", "void", "seconds"):
        for by in ("stages", "images"):
            total = sum(row[key] or 0 for _, row in rows[by])
            assert total == pytest.approx(budget[key]) and total > 0, (by, key)
    pixels = [row["pixels"] for _, row in rows["images"]]
    assert pixels == sorted(pixels, reverse=True)


def test_the_ledger_lists_the_largest_images_and_counts_the_rest(monkeypatch, tmp_path):
    write_run(tmp_path, "labor_spl")
    monkeypatch.setattr(page, "LEDGER_ROWS", 3)
    ledger = page.ledger_rows(read_run_files(tmp_path))
    assert len(ledger["images"]) == 3 and ledger["left_out"] == 5


def test_people_are_listed_with_what_they_took_back_and_how_they_agree(tmp_path):
    target = write_run(tmp_path, "labor_ppl")
    path = tmp_path / "annotations" / "journal.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    seen = [x | {"annotator": "<ben>", "second": True} for x in lines if x["class"] != 255][:4]
    seen[0] |= {"class": (seen[0]["class"] + 1) % 11}
    seen.append(seen[3] | {"undo": True})
    with open(path, "a") as file:
        file.writelines(json.dumps(line) + "\n" for line in seen)
    before = read_run_files(tmp_path)
    assert sum(map(len, before.answers.values())) > 0
    assert not any(x.get("second") for found in before.answers.values() for x in found)
    html = write_report(tmp_path, target, TABLE).read_text()
    assert "&lt;ben&gt;" in html and "<ben>" not in html
    assert re.search(r"gave 66\S* % of\s+3 shared pixels in 1 images the same", html)


def test_answers_with_a_guess_in_sight_and_blind_ones_are_compared(tmp_path):
    target = write_run(tmp_path, "labor_ppl")
    path = tmp_path / "annotations" / "journal.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    told = {"guess": 3, "confidence": 0.5, "model": 9, "annotator": "<ana>"}
    lines = [x | told | {"shown": n % 4 != 0} for n, x in enumerate(lines)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    report = Page(write_report(tmp_path, target, TABLE).read_text())
    assert "Guesses shown and kept back" in report.text and "<ana>" in report.text
    assert "points more" not in report.text, "nobody knows what is right"
    sizes = {x["image"]: x["size"] for x in read_run_files(tmp_path).queries.values()}
    height, width = next(iter(sizes.values()))
    target = dataclasses.replace(target, read_label=lambda i: street(i, height, width))
    told = Page(write_report(tmp_path, target, TABLE).read_text()).text
    assert re.search(r"with the guess in sight .*points more\s+answers are wrong than blind", told)


def test_every_part_of_a_segment_is_drawn(tmp_path):
    parts = [([0, 2], 3), ([2, 2], 4)]
    answers = [
        {"kind": "segments", "piece": 0, "class": label, "runs": runs} for runs, label in parts
    ]
    layer = str(pictures.answer_layers(answers, (4, 6), TABLE)[0])
    with Image.open(io.BytesIO(base64.b64decode(layer.split("base64,")[1].split('"')[0]))) as png:
        assert {3, 4} <= set(np.unique(np.asarray(png)))


def test_reading_a_run_that_goes_on_leaves_its_half_written_line_alone(tmp_path):
    write_run(tmp_path, "labor_ppl", stages=1)
    path = tmp_path / "annotations" / "journal.jsonl"
    before = read_run_files(tmp_path)
    path.write_text(path.read_text() + json.dumps({"query": "x"})[:8])
    assert read_run_files(tmp_path) == before
    assert path.read_text().endswith('{"query"')


# ------------------------------------------------------------------ pictures and charts


def test_drawn_runs_are_the_queried_pixels():
    truth = street(0, 24, 32)
    predicted = guess(truth, 1, 0)
    query, _ = ask("segments", "a", 1, truth, predicted, 0)
    drawn = pictures.fill((24, 32), ((runs, 0) for runs in query["segments"]))
    assert (drawn == 0).sum() == len(asked_pixels(query)) > 0
    assert not ((drawn == 0) & (truth == predicted)).any()


@pytest.mark.parametrize("size", [(24, 32), (1024, 2048)])
def test_no_single_pixel_is_lost_when_a_drawing_changes_size(size):
    drawn = np.full(size, 255, np.uint8)
    places = [(0, 0), (size[0] // 2, size[1] // 3), (size[0] - 1, size[1] - 1)]
    for n, place in enumerate(places):
        drawn[place] = n
    large = pictures.enlarge(drawn)
    assert max(large.shape) == pictures.LAYER_SIDE
    assert set(np.unique(large)) == {0, 1, 2, 255}


def test_only_dark_classes_are_outlined_and_nothing_drawn_is_covered():
    drawn = np.full((20, 40), 255, np.uint8)
    drawn[8:12, 8:12] = TABLE.names.index("car")
    drawn[8:12, 28:32] = TABLE.names.index("sign")
    lined = pictures.outline(drawn, TABLE)
    assert (lined[:, :20] == pictures.OUTLINE).sum() == 6 * 6 - 4 * 4
    assert not (lined[:, 20:] == pictures.OUTLINE).any()
    np.testing.assert_array_equal(lined[drawn != 255], drawn[drawn != 255])


@pytest.mark.parametrize(
    "bounds", [(0, 1.37), (0, 0), (41.2, 41.2), (-3e-4, 2e-4), (0, 98765), (0.031, 0.034)]
)
def test_ticks_are_few_evenly_spaced_and_hold_the_data(bounds):
    ticks = charts.ticks(*bounds)
    assert 2 <= len(ticks) <= 7
    assert ticks[0] <= bounds[0] and ticks[-1] >= bounds[1]
    np.testing.assert_allclose(np.diff(ticks), ticks[1] - ticks[0], rtol=1e-6)


def test_thinning_keeps_the_mean():
    points = [(float(n), float(n % 7)) for n in range(1000)]
    thinned = charts.thin(points, 100)
    assert len(thinned) == 100
    assert np.mean(thinned, axis=0) == pytest.approx(np.mean(points, axis=0))


def test_a_metric_logged_once_is_no_curve(tmp_path):
    write_run(tmp_path, "uda")
    names = [curve["name"] for curve in page.training_curves(read_run_files(tmp_path))]
    assert names == ["loss source", "loss adversarial", "loss target"]


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, template.ABSENT), (0, "0"), (1, "100"), (0.022, "2.20"), (0.00047, "0.047")],
)
def test_small_shares_keep_their_digits(share, text):
    assert template.percent(share) == text
