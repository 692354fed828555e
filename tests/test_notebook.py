"""What a notebook shows of a run, and how it asks; and the notebook, from top to bottom."""

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import types

import nbclient
import nbformat
import numpy as np
import pytest
from support import annotating, waiting

from labor_jax import notebook
from labor_jax.annotation import annotators, journal, oracle
from labor_jax.annotation import queries as q
from labor_jax.annotation.desk import Desk
from labor_jax.config import checking
from labor_jax.data.labels import CAMVID, IGNORE

SIZE = (24, 32)
IMAGE = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)
TRUTH = np.repeat(np.arange(4, dtype=np.uint8), 6)[:, None].repeat(32, axis=1)


@pytest.fixture
def workdir(tmp_path):
    queries = [
        q.point_query("a", 1, SIZE, [(1, 1), (8, 20)]),
        q.point_query("b", 1, SIZE, [(23, 31)]),
    ]
    return annotating.make_run(tmp_path, {"a": IMAGE, "b": IMAGE}, queries)


def test_the_demo_sees_by_dinov2_where_its_file_is_and_a_gpu_or_tpu_can_make_features(tmp_path):
    file = tmp_path / "vits14.pth"
    devices = ("cpu", "gpu", "tpu")
    without = {device: notebook.demo(str(file), device) for device in devices}
    assert {config.model.backbone for config in without.values()} == {"efficientnet_lite0"}
    file.touch()
    configs = {device: notebook.demo(str(file), device) for device in devices}
    assert configs["cpu"] == without["cpu"]
    for device in ("gpu", "tpu"):
        config = configs[device]
        checking.check(config)
        assert config.model.backbone == "dinov2_small" and config.model.weights == str(file)


def click(widget, label):
    (button,) = (b for b in widget.children[2].children if b.description == label)
    button.click()


def test_the_widget_asks_point_after_point_and_its_answers_are_in_the_journal(workdir):
    widget = notebook.annotator(workdir, "ana", frame=False)
    assert (
        "point 1 of 2" in widget.children[0].value and "2 images open" in widget.children[0].value
    )
    seen = []
    for label in ("sky", "unsure", "car"):
        seen.append(widget.children[1].value)
        click(widget, label)
    answers = journal.read(workdir, CAMVID)
    assert [(x["image"], x["point"], x["class"]) for x in answers] == [
        ("a", [1, 1], 0),
        ("a", [20, 8], IGNORE),
        ("b", [31, 23], CAMVID.names.index("car")),
    ]
    assert {x["annotator"] for x in answers} == {"ana"} and all(x["seconds"] >= 0 for x in answers)
    assert len(set(seen)) == 3 and "All is answered" in widget.children[0].value
    click(widget, "sky")  # nothing is open: nothing happens
    assert len(journal.read(workdir, CAMVID)) == 3


def test_take_back_asks_the_last_point_once_more(workdir):
    widget = notebook.annotator(workdir, "ana", frame=False)
    click(widget, "take back")  # nothing yet
    click(widget, "sky")
    click(widget, "road")
    click(widget, "take back")
    assert "point 2 of 2" in widget.children[0].value
    click(widget, "tree")
    click(widget, "take back")
    click(widget, "take back")
    assert "point 1 of 2" in widget.children[0].value
    assert not journal.read(workdir, CAMVID)


def test_the_widget_asks_whole_segments(tmp_path):
    segments = np.zeros(SIZE, np.int32)
    segments[2:5, 3:9], segments[20:22, 25:31] = 1, 2
    workdir = annotating.make_run(tmp_path, {"a": IMAGE}, [q.segment_query("a", 1, SIZE, segments)])
    widget = notebook.annotator(workdir, "ana", frame=False)
    assert "bright area" in widget.children[0].value
    click(widget, "sign")
    click(widget, "fence")
    label = journal.label_map(journal.read(workdir, CAMVID), SIZE)
    assert (label == np.array([IGNORE, 6, 7])[segments]).all()


def test_an_oracle_finishes_what_a_person_has_begun_and_changes_none_of_it(workdir):
    widget = notebook.annotator(workdir, "ana", frame=False)
    click(widget, "car")
    done = annotators.answer_open(workdir, 1, lambda x: oracle.annotate(x, TRUTH), CAMVID)
    assert list(done) == [1, 2]
    answers = journal.read(workdir, CAMVID)
    assert [(x["annotator"], x["class"]) for x in answers] == [
        ("ana", CAMVID.names.index("car")),
        ("oracle", 1),
        ("oracle", 3),
    ]


def test_an_answer_of_somebody_elses_query_is_refused_loudly(workdir):
    asking = notebook.Asking(desk := Desk(workdir, CAMVID), "ana")
    desk.release(asking._client)
    desk.take("another page", "bob", asking.query["task"])
    with pytest.raises(notebook.UserError, match="somebody else"):
        asking.answer(0)


@pytest.mark.parametrize("size", [(24, 32), (700, 1000)])
def test_a_piece_is_marked_where_it_is_in_small_and_large_images(size):
    image = np.zeros((*size, 3), np.uint8)
    row, column = size[0] - 1, 0  # a corner
    query = q.point_query("a", 1, size, [(row, column)])
    shown = notebook.draw_piece(image, query, 0)
    bright = np.argwhere((shown == notebook.pictures.ASKED).all(-1))
    width = notebook.fit(image, notebook.SIDE).shape[1]
    left, right = bright[bright[:, 1] < width], bright[bright[:, 1] >= width + 8]
    for where, scale_x in ((left, width / 2), (right, width + 8 + shown.shape[0] / 2)):
        assert len(where) and where[:, 0].min() > shown.shape[0] / 2
        assert where[:, 1].max() < scale_x


def test_answers_are_drawn_in_the_colours_of_their_classes():
    query = q.point_query("a", 1, SIZE, [(5, 5), (20, 20)])
    answers = [
        journal.answer(query, 0, 8, "ana", point=[5, 5]),
        journal.answer(query, 1, IGNORE, "ana", point=[20, 20]),
    ]
    shown = notebook.draw_answers(np.zeros((*SIZE, 3), np.uint8), answers, CAMVID)
    factor = notebook.SIDE // 32
    at = [tuple(shown[int(k * factor + factor / 2), int(k * factor + factor / 2)]) for k in (5, 20)]
    assert at == [CAMVID.palette[8], (255, 255, 255)]


def test_pictures_curves_and_report_are_html_of_their_own(finished):
    shown = notebook.row(an_image=IMAGE)._repr_html_()
    assert "data:image/png;base64," in shown and "an image" in shown
    assert notebook.curves(finished)._repr_html_().count("<svg") == 2
    framed = notebook.report(finished)._repr_html_()
    text = framed.partition('srcdoc="')[2].partition('"')[0]
    assert notebook.html.unescape(text) == (finished / "report.html").read_text()


@annotating.needs_chromium
def test_the_frame_shows_the_annotator_in_a_notebook_of_this_machine(workdir):
    import http.server
    import threading

    shown = notebook.annotator(workdir, "ana", frame=True)

    class Notebook(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(shown._repr_html_().encode())

        def log_message(self, *_):
            pass

    pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Notebook)
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    try:
        with annotating.browsing() as browser:
            for name in ("localhost", "127.0.0.1"):
                tab = annotating.new_page(browser)
                tab.goto(f"http://{name}:{pages.server_port}/")
                frame = tab.frame_locator("iframe")
                frame.locator("#progress").filter(has_text=" of ").wait_for()
            frame.get_by_text("Click here, then press keys").wait_for()
            box = frame.locator("#view").bounding_box()
            tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            tab.mouse.wheel(0, 300)  # scrolls the notebook, and not the picture
            frame.locator("#view").click()  # keys go to the frame that was clicked last
            tab.keyboard.press("1")
            waiting.wait_until(lambda: len(journal.read(workdir, CAMVID)) == 1)
            shown._server.stdin.close()  # as when the kernel is killed
            shown._server.wait(timeout=waiting.PATIENCE)
            tab.keyboard.press("1")
            frame.get_by_text("1 not saved: run the cell again").wait_for()
    finally:
        pages.shutdown()
        shown.close()
    assert shown._server.returncode is not None


def test_to_interrupt_the_kernel_leaves_the_annotator_at_work(workdir):
    code = f"""
import os, signal, time, urllib.request
from labor_jax import notebook
shown = notebook.annotator({str(workdir)!r}, "ana", frame=True)
try:
    os.killpg(0, signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    pass
time.sleep(1)
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
print(shown._server.poll(), browser.open(shown.address).status)
shown.close()
"""
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, start_new_session=True)
    assert ended.stdout == "None 200\n", ended.stderr


def test_a_mask_and_a_legend_are_drawn():
    mask = np.zeros(SIZE, np.uint8)
    mask[:12] = 255
    shown = notebook.draw_mask(np.zeros((*SIZE, 3), np.uint8), mask)
    half = shown.shape[0] // 2
    assert (shown[:half] == np.multiply(notebook.pictures.ASKED, 0.6).astype(int)).all()
    assert not shown[half:].any()
    text = notebook.legend(CAMVID)._repr_html_()
    assert all(name in text for name in CAMVID.names) and "#4682b4" in text


def test_a_second_frame_of_a_run_says_that_it_is_being_annotated(workdir):
    with (
        annotating.serving(workdir),
        pytest.raises(notebook.UserError, match="annotated already"),
    ):
        notebook.annotator(workdir, "ana", frame=True)


# ---------------------------------------------------------------------------------- the notebook


NOTEBOOK = annotating.ROOT / "colab" / "labor_jax.ipynb"


@pytest.fixture(scope="module")
def book():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_notebook_is_valid_clean_and_names_no_place_of_its_own(book):
    nbformat.validate(book)
    text = NOTEBOOK.read_text()
    assert text == json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"
    for cell in book.cells:
        assert not cell.get("outputs") and not cell.get("execution_count")
        assert not re.search(r"""["'(]/\w|file://|~/""", cell.source), cell.source
    kinds = "".join(cell.cell_type[0] for cell in book.cells)
    assert re.fullmatch(r"m(mc+)+m", kinds), "every step is explained before its code"


def test_the_notebook_asks_for_the_versions_of_jax_that_the_package_needs(book):
    needs = importlib.metadata.requires("labor_jax")
    [need] = [r for r in needs if re.match(r"jax\W", r) and "extra ==" not in r]
    low, high = sorted(re.findall(r"0\.\d+", need), key=lambda version: int(version[2:]))
    source = book.cells[2].source
    assert f"({low.replace('.', ', ')}) <= " in source
    assert f"< ({high.replace('.', ', ')})" in source and f">={low},<{high}" in source


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ({"jax": "0.7.2", "jax-cuda12-plugin": "0.7.2"}, ['"jax[cuda12]>=0.10,<0.12"', "0.7.2"]),
        ({"jax": "0.12.0", "libtpu": "0.0.40"}, ['"jax[tpu]>=0.10,<0.12"', "Restart session"]),
        ({"jax": "0.9.1"}, ['"jax>=0.10,<0.12"']),
    ],
)
def test_a_runtime_with_another_jax_is_told_what_to_run(book, monkeypatch, versions, words):
    there = [types.SimpleNamespace(name=n, version=v) for n, v in versions.items()]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: there)
    with pytest.raises(RuntimeError) as told:
        exec(book.cells[2].source, {})
    assert all(word in str(told.value) for word in words)


def test_the_runtimes_own_jax_is_pinned_while_the_package_is_installed(book, monkeypatch, tmp_path):
    versions = {"jax": "0.10.2", "jaxlib": "0.10.2", "jax-cuda12-plugin": "0.10.2", "pip": "25"}
    there = [types.SimpleNamespace(name=n, version=v) for n, v in versions.items()]
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: there)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"upload labor_jax-\*\.whl"):
        exec(book.cells[2].source, {})
    (tmp_path / "labor_jax-9.whl").touch()
    called = []

    def install(command, check):
        called.append(command)
        pinned.extend((tmp_path / "pinned.txt").read_text().split())

    pinned = []
    monkeypatch.setattr(subprocess, "run", install)
    exec(book.cells[2].source, {})
    assert " ".join(called[0][1:]) == "-m pip install --quiet labor_jax-9.whl -c pinned.txt"
    assert not (tmp_path / "pinned.txt").exists()
    assert pinned == ["jax==0.10.2", "jaxlib==0.10.2", "jax-cuda12-plugin==0.10.2"]


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom_and_its_answers_train(book, tmp_path, monkeypatch):
    monkeypatch.setenv("LABOR_JAX_QUICK", "1")
    monkeypatch.setenv("PYTHONPATH", str(annotating.ROOT))
    person = nbformat.v4.new_code_cell(
        "for label in ('sky', 'road', 'unsure'):\n"
        "    [b] = [b for b in asking.children[2].children if b.description == label]\n"
        "    b.click()"
    )
    asks = [n for n, cell in enumerate(book.cells) if cell.source.startswith("asking = ")]
    # On a slow machine a phase has a line every ten seconds; how many there are is looked at.
    few = nbformat.v4.new_code_cell(
        "from labor_jax.util import progress\nprogress.LINE_SECONDS = math.inf"
    )
    trains = next(n for n, cell in enumerate(book.cells) if "go_on(config, WORKDIR)" in cell.source)
    cells = [*book.cells[:trains], few, *book.cells[trains : asks[0] + 1], person]
    cells += book.cells[asks[0] + 1 :]
    told = nbformat.from_dict({**book, "cells": cells})
    client = nbclient.NotebookClient(
        told,
        timeout=waiting.COMPILED,
        startup_timeout=waiting.COMPILED,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()

    answers = journal.lines(tmp_path / "runs/notebook", CAMVID)
    assert [a["class"] for a in answers if a["annotator"] == "me"] == [0, 3, IGNORE]
    summary = json.loads((tmp_path / "runs/notebook/summary.json").read_text())
    assert summary["status"] == "finished" and len(summary["stages"]) == 3
    shown = [out for cell in told.cells for out in cell.get("outputs", [])]
    text = "".join(out.get("text", "") for out in shown)
    assert text.count("\n") < 100 and "warmup               step 0/" in text, "lines and no bar"
    assert "you answered 3 points" in text and "4 images wait for answers" in text
    pages = [out["data"].get("text/html", "") for out in shown if "data" in out]
    assert sum(page.count("<img src=") for page in pages) >= 4 + 4 + 4, "images, masks and points"
    assert sum("they disagree" in page for page in pages) == 2, "a row a preview"
    assert any("<svg" in page and "mIoU" in page for page in pages), "curves"
    assert any("<iframe srcdoc=" in page for page in pages), "the report"
    assert (
        len(
            [
                out
                for out in shown
                if "application/vnd.jupyter.widget-view+json" in out.get("data", {})
            ]
        )
        == 2
    )
