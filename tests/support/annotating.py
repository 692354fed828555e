"""Runs to annotate, the server as a program, and a browser: what the annotator's tests share."""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import commands
from support.waiting import PATIENCE, wait_until

from labor_jax.annotation import queries as q
from labor_jax.config import default_config
from labor_jax.util import files

ROOT = pathlib.Path(__file__).parents[2]
CHROMIUM = os.environ.get("LABOR_JAX_CHROMIUM") or shutil.which("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
needs_chromium = pytest.mark.skipif(
    not CHROMIUM,
    reason="needs Chromium: apt-get install chromium, or LABOR_JAX_CHROMIUM=the browser's path",
)


def make_run(workdir: pathlib.Path, pictures: dict[str, np.ndarray], queries: list) -> pathlib.Path:
    """A run that waits for answers: pictures [H, W, 3] uint8 by id, and its first queries."""
    for name, picture in pictures.items():
        path = workdir / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    config = default_config()
    config.annotator = "web"
    config.target.domain, config.target.images = "folder", str(workdir / "images")
    files.write_json(workdir / "config.json", config.to_dict())
    q.write_queries(workdir, 1, queries)
    return workdir


def start(workdir: pathlib.Path, *flags: str, port: int = 0) -> tuple[subprocess.Popen, str]:
    """The server of a run, and its address."""
    flags = (f"--workdir={workdir}", f"--port={port}", *flags)
    server = commands.start("annotate", *flags, stdout=subprocess.PIPE)
    told = server.stdout.readline()
    found = re.match(r"open (http://\S+)$", told)
    assert found, told
    return server, found[1]


@contextlib.contextmanager
def serving(workdir: pathlib.Path, *flags: str, port: int = 0) -> Iterator[str]:
    """The address of a server of a run."""
    server, address = start(workdir, *flags, port=port)
    try:
        yield address
    finally:
        server.terminate()
        server.communicate(timeout=PATIENCE)


@contextlib.contextmanager
def browsing() -> Iterator[Any]:
    """A Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=FLAGS, timeout=1000 * PATIENCE
        )
        yield browser
        browser.close()


def new_page(browser: Any, **options: Any) -> Any:
    """An empty page of a person of their own."""
    page = browser.new_context(**{"viewport": {"width": 1280, "height": 800}} | options).new_page()
    page.set_default_timeout(1000 * PATIENCE)
    return page


def open_page(browser: Any, address: str, **options: Any) -> Any:
    """A page of a person of their own, once the first query is drawn; its errors are kept."""
    page = new_page(browser, **options)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(address)
    page.locator("#progress").filter(has_text=" of ").wait_for()
    return page


PLACE = """() => {
  const at = id => document.getElementById(id);
  const without = !at("end").hidden || !at("review").hidden;
  return at("progress").textContent || (without ? at("ask").textContent : "");
}"""


def place(page: Any) -> str:
    """Which query a page shows: "point 3 of 40 · image 1 of 12".

    Where it shows none, what it says instead; "" where the next query is not drawn yet.
    """
    return re.sub(r" · [0-9.]+ s a \w+$", "", page.evaluate(PLACE))


def press(page: Any, *keys: str) -> None:
    """Presses keys, each when what the one before led to is drawn."""
    for key in keys:
        before = wait_until(lambda: place(page))
        page.keyboard.press(key)
        wait_until(lambda before=before: place(page) not in ("", before))


def saved(page: Any) -> bool:
    """Whether the page says that all is saved."""
    return page.get_attribute("#saved", "data-state") == "saved"
