"""The page while a model learns: what it predicts, what changed, and pixels of one's own choice."""

import contextlib
import gzip
import io
import threading
import time

import numpy as np
import pytest
import uvicorn
from PIL import Image
from support.annotating import (
    ROOT,
    needs_chromium,
    new_page,
    open_page,
    place,
    press,
    saved,
)
from support.waiting import wait_until

from labor_jax.annotation import journal, server
from labor_jax.annotation import queries as q
from labor_jax.annotation.desk import Desk, Review
from labor_jax.annotation.formats import regions
from labor_jax.annotation.newest import Newest
from labor_jax.data.labels import CAMVID
from labor_jax.selection.segments import run_pixels

pytestmark = needs_chromium

SIZE = (60, 80)
QUARTERS = 1 + np.arange(2).repeat(SIZE[0] // 2)[:, None] + 2 * np.arange(2).repeat(SIZE[1] // 2)
REVIEW = Review(
    lambda image: SIZE if image in ("a", "b") else None, lambda image: QUARTERS.astype(np.int32)
)
GREY = np.full((*SIZE, 3), 128, np.uint8)
TOKEN = "a-token"


class Model:
    """A model whose version and prediction a test sets."""

    def __init__(self):
        self.version, self.predicted, self.more = -1, None, {}

    def newest(self):
        def told():
            empty = {"held": 0, "enough": 40, "gain": None, "lacking": [], "counts": [0] * 11}
            common = {"version": self.version, "made": 1, "images": 2, "error": None, "curve": []}
            if self.version < 0:
                return common
            return common | empty | {"fitted": True, "training": 3} | self.more

        def predict(image):
            return None if self.predicted is None else (self.version, self.predicted)

        def doubts(anew):
            return {"a": 0.125, "b": 0.5}, False

        return Newest(told, predict, doubts)


@contextlib.contextmanager
def served(
    workdir, model, points=((30, 40), (10, 20)), guessed=lambda query: query, annotator="ana"
):
    """The address of a server of two images, each asked about at some points at a time.

    `guessed` adds guesses to a query.
    """

    def supply(asked, busy):
        for number in range(9):
            for image in "ab":
                before = asked.get(image, [])
                if image not in busy and sum("origin" not in x for x in before) == number:
                    places = [(row, column + number) for row, column in points]
                    query = q.point_query(image, 1, SIZE, places)
                    return guessed(query | {"id": q.next_id(query, before)})
        return None

    setup = {"run": "r", "annotator": annotator, "workdir": str(workdir), "in_frame": False}
    desk = Desk(workdir, CAMVID, supply=supply, review=REVIEW)
    app = server.make_app(desk, CAMVID, lambda _: GREY, setup, model.newest())
    guard = server.Guard(app, TOKEN, "127.0.0.1", 0)
    running = uvicorn.Server(uvicorn.Config(guard, port=0, log_level="critical"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    guard.port = running.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{guard.port}/?token={TOKEN}"
    finally:
        running.should_exit = running.force_exit = True
        thread.join(timeout=20)


def lines(workdir):
    return journal.lines(workdir, CAMVID)


def colours(page):
    """The colours of the image as it is shown."""
    box = page.locator("#view").bounding_box()
    shot = np.array(Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB"))
    return {tuple(colour) for colour in shot[::7, ::7].reshape(-1, 3).tolist()}


def ring(page):
    """Where the ring around a pixel of one's own choice is, (x, y); None where there is none."""
    shot = np.array(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    rows, columns = np.nonzero((shot == (255, 225, 77)).all(-1))
    return (columns.mean(), rows.mean()) if len(rows) > 20 else None


def test_a_prediction_is_shown_by_one_key_and_an_answer_says_that_it_was(browser, tmp_path):
    model = Model()
    with served(tmp_path, model) as address:
        page = open_page(browser, address)
        page.get_by_text("Getting ready: 1 of 2 images").wait_for()
        press(page, "4")
        gone = page.locator("#toast:not(.on)")
        gone.wait_for(state="attached")
        plain = colours(page)
        model.version, model.predicted = 1, np.zeros(SIZE, np.uint8)  # all of it sky
        page.get_by_text("Learnt from 3 answers.").wait_for()
        model.more = {"pseudo": 12}
        page.get_by_text("Learnt from 3 answers and 12 pseudo answers.").wait_for()
        gone.wait_for(state="attached")
        assert colours(page) == plain, "off until somebody asks for it"
        page.keyboard.press(".")
        sky = CAMVID.palette[0]
        blend = tuple(round((128 + colour) / 2) for colour in sky)

        def shows(wanted):
            near = [np.abs(np.array(c) - wanted).max() <= 2 for c in colours(page)]
            return any(near)

        wait_until(lambda: shows(blend))
        page.keyboard.press("]")
        wait_until(lambda: not shows(blend))
        press(page, "5")
        wait_until(lambda: saved(page))
        page.keyboard.press(".")
        stronger = tuple(round(0.4 * 128 + 0.6 * colour) for colour in sky)
        wait_until(lambda: not shows(stronger))
        press(page, "6")
        wait_until(lambda: saved(page) and len(lines(tmp_path)) == 3)
        assert not page.errors
    first, second, third = lines(tmp_path)
    assert (second["shown"], second["model"], second["guess"], second["class"]) == (True, 1, 0, 4)
    assert "shown" not in first and "shown" not in third


def test_what_changed_at_the_last_fit_is_told_and_shown(browser, tmp_path):
    model = Model()
    model.version, model.predicted = 1, np.zeros(SIZE, np.uint8)
    with served(tmp_path, model) as address:
        page = open_page(browser, address)
        page.keyboard.press(".")
        wait_until(lambda: page.evaluate("document.body.dataset.model") == "1")
        after = model.predicted.copy()
        after[:15] = 3  # a quarter
        model.predicted, model.version = after, 2
        page.get_by_text("25.0 % of this image changed").wait_for()
        page.keyboard.press(",")
        page.locator("[data-show=changes][aria-pressed=true]").wait_for()
        assert page.locator("[data-show=prediction]").get_attribute("aria-pressed") == "false"
        assert not page.errors


def test_the_score_its_interval_and_the_advice_are_told(browser, tmp_path):
    model = Model()
    model.version = 50
    model.more = {
        **{"held": 45, "mIoU": 41.26, "low": 30.0, "high": 52.0, "advice": "little"},
        **{"gain": {"gain": 0.2, "low": -0.5, "high": 0.9}, "lacking": [2, 10]},
        **{"counts": [9] * 10 + [0], "curve": [[10, 20.0, 5.0, 35.0], [50, 41.26, 30.0, 52.0]]},
    }
    with served(tmp_path, model) as address:
        page = open_page(browser, address)
        page.get_by_text("mIoU 41.3 (90 %: 30.0 to 52.0) on 45 held answers").wait_for()
        page.get_by_text("More clicks of this kind hardly help any more.").wait_for()
        page.get_by_text("gained 0.2 points (90 %: -0.5 to 0.9)").wait_for()
        page.get_by_text("pole (9), bicyclist (0)").wait_for()
        assert not page.errors


def test_any_pixel_is_answered_by_click_or_by_keyboard_and_taken_back(browser, tmp_path):
    with served(tmp_path, Model()) as address:
        page = open_page(browser, address)
        box = page.locator("#view").bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        at = (middle[0] + 60, middle[1] - 90)
        page.mouse.click(*at)
        page.get_by_text("What is the pixel that you chose?").wait_for()
        wait_until(lambda: ring(page) is not None)
        assert np.abs(np.subtract(ring(page), at)).max() < 8, "the ring is where the click was"
        page.keyboard.press("9")
        page.get_by_text("What is the pixel in the ring?").wait_for()
        assert place(page) == "point 1 of 2 · image 1", "the question is still open"
        page.keyboard.press("Shift+ArrowDown")
        page.get_by_text("What is the pixel that you chose?").wait_for()
        page.keyboard.press("Shift+ArrowDown")
        page.keyboard.press("8")
        wait_until(lambda: saved(page) and len(lines(tmp_path)) == 2)
        page.keyboard.press("Backspace")
        wait_until(lambda: len(lines(tmp_path)) == 3)
        page.keyboard.press("Shift+ArrowUp")
        page.keyboard.press("Escape")
        page.get_by_text("What is the pixel in the ring?").wait_for()
        press(page, "1")
        wait_until(lambda: saved(page) and len(lines(tmp_path)) == 4)
        assert not page.errors
    standing = journal.read(tmp_path, CAMVID)
    (chosen, asked) = standing
    assert chosen["class"] == 8 and chosen["point"] not in ([40, 30], [20, 10])
    assert (asked["class"], asked["point"]) == (0, [40, 30])
    origins = [query.get("origin") for query in q.read_queries(tmp_path, 1)]
    assert origins == [None, q.VOLUNTEERED, q.VOLUNTEERED]


# ---------------------------------------------------------------------------------------- review


@pytest.mark.slow
def test_all_images_are_looked_through_and_fixed_by_keyboard_alone(browser, tmp_path):
    model = Model()
    model.version, model.predicted = 1, np.zeros(SIZE, np.uint8)  # all of it sky
    with served(tmp_path, model) as address:
        page = open_page(browser, address)
        press(page, "4")
        page.keyboard.press("/")
        page.get_by_text("2 images, the least sure first").wait_for()
        assert page.locator("#sheets li").all_inner_texts() == [
            "b · 50 % unsure",
            "a · 13 % unsure",
        ]
        centre = "c => [...c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data]"
        blend = (128 + np.array(CAMVID.palette[0])) / 2  # an image, and its prediction over it
        thumb = page.locator("#sheets li canvas").last
        wait_until(lambda: np.abs(np.array(thumb.evaluate(centre))[:3] - blend).max() < 5)
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        wait_until(lambda: place(page) == "piece 1 of 4 · a")
        wait_until(lambda: page.evaluate("document.body.dataset.model") == "1")
        press(page, "5")
        page.keyboard.press("Shift+ArrowRight")  # takes along the piece on the right
        press(page, "6")
        page.keyboard.press("Backspace")
        wait_until(lambda: place(page) == "piece 2 of 4 · a")
        page.keyboard.press("Escape")  # no longer two at once
        page.keyboard.press("b")
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("7")  # what is painted, not the whole piece
        wait_until(lambda: saved(page) and len(journal.read(tmp_path, CAMVID)) == 3)
        page.keyboard.press("Escape")
        page.get_by_text("a · 13 % unsure · 2 fixed").wait_for()
        page.keyboard.press("Escape")
        wait_until(lambda: place(page) == "point 2 of 2 · image 1")  # the question is still open
        assert page.locator("[data-show=prediction]").get_attribute("aria-pressed") == "false"
        assert not page.errors
    asked, fixed, painted = journal.read(tmp_path, CAMVID)
    assert (asked["kind"], fixed["kind"], fixed["image"]) == ("points", "segments", "a")
    assert (fixed["class"], fixed["shown"], fixed["guess"]) == (4, True, 0)
    assert painted["class"] == 6 and sum(painted["runs"][1::2]) < SIZE[0] // 2 * SIZE[1] // 2
    quarter = [value for row in range(SIZE[0] // 2) for value in (row * SIZE[1], SIZE[1] // 2)]
    assert fixed["runs"] == quarter
    origins = [query.get("origin") for query in q.read_queries(tmp_path, 1)]
    assert origins == [None] + [q.VOLUNTEERED] * 4


@pytest.mark.slow
def test_a_review_is_open_when_all_is_answered_and_by_mouse(browser, tmp_path):
    with served(tmp_path, Model(), guessed=lambda query: None) as address:
        page = new_page(browser)
        page.goto(address)
        page.get_by_text("All answered. Thank you!").wait_for()
        page.get_by_role("button", name="look through all images").click()
        page.locator("#sheets li", has_text="b").click()
        page.get_by_text("What is the outlined piece?").wait_for()
        box = page.locator("#view").bounding_box()
        page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"])
        page.get_by_role("button", name="car").click()
        wait_until(lambda: len(lines(tmp_path)) == 1)
        page.keyboard.press("Escape")
        page.get_by_text("1 fixed").wait_for()
        page.keyboard.press("/")
        page.get_by_text("All answered. Thank you!").wait_for()
    (line,) = lines(tmp_path)
    assert (line["image"], line["class"]) == ("b", 8)
    assert line["runs"][0] == SIZE[0] // 2 * SIZE[1] + SIZE[1] // 2, "the lower right quarter"
    assert "shown" not in line, "there was no model yet"


def painted(entry):
    return np.sort(run_pixels(entry["runs"])).tolist()


def test_a_polygon_of_the_mouse_fixes_the_pixels_whose_centres_lie_inside(browser, tmp_path):
    corners = [(5, 10), (70, 55), (75, 12), (12, 50)]  # it crosses itself
    with served(tmp_path, Model()) as address:
        page = open_page(browser, address)
        page.keyboard.press("/")
        page.locator("#sheets li", has_text="b").click()
        page.get_by_text("What is the outlined piece?").wait_for()
        box = page.locator("#view").bounding_box()
        zoom = min(box["width"] / SIZE[1], box["height"] / SIZE[0])  # the whole image is seen

        def click(x, y):
            page.mouse.click(
                box["x"] + box["width"] / 2 + (x - SIZE[1] / 2) * zoom,
                box["y"] + box["height"] / 2 + (y - SIZE[0] / 2) * zoom,
            )

        press(page, "5")  # the upper left quarter, some of which the polygon then covers
        page.keyboard.press("p")
        page.get_by_text("Polygon: click or Space sets a corner").wait_for()
        click(30, 30)
        page.keyboard.press("Backspace")
        for corner in corners:
            click(*corner)
        page.keyboard.press("7")
        page.get_by_text("Enter closes the polygon", exact=True).wait_for()
        click(corners[0][0] + 0.4, corners[0][1] + 0.4)
        page.get_by_text("press the class of what is inside").wait_for()
        page.keyboard.press("9")
        page.get_by_text("part car").wait_for()
        wait_until(lambda: saved(page) and len(lines(tmp_path)) == 2)
        assert place(page) == "piece 2 of 4 · b", "what is left of the others is still open"
        page.keyboard.press("Backspace")
        wait_until(lambda: len(lines(tmp_path)) == 3)
        assert place(page) == "piece 2 of 4 · b", "the quarter that it had covered is as it was"
        page.keyboard.press("p")
        click(2, 2)
        page.keyboard.press("Escape")  # drops it
        page.keyboard.press("p")
        for corner in corners:
            click(*corner)
        page.keyboard.press("Enter")
        page.keyboard.press("Space")  # unsure what this is
        wait_until(lambda: saved(page) and len(lines(tmp_path)) == 4)
        assert not page.errors
    inside = regions.polygon(corners, SIZE).tolist()
    quarter, taken_back = lines(tmp_path)[:2]
    assert (quarter["class"], taken_back["class"], painted(taken_back)) == (4, 8, inside)
    _, fixed = journal.read(tmp_path, CAMVID)
    assert (fixed["class"], painted(fixed)) == (255, inside)
    origins = [query.get("origin") for query in q.read_queries(tmp_path, 1)]
    assert origins == [None] + [q.VOLUNTEERED] * 3


def test_a_polygon_is_drawn_by_keyboard_alone_also_over_what_is_fixed(browser, tmp_path):
    with served(tmp_path, Model()) as address:
        page = open_page(browser, address)
        page.keyboard.press("/")
        page.get_by_text("2 images, the least sure first").wait_for()
        page.keyboard.press("Enter")
        page.get_by_text("What is the outlined piece?").wait_for()
        press(page, "5", "5", "5", "5")  # all of it is road
        page.get_by_text("2 images, the least sure first").wait_for()
        page.keyboard.press("Enter")
        page.locator("#progress").filter(has_text="piece 4 of 4").wait_for()
        page.keyboard.press("p")  # the cursor is in the middle of what is seen, (40, 30)
        path = {"ArrowRight": 3, "Shift+ArrowDown": 2, "ArrowDown": 4, "Shift+ArrowLeft": 1}
        for key, times in path.items():
            page.keyboard.press("Space")
            for _ in range(times):
                page.keyboard.press(key)
        page.keyboard.press("Space")
        page.keyboard.press("Enter")
        page.get_by_text("press the class of what is inside").wait_for()
        page.keyboard.press("Shift+ArrowRight")  # moves the image and chooses no pixel
        page.get_by_text("What is the outlined piece?").wait_for()
        page.keyboard.press("9")
        page.get_by_text("5 fixed").wait_for()
        wait_until(lambda: saved(page))
        assert not page.errors
    *_, fixed = standing = journal.read(tmp_path, CAMVID)
    corners = [(40, 30), (43, 30), (43, 50), (43, 54), (33, 54)]
    assert (fixed["class"], painted(fixed)) == (8, regions.polygon(corners, SIZE).tolist())
    covered = journal.label_map(standing, SIZE)
    assert set(covered.flat[painted(fixed)]) == {8} and set(covered.ravel()) == {4, 8}


# ---------------------------------------------------------------------------------------- verify

SKY, ROAD, CAR = 0, 3, 8
NINE = [(row, column) for row in (10, 30, 50) for column in (10, 30, 50)]


def guessed(query):
    """Six points of nine guessed to be road, two sky, and one asked blind, which is a car."""
    labels = [ROAD] * 3 + [SKY] + [ROAD] * 3 + [SKY, CAR]
    found = [[label, 0.75] for label in labels]
    return query | {"guesses": found, "guessed_by": 7, "blind": [8]}


def test_guesses_are_confirmed_at_once_corrected_taken_out_and_taken_back(browser, tmp_path):
    with served(tmp_path, Model(), NINE, guessed) as address:
        page = open_page(browser, address)
        page.get_by_text("Are these all road?").wait_for()
        assert page.locator("#crops li").count() == 6
        page.keyboard.press("ArrowRight")
        page.keyboard.press("9")  # the second crop is a car
        wait_until(lambda: page.locator("#crops li").count() == 5)
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Delete")
        page.get_by_text("Enter: all 4 are road").wait_for()
        page.keyboard.press("Enter")
        page.get_by_text("Are these all sky?").wait_for()
        wait_until(lambda: len(lines(tmp_path)) == 5)
        page.keyboard.press("Backspace")
        page.get_by_text("Enter: all 4 are road").wait_for()
        wait_until(lambda: len(lines(tmp_path)) == 9)
        page.keyboard.press("Enter")
        page.get_by_text("Are these all sky?").wait_for()
        page.keyboard.press("Escape")  # each alone
        page.get_by_text("Is the pixel in the ring sky?").wait_for()
        assert page.locator("#guess").inner_text().split() == ["Enter", "sky?"]
        page.keyboard.press("Enter")
        page.get_by_text("Is the pixel in the ring road?").wait_for()
        page.keyboard.press("5")  # the one that was taken out
        page.get_by_text("Is the pixel in the ring sky?").wait_for()
        page.keyboard.press("Space")
        page.get_by_text("What is the pixel in the ring?").wait_for()
        page.locator("#guess").wait_for(state="hidden")  # a blind question has no guess to see
        page.keyboard.press("Enter")
        page.keyboard.press("9")
        page.get_by_text("Are these all road?").wait_for()
        wait_until(lambda: saved(page))
        assert not page.errors
    standing = journal.read(tmp_path, CAMVID)
    found = {entry["piece"]: entry["class"] for entry in standing}
    confirmed = [piece for piece, label in found.items() if label == ROAD]
    assert len(found) == 9 and len(confirmed) == 4 and sorted(found.values())[-1] == 255
    for entry in standing:
        label, blind = guessed({})["guesses"][entry["piece"]][0], entry["piece"] == 8
        told = (entry["guess"], entry["confidence"], entry["model"], entry["shown"])
        assert told == (label, 0.75, 7, not blind)
        assert entry.get("together") == (4 if entry["piece"] in confirmed else None)


# --------------------------------------------------------------------------------- accessibility

AXE = gzip.decompress((ROOT / "tests/support/axe/axe.min.js.gz").read_bytes()).decode()


def faults(page):
    """What axe-core finds on a page that is serious or worse: the rule and the element."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert found["passes"]
    return [
        f"{rule['id']}: {node['target']}"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def pieces(query):
    """The same of two segments in place of points, the first with a guess that is shown."""
    segments = np.zeros(SIZE, np.int32)
    segments[10:30, 20:40], segments[30:50, 20:40] = 1, 2
    asked = q.segment_query(query["image"], 1, SIZE, segments) | {"id": query["id"]}
    return asked | {"guesses": [[ROAD, 0.5], [SKY, 0.5]], "guessed_by": 1, "blind": [1]}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_view_has_a_serious_fault_for_people_who_see_or_move_otherwise(
    browser, tmp_path, scheme
):
    model = Model()
    with served(tmp_path / "points", model, NINE, guessed) as address:
        page = open_page(browser, address, color_scheme=scheme)
        page.get_by_text("Are these all road?").wait_for()
        page.keyboard.press("Delete")
        found = {"gallery": faults(page)}
        page.keyboard.press("Escape")
        page.get_by_text("Is the pixel in the ring").wait_for()
        model.version, model.predicted = 1, np.zeros(SIZE, np.uint8)
        gain = {"gain": 3.0, "low": -1.0, "high": 7.0}
        model.more = {"held": 50, "mIoU": 40.0, "low": 30.0, "high": 50.0, "gain": gain}
        model.more |= {"advice": "unclear", "lacking": [2]}
        page.keyboard.press(".")
        page.get_by_text("Learnt from 3 answers.").wait_for()
        found["a guess, and a prediction"] = faults(page)
        page.keyboard.press("?")
        found["help"] = faults(page)
        page.keyboard.press("?")
        page.keyboard.press("/")
        page.get_by_text("2 images, the least sure first").wait_for()
        found["all images"] = faults(page)
        page.keyboard.press("Enter")
        page.get_by_text("What is the outlined piece?").wait_for()
        found["an image that is fixed"] = faults(page)
    with served(tmp_path / "pieces", Model(), guessed=pieces) as address:
        page = open_page(browser, address, color_scheme=scheme)
        page.get_by_text("Is the outlined piece road?").wait_for()
        found["a piece"] = faults(page)
        page.keyboard.press("Enter")
        page.get_by_text("What is the outlined piece?").wait_for()
        page.keyboard.press("b")
        found["brush"] = faults(page)
        page.keyboard.press("p")
        found["polygon"] = faults(page)
    with served(tmp_path / "end", Model(), guessed=lambda query: None) as address:
        page = new_page(browser, color_scheme=scheme)
        page.goto(address)
        page.get_by_text("All answered. Thank you!").wait_for()
        found["end"] = faults(page)
    with served(tmp_path / "who", Model(), annotator="") as address:
        page = new_page(browser, color_scheme=scheme)
        page.goto(address)
        page.get_by_text("Who are you?").wait_for()
        found["name"] = faults(page)
        page.evaluate("document.querySelector('dialog[open]').append(new Image())")
        assert any("image-alt" in fault for fault in faults(page)), "and it does find faults"
    assert not {view: some for view, some in found.items() if some}
