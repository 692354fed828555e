"""Server and browser are killed at random moments: what was shown as saved is in the journal."""

import contextlib
import os
import pathlib
import signal
import subprocess
import threading
import time

import numpy as np
import pytest
from support.annotating import CHROMIUM, FLAGS, make_run, needs_chromium, start
from support.waiting import PATIENCE, wait_until

from labor_jax.annotation import journal
from labor_jax.annotation import queries as q
from labor_jax.data.labels import CAMVID

SIZE = (60, 80)
MOMENTS = 20


class Chromium:
    """A browser of its own process, so that it can be killed; its profile outlives it."""

    def __init__(self, playwright, profile: pathlib.Path) -> None:
        port = profile / "DevToolsActivePort"
        port.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            [
                *[CHROMIUM, "--headless", *FLAGS, f"--user-data-dir={profile}"],
                *["--remote-debugging-port=0", "about:blank"],
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(lambda: port.exists() and port.read_text().count("\n") >= 1)
        number = port.read_text().splitlines()[0]
        self.remote = playwright.chromium.connect_over_cdp(
            f"http://127.0.0.1:{number}", timeout=1000 * PATIENCE
        )
        self.page = self.remote.contexts[0].new_page()
        self.page.set_default_timeout(1000 * PATIENCE)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def kill_soon(kill, seconds):
    timer = threading.Timer(seconds, kill)
    timer.start()
    return timer


@pytest.mark.slow
@needs_chromium
def test_every_answer_shown_as_saved_is_in_the_journal_and_none_is_twice(tmp_path):
    from playwright.sync_api import Error, sync_playwright

    draw = np.random.default_rng(0)
    images = [f"image_{n:02}" for n in range(60)]
    flat = [draw.choice(SIZE[0] * SIZE[1], 20, replace=False) for _ in images]
    queries = [
        q.point_query(image, 1, SIZE, np.stack(np.unravel_index(at, SIZE), 1))
        for image, at in zip(images, flat, strict=True)
    ]
    pictures = {i: draw.integers(0, 255, (*SIZE, 3)).astype(np.uint8) for i in images}
    workdir = make_run(tmp_path / "run", pictures, queries)
    order = [(x["id"], piece) for x in queries for piece in range(20)]

    server, address = start(workdir, "--annotator=ana")
    port = int(address.split(":")[2].split("/")[0])
    shown = 0  # so many answers were given when the page said that all is saved
    with sync_playwright() as playwright, contextlib.ExitStack() as alive:
        browser = Chromium(playwright, tmp_path / "profile")
        alive.callback(lambda: (browser.kill(), server.kill(), server.wait()))  # the last ones
        browser.page.goto(address)
        for moment in range(MOMENTS):
            at_server = moment % 2 == 0
            wait = 0.1 + 0.9 * draw.random()
            pause = [0.0, 0.02, 0.1][moment % 3]
            timer = kill_soon(server.kill if at_server else browser.kill, wait)
            try:
                end = time.monotonic() + wait + 0.3
                while time.monotonic() < end:
                    browser.page.keyboard.press("123456789"[draw.integers(9)])
                    state, progress = browser.page.evaluate(
                        "[document.getElementById('saved').dataset.state,"
                        " document.getElementById('progress').textContent]"
                    )
                    if state == "saved":
                        shown = max(shown, count_of(progress) or 0)
                        assert shown <= len(journal_of(workdir))
                    time.sleep(pause)
            except Error:
                assert not at_server, "the page lives on while the server is dead"
            timer.join()
            if at_server:
                server.wait()
                server, again = start(workdir, "--annotator=ana", port=port)
                assert again == address, "an open page finds the server again"
            else:
                browser = Chromium(playwright, tmp_path / "profile")
                browser.page.goto(address)
            browser.page.locator("#saved[data-state=saved]").wait_for()
            browser.page.locator("#progress").filter(has_text="point").wait_for()
            lines = journal_of(workdir)
            assert len(lines) >= shown
            assert [(a["query"], a["piece"]) for a in lines] == order[: len(lines)], "none twice"
            assert len({a["id"] for a in lines}) == len(lines)
            # What the page shows next is what the journal lacks.
            asked = f"point {len(lines) % 20 + 1} of 20 · image {len(lines) // 20 + 1} of 60"
            browser.page.locator("#progress").filter(has_text=asked).wait_for()
    assert len(journal_of(workdir)) > 2 * MOMENTS


def journal_of(workdir):
    return journal.lines(workdir, CAMVID)


def count_of(progress):
    """How many points are answered before "point 3 of 20 · image 2 of 60": 22; None for others."""
    words = progress.split()
    return 20 * (int(words[6]) - 1) + int(words[1]) - 1 if words[:1] == ["point"] else None
