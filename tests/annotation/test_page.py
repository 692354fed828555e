"""The page in a browser, by keyboard as a person uses it."""

import contextlib
import io
import os
import pathlib
import time

import cv2
import numpy as np
import pytest
from PIL import Image
from support import commands
from support.annotating import (
    ROOT,
    make_run,
    needs_chromium,
    new_page,
    open_page,
    place,
    press,
    saved,
    serving,
)
from support.waiting import wait_until

from labor_jax.annotation import journal
from labor_jax.annotation import queries as q
from labor_jax.annotation.formats import regions
from labor_jax.data.images import read_label_png
from labor_jax.data.labels import CAMVID
from labor_jax.selection import superpixels
from labor_jax.selection.segments import run_pixels

pytestmark = needs_chromium

SIZE = (60, 80)
KEYS = "1234567890q"
"""The key of each of CamVid's classes."""


def noise(seed=0, size=SIZE):
    small = np.random.default_rng(seed).integers(40, 215, (size[0] // 10, size[1] // 10, 3))
    return np.kron(small, np.ones((10, 10, 1))).astype(np.uint8)


def points_run(path, images=2, points=4):
    draw = np.random.default_rng(1)
    queries = []
    for n in range(images):
        flat = draw.choice(SIZE[0] * SIZE[1], points, replace=False)
        queries.append(
            q.point_query(f"image_{n}", 1, SIZE, np.stack(np.unravel_index(flat, SIZE), 1))
        )
    return make_run(path, {x["image"]: noise(i) for i, x in enumerate(queries)}, queries)


def segments_run(path):
    """Four quarters of a square, and two pieces of another image."""
    first, second = np.zeros(SIZE, np.int32), np.zeros(SIZE, np.int32)
    first[10:30, 20:40], first[10:30, 40:60], first[30:50, 20:40], first[30:50, 40:60] = 1, 2, 3, 4
    second[5:25, 10:50], second[40:50, 10:20] = 1, 2
    queries = [q.segment_query("a", 1, SIZE, first), q.segment_query("b", 1, SIZE, second)]
    return make_run(path, {"a": noise(0), "b": noise(1)}, queries)


def given(workdir):
    """What stands: {(image, piece): class}, or a list of classes where a piece has parts."""
    found = {}
    for entry in journal.read(workdir, CAMVID):
        found.setdefault((entry["image"], entry["piece"]), []).append(entry["class"])
    return {key: value[0] if len(value) == 1 else value for key, value in found.items()}


def label(workdir, image):
    answers = [a for a in journal.read(workdir, CAMVID) if a["image"] == image]
    return journal.label_map(answers, SIZE)


# ---------------------------------------------------------------------------------------- points


def test_points_are_answered_by_one_key_each_with_undo_unsure_and_skip(browser, tmp_path):
    workdir, begun = points_run(tmp_path), time.monotonic()
    with serving(workdir, "--annotator=ana") as address:
        page = open_page(browser, address)
        assert place(page) == "point 1 of 4 · image 1 of 2"
        press(page, "4", "Space", "q", "Backspace", "Backspace", "5")
        assert place(page) == "point 3 of 4 · image 1 of 2"
        page.keyboard.press("s")
        page.get_by_text("skipped", exact=True).wait_for()
        page.keyboard.press("0")
        # What was skipped comes at the end. The page may show the third answer before it goes on.
        wait_until(lambda: place(page) == "point 1 of 4 · image 2 of 2")
        press(page, "Backspace")
        assert place(page) == "point 3 of 4 · image 1 of 2", "back across images"
        press(page, "2", *"1111", "9")
        page.get_by_text("All answered. Thank you!").wait_for()
        wait_until(lambda: saved(page))
        assert not page.errors
    expected = {("image_0", 0): 3, ("image_0", 1): 4, ("image_0", 2): 8, ("image_0", 3): 1}
    assert given(workdir) == expected | {("image_1", n): 0 for n in range(4)}
    lines = journal.lines(workdir, CAMVID)
    assert {line["annotator"] for line in lines} == {"ana"}
    seconds = [line["seconds"] for line in lines]
    assert min(seconds) > 0 and sum(seconds) < time.monotonic() - begun


def test_the_last_answer_is_taken_back_when_all_is_answered_even_by_a_new_page(browser, tmp_path):
    workdir = points_run(tmp_path)
    with serving(workdir, "--annotator=ana") as address:
        page = open_page(browser, address)
        press(page, *"11111111")
        assert place(page) == "All answered"
        press(page, "Backspace", "Backspace")
        assert place(page) == "point 3 of 4 · image 2 of 2"
        press(page, *"22")
        wait_until(lambda: saved(page))
        page.reload()
        wait_until(lambda: place(page) == "All answered")
        press(page, "Backspace")
        wait_until(lambda: place(page) == "point 4 of 4 · image 2 of 2")
        press(page, "3")
        wait_until(lambda: saved(page))
        assert not page.errors
    classes = [given(workdir)["image_1", point] for point in range(4)]
    assert classes == [0, 0, 1, 2]


def test_a_key_counts_while_the_page_asks_whether_there_is_more(browser, tmp_path):
    workdir = points_run(tmp_path, images=1)
    with serving(workdir, "--annotator=ana") as address:
        page = open_page(browser, address)
        press(page, *"1111")
        held = []

        def hold_the_first(route):
            if held:
                route.continue_()
            else:
                held.append(route)

        page.route("**/api/take", hold_the_first)
        wait_until(lambda: page.wait_for_timeout(20) or held)
        press(page, "Backspace")
        assert place(page) == "point 4 of 4 · image 1 of 1"
        held[0].continue_()
        page.wait_for_timeout(300)
        assert place(page) == "point 4 of 4 · image 1 of 1", "the late answer changes nothing"
        press(page, "2")
        wait_until(lambda: saved(page))
        assert not page.errors
    assert [given(workdir)["image_0", point] for point in range(4)] == [0, 0, 0, 1]


def test_a_finished_run_says_that_it_asks_nothing_more(browser, tmp_path):
    workdir = points_run(tmp_path)
    (workdir / "summary.json").write_text('{"status": "finished"}')
    with serving(workdir, "--annotator=ana") as address:
        page = open_page(browser, address)
        press(page, *"11111111")
        page.get_by_text("is finished: it asks nothing more").wait_for()
        page.keyboard.press("Backspace")
        page.get_by_text("There is nothing to take back").wait_for()
        assert len(given(workdir)) == 8 and not page.errors


def test_a_server_that_is_gone_between_two_images_is_waited_for(browser, tmp_path):
    with serving(points_run(tmp_path), "--annotator=ana") as address:
        page = open_page(browser, address)
        cut = []

        def drop(route):
            if len(cut) < 3:
                cut.append(route.request.url)
                route.abort("connectionrefused")
            else:
                route.continue_()

        page.route("**/api/image**", drop)
        page.reload()
        page.locator("#progress").filter(has_text="point 1 of 4").wait_for()
        press(page, *"1111")
        page.locator("#progress").filter(has_text="point 1 of 4 · image 2 of 2").wait_for()
        wait_until(lambda: saved(page))
        assert len(cut) == 3


def test_a_page_that_is_loaded_again_goes_on_where_it_was(browser, tmp_path):
    with serving(points_run(tmp_path), "--annotator=ana") as address:
        page = open_page(browser, address)
        press(page, "1", "2", "3")
        wait_until(lambda: saved(page))
        page.reload()
        wait_until(lambda: place(page) == "point 4 of 4 · image 1 of 2")
        press(page, "Backspace", "Backspace")
        assert place(page) == "point 2 of 4 · image 1 of 2", "what was answered can be taken back"


def test_a_stranger_is_asked_for_a_name_and_a_held_key_answers_once(browser, tmp_path):
    workdir = points_run(tmp_path)
    with serving(workdir) as address:
        page = new_page(browser)
        introduce(page, address, "Zoë")
        for _ in range(5):
            page.keyboard.down("7")
        page.keyboard.up("7")
        wait_until(lambda: place(page) == "point 2 of 4 · image 1 of 2" and saved(page))
    assert [a["annotator"] for a in journal.lines(workdir, CAMVID)] == ["Zoë"]


def test_a_page_whose_address_has_expired_says_so_and_keeps_what_is_not_saved(browser, tmp_path):
    workdir = points_run(tmp_path)
    with serving(workdir, "--annotator=ana") as address:
        page = open_page(browser, address)
    press(page, "4")
    assert not saved(page)
    (workdir / "annotations" / ".token").unlink()
    port = int(address.split(":")[2].split("/")[0])
    with serving(workdir, "--annotator=ana", port=port) as again:
        assert again != address
        page.get_by_text("address has expired").wait_for()
        page.goto(again)
        wait_until(lambda: place(page) == "point 2 of 4 · image 1 of 2" and saved(page))
    assert given(workdir) == {("image_0", 0): 3}


def introduce(page, address, name):
    page.goto(address)
    page.locator("#annotator").wait_for()
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    page.locator("#progress").filter(has_text="point 1 of ").wait_for()


def shot(page):
    return np.array(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))


def test_the_ring_leaves_its_pixel_free_and_a_key_hides_it(browser, tmp_path):
    picture = np.zeros((400, 500, 3), np.uint8)
    picture[..., 1] = 128
    picture[200, 300] = (250, 10, 20)
    run = make_run(tmp_path, {"a": picture}, [q.point_query("a", 1, (400, 500), [(200, 300)])])
    with serving(run, "--annotator=ana") as address:
        page = open_page(browser, address)
        box = page.locator("#view").bounding_box()
        middle = [round(box[k] + box[s] / 2) for k, s in (("y", "height"), ("x", "width"))]

        def seen():
            around = shot(page)[middle[0] - 40 : middle[0] + 40, middle[1] - 40 : middle[1] + 40]
            red = (around == (250, 10, 20)).all(-1)
            return red.sum(), ((around != (0, 128, 0)).any(-1) & ~red).sum()

        red, drawn = seen()
        assert 4 * 4 <= red <= 8 * 8, "the pixel is seen whole, at a zoom of 4 to 8"
        assert drawn > 100
        page.keyboard.press("h")
        wait_until(lambda: seen() == (red, 0))
        page.keyboard.press("h")
        wait_until(lambda: seen() == (red, drawn))
        page.keyboard.press("+")
        wait_until(lambda: seen()[0] > red)


# -------------------------------------------------------------------------------------- segments


def test_segments_are_answered_by_key_in_groups_and_in_parts(browser, tmp_path):
    workdir = segments_run(tmp_path)
    with serving(workdir, "--annotator=ana") as address:
        page = open_page(browser, address)
        assert place(page) == "piece 1 of 4 · image 1 of 2"
        # The first two pieces of the square together, by keyboard.
        page.keyboard.press("Shift+ArrowRight")
        page.get_by_text("2 pieces get the same class").wait_for()
        press(page, "6")
        assert place(page) == "piece 3 of 4 · image 1 of 2"
        press(page, "Backspace")
        page.get_by_text("2 pieces get the same class").wait_for()
        press(page, "4")
        # The third in two parts: five arrows with the brush paint some of it.
        page.keyboard.press("b")
        for _ in range(5):
            page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("2")
        page.get_by_text("part building").wait_for()
        assert place(page) == "piece 3 of 4 · image 1 of 2"
        press(page, "1")
        press(page, "Space", "9", "q")
        page.get_by_text("All answered. Thank you!").wait_for()
        assert not page.errors
    lines = given(workdir)
    assert lines[("a", 0)] == lines[("a", 1)] == 3
    assert lines[("a", 2)] == [1, 0] and lines[("a", 3)] == 255
    assert (lines[("b", 0)], lines[("b", 1)]) == (8, 10)
    found = label(workdir, "a")
    assert (found[10:30, 20:60] == 3).all() and (found[30:50, 40:60] == 255).all()
    third = found[30:50, 20:40]
    assert set(third.ravel().tolist()) == {0, 1} and 10 < (third == 1).sum() < 200


def test_a_polygon_answers_what_is_asked_and_open_inside_piece_by_piece(browser, tmp_path):
    workdir, corners = segments_run(tmp_path), [(30, 2), (70, 2), (70, 25), (30, 45)]
    with serving(workdir, "--annotator=ana") as address:
        page = open_page(browser, address)
        box = page.locator("#view").bounding_box()
        zoom = min(box["width"] / SIZE[1], box["height"] / SIZE[0])

        def draw():
            page.locator("#toast:not(.on)").wait_for(state="attached")  # it covers the picture
            middle = centre_of(page, box)
            page.keyboard.press("p")
            for x, y in corners:
                page.mouse.click(
                    box["x"] + box["width"] / 2 + (x - middle[0]) * zoom,
                    box["y"] + box["height"] / 2 + (y - middle[1]) * zoom,
                )
            page.keyboard.press("Enter")

        draw()
        page.keyboard.press("9")
        page.get_by_text("parts of 4 pieces car").wait_for()
        page.keyboard.press("Backspace")
        page.get_by_text("taken back").wait_for()
        assert not page.get_by_text("get the same class").is_visible(), "nobody chose whole pieces"
        draw()
        page.keyboard.press("0")
        draw()
        page.keyboard.press("8")
        page.get_by_text("Nothing that is asked lies in it").wait_for()
        page.keyboard.press("Escape")
        press(page, "2")  # what is left of the first quarter
        wait_until(lambda: saved(page))
        assert not page.errors
    inside = np.zeros(SIZE, bool)
    inside.flat[regions.polygon(corners, SIZE)] = True
    expected = np.full(SIZE, 255)
    expected[10:50, 20:60] = np.where(inside[10:50, 20:60], 9, 255)
    expected[10:30, 20:40] = np.where(inside[10:30, 20:40], 9, 1)
    np.testing.assert_array_equal(label(workdir, "a"), expected)


def test_pieces_are_picked_and_painted_with_the_mouse(browser, tmp_path):
    workdir = segments_run(tmp_path)
    with serving(workdir, "--annotator=ana") as address:
        page = open_page(browser, address)
        box = page.locator("#view").bounding_box()
        zoom = min(box["width"] / SIZE[1], box["height"] / SIZE[0])

        def at(x, y):
            """Screen coordinates: the whole image is seen, its middle where the piece's is."""
            return (
                box["x"] + box["width"] / 2 + (x - middle[0]) * zoom,
                box["y"] + box["height"] / 2 + (y - middle[1]) * zoom,
            )

        middle = centre_of(page, box)
        page.mouse.click(*at(50, 40))  # the fourth piece becomes the one that is asked
        page.keyboard.down("Shift")
        page.mouse.click(*at(50, 20))  # and the second goes along
        page.keyboard.up("Shift")
        page.get_by_text("2 pieces get the same class").wait_for()
        press(page, "8")
        wait_until(lambda: saved(page))
        assert given(workdir) == {("a", 3): 7, ("a", 1): 7}


def centre_of(page, box):
    """The image's pixel in the middle of the view, from where the image begins on the screen."""
    picture = shot(page)
    row = picture[
        round(box["y"] + box["height"] / 2), round(box["x"]) : round(box["x"] + box["width"])
    ]
    column = picture[
        round(box["y"]) : round(box["y"] + box["height"]), round(box["x"] + box["width"] / 2)
    ]
    zoom = min(box["width"] / SIZE[1], box["height"] / SIZE[0])
    empty = picture[round(box["y"] + box["height"] - 20), round(box["x"] + 20)]
    return (
        (len(row) / 2 - np.flatnonzero((row != empty).any(-1))[0]) / zoom,
        (len(column) / 2 - np.flatnonzero((column != empty).any(-1))[0]) / zoom,
    )


# ---------------------------------------------------------------------------------------- review


def test_all_images_of_a_run_of_stages_can_be_fixed_also_when_all_is_answered(browser, tmp_path):
    workdir = points_run(tmp_path, images=1, points=2)
    with serving(workdir, "--annotator=ana") as address:
        page = open_page(browser, address)
        page.keyboard.press("/")
        page.get_by_text("1 image, the least sure first").wait_for()
        page.keyboard.press("Escape")
        page.get_by_text("What is the pixel in the ring?").wait_for()
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press(",")
        assert page.get_by_text("What is the pixel in the ring?").is_visible(), "as it was asked"
        press(page, "1", "1")
        page.get_by_role("button", name="look through all images").click()
        page.locator("#sheets li", has_text="image_0").click()
        page.get_by_text("What is the outlined piece?").wait_for()
        box = page.locator("#view").bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        press(page, "5")
        wait_until(lambda: saved(page))
        page.keyboard.press("Escape")
        page.get_by_text("image_0 · 1 fixed").wait_for()
        page.keyboard.press("Escape")
        page.get_by_text("All answered. Thank you!").wait_for()
        assert not page.errors
    *_, fixed = journal.read(workdir, CAMVID)
    (query,) = q.fixes(workdir)["image_0"]
    assert (fixed["query"], fixed["class"], fixed["runs"]) == (query["id"], 4, query["segments"][0])
    assert SIZE[0] // 2 * SIZE[1] + SIZE[1] // 2 in run_pixels(fixed["runs"]), "the piece clicked"
    assert query["origin"] == q.VOLUNTEERED


# --------------------------------------------------------------------------------- several people


def test_two_people_at_once_answer_everything_and_nothing_twice(browser, tmp_path):
    workdir = points_run(tmp_path, images=6, points=3)
    with serving(workdir) as address:
        pages = []
        for name in ("ana", "ben"):
            pages.append(new_page(browser))
            introduce(pages[-1], address, name)
        wait_until(lambda: all(saved(page) for page in pages))

        def press_until_all_is_answered():
            for page, key in zip(pages, "12", strict=True):
                if "of" in page.inner_text("#progress"):
                    page.keyboard.press(key)
            return all(place(page) == "All answered" for page in pages)

        wait_until(press_until_all_is_answered)
        for page in pages:
            page.get_by_text("All answered. Thank you!").wait_for()
    lines = journal.lines(workdir, CAMVID)
    assert len(lines) == 18 == len({(a["query"], a["piece"]) for a in lines})
    by = {name: {a["query"] for a in lines if a["annotator"] == name} for name in ("ana", "ben")}
    assert by["ana"] and by["ben"] and not by["ana"] & by["ben"]
    assert {(a["annotator"], a["class"]) for a in lines} == {("ana", 0), ("ben", 1)}


# ------------------------------------------------------------------------------------- whole runs


def main(*flags):
    config = f"--config={ROOT / 'configs' / 'toytown.py'}:quick"
    ended = commands.call("run", config, *flags)
    assert ended.status == 0, ended.stderr
    return ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "more"),
    [("labor_ppl", []), ("labor_spl", ["--config.spl.cut=superpixels", "--config.spl.cell=8"])],
)
def test_a_whole_run_by_keyboard_alone_learns_from_the_keys_pressed(
    browser, tmp_path, tiny_dir, method, more
):
    workdir = tmp_path / "run"
    flags = [f"--workdir={workdir}", f"--config.data_dir={tiny_dir}", "--config.annotator=web"]
    flags += [f"--config.method={method}", *more]
    draw = np.random.default_rng(5)
    expected = {}
    for stage in (1, 2):
        told = main(*flags).splitlines()
        queries = [x for x in q.read_queries(workdir, stage) if x[x["kind"]]]
        assert told == [
            f"{len(queries)} images wait for answers: labor-jax annotate --workdir={workdir}",
            "then run the same command again",
        ]
        pieces = [(x["id"], piece) for x in queries for piece in range(len(x[x["kind"]]))]
        with serving(workdir, "--annotator=ana") as address:
            page = open_page(browser, address)
            at = 0
            while at < len(pieces):
                chance = draw.random()
                if chance < 0.1 and at:
                    press(page, "Backspace")
                    at -= 1
                elif chance < 0.2:
                    press(page, "Space")
                    expected[pieces[at]], at = 255, at + 1
                else:
                    label = int(draw.integers(len(CAMVID)))
                    press(page, KEYS[label])
                    expected[pieces[at]], at = label, at + 1
            page.get_by_text("All answered. Thank you!").wait_for()
            assert not page.errors
    assert main(*flags).startswith(f"{method}: finished")
    stands = {(a["query"], a["piece"]): a["class"] for a in journal.read(workdir, CAMVID)}
    assert stands == expected
    # The labels that the run learnt from are these keys' and nothing else.
    for path in sorted((workdir / "annotations" / "labels").rglob("*.png")):
        pixels = np.full(48 * 64, 255)
        for stage in (1, 2):
            query = next(x for x in q.read_queries(workdir, stage) if x["image"] == path.stem)
            for piece, where in enumerate(query[query["kind"]]):
                at = run_pixels(where) if query["kind"] == "segments" else where[1] * 64 + where[0]
                pixels[at] = expected[query["id"], piece]
        np.testing.assert_array_equal(read_label_png(path), pixels.reshape(48, 64))


# --------------------------------------------------------------------------------------- latency


@contextlib.contextmanager
def pieces_of(browser, folder, size, cell):
    """The page of a run that asks all of its images, which have a size, in pieces; how many."""
    folder.mkdir()
    picture = np.random.default_rng(0).integers(0, 255, (32, 64, 3)).astype(np.uint8)
    picture = np.array(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BICUBIC))
    pieces = superpixels.cut_by_superpixels(np.ones(size, bool), picture, cell, cell - 2)
    few = np.where(pieces <= 100, pieces, 0)  # ends soon: the next image is large, too
    queries = [q.segment_query(*x) for x in (("a", 1, size, few), ("b", 1, size, pieces))]
    workdir = make_run(folder, {"a": picture, "b": picture[::-1]}, queries)
    with serving(workdir, "--annotator=ana") as address:
        page = open_page(browser, address)
        page.evaluate("performance.setResourceTimingBufferSize(100000)")
        page.wait_for_timeout(1500)  # a person looks before the first key
        yield page, int(pieces.max())
        assert not page.errors


DRAWN = "performance.getEntriesByName('key to drawn').map(entry => entry.duration)"
SAVED = (
    "performance.getEntriesByType('resource').filter(e => e.name.endsWith('/api/answers'))"
    ".map(e => e.responseEnd - e.requestStart)"
)


def latencies(page):
    """Of 300 keys that were pressed on a page, ms to draw, and to save."""
    for what in (DRAWN, SAVED):
        wait_until(lambda what=what: len(page.evaluate(what)) >= 300)
        times = page.evaluate(what)
        assert len(times) == 300
        yield times


@pytest.mark.slow
def test_large_images_with_ten_thousand_segments_are_answered_as_fast_as_small_ones(
    browser, tmp_path
):
    # A ratio of keys in turn: the machine may be busy with something else.
    with (
        pieces_of(browser, tmp_path / "small", (96, 192), 6) as (one, few),
        pieces_of(browser, tmp_path / "large", (1024, 2048), 14) as (other, many),
    ):
        assert few < 1000 and many >= 10_000
        for n in range(300):
            for page in (one, other):
                press(page, KEYS[n % len(CAMVID)])
                wait_until(lambda page=page: saved(page))
        small, large = list(latencies(one)), list(latencies(other))
    told = [np.percentile(values, [50, 99]).round(1).tolist() for values in (*small, *large)]
    print(f"drawn, saved in ms (median, p99): small {told[:2]}, large {told[2:]}")
    assert np.median(large[0]) <= 4 * np.median(small[0]), told  # 114 times the pixels
    assert np.median(large[1]) <= 4 * np.median(small[1]), told


# --------------------------------------------------------------------------------------- pictures


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["points", "segments"])
def test_the_readmes_pictures(browser, tmp_path, kind):
    """Set LABOR_JAX_DOCS to a folder to have the pictures of the README drawn again there."""
    from labor_jax.data.toytown import render

    size = (360, 480)
    image, truth = render("target", 2, 2, *size)
    if kind == "points":
        spots = [(60, 200), (330, 300), (196, 219), (150, 40), (90, 390), (210, 450)]
        query = q.point_query("rainy_town", 1, size, spots)
    else:
        edge = (np.diff(truth, axis=0, append=0) != 0) | (np.diff(truth, axis=1, append=0) != 0)
        band = cv2.dilate(edge.astype(np.uint8), np.ones((9, 9))) > 0
        pieces = superpixels.cut_by_superpixels(band, image, 24, 30)
        query = q.segment_query("rainy_town", 1, size, pieces)
    run = make_run(tmp_path, {"rainy_town": image}, [query])
    with serving(run, "--annotator=ana") as address:
        page = open_page(browser, address)
        for piece in range(2 if kind == "points" else 60):
            where = query[kind][piece]
            label = (
                truth[where[1], where[0]]
                if kind == "points"
                else np.bincount(truth.flat[run_pixels(where)]).argmax()
            )
            press(page, "Space" if label == 255 else KEYS[label])
        wait_until(lambda: saved(page))
        page.wait_for_timeout(1000)  # what was answered last is no longer told
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        assert picture.size == (1280, 800)
        assert len(picture.getcolors(1 << 24)) > 1000
        if folder := os.environ.get("LABOR_JAX_DOCS"):
            name = {"points": "annotator.jpg", "segments": "annotator_segments.jpg"}[kind]
            picture.save(pathlib.Path(folder, name), quality=85)
