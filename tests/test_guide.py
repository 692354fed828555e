"""The guide "Your own data" is run as it is written: its commands, their output, a person."""

import http.cookiejar
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest
from support.waiting import PATIENCE

from labor_jax.data import toytown

ROOT = pathlib.Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "your_own_data.md"
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CLASSES = (0, 1, 3, 4, 5, 8)
"""The guide's `label_values`, to answer truly."""


def steps(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a guide with the output that it shows, "" where it shows none."""
    blocks = FENCED.findall(text)
    for (kind, body), (next_kind, next_body) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        assert kind in ("sh", "text"), kind
        if kind == "sh":
            yield body, next_body if next_kind == "text" else ""


def shows(output: str, expected: str) -> bool:
    """Whether the lines are there, one after the other; "…" stands for anything in a line."""
    lines = (re.escape(line).replace("…", ".*") for line in expected.splitlines())
    return re.search("^" + r"\n(?:.*\n)*?".join(lines) + "$", output, re.MULTILINE) is not None


def answer_all(address: str) -> int:
    """A person who opens the address and says what is at every point; how many there were."""
    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(jar)
    own = re.match(r"http://[^/]+", address)[0]

    def say(path: str, **what: object) -> dict:
        body = json.dumps({"client": "page", "annotator": "ana"} | what).encode()
        return json.load(browser.open(urllib.request.Request(own + path, body, {"Origin": own})))

    browser.open(address)
    number = 0
    while name := say("/api/take")["task"]:
        task = json.load(browser.open(f"{own}/api/task?id={name}"))
        _, truth = toytown.render("target", 2, int(task["image"]), 48, 64)
        answers = [
            {"id": secrets.token_hex(8), "task": name, "piece": piece, "seconds": 1.5}
            | {"class": CLASSES.index(truth[y, x]) if truth[y, x] in CLASSES else 255}
            for piece, (x, y) in enumerate(task["points"])
        ]
        said = say("/api/answers", answers=answers)
        assert not said["refused"], said
        number += len(answers)
    return number


@pytest.mark.slow
def test_the_guide_can_be_followed_word_by_word(tmp_path):
    folder = os.pathsep.join([str(pathlib.Path(sys.executable).parent), os.environ["PATH"]])
    options = {
        "cwd": tmp_path,
        "env": os.environ | {"PATH": folder, "PYTHONPATH": str(ROOT)},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }
    answered = 0
    for command, expected in steps(GUIDE.read_text()):
        if command.startswith("labor-jax annotate "):
            server = subprocess.Popen(["bash", "-c", f"exec {command.strip()} --port=0"], **options)
            line = server.stdout.readline()
            assert shows(line, expected.replace(":8765/", ":…/")), line
            answered += answer_all(line.split()[1])
            server.send_signal(signal.SIGINT)
            assert "ana" in server.communicate(timeout=PATIENCE)[0] and server.returncode == 0
            continue
        strictly = [] if expected.startswith("error: ") else ["-e"]
        ended = subprocess.run(["bash", *strictly, "-c", command], **options)
        assert shows(ended.stdout, expected), f"{command}\nshould say\n{expected}\n{ended.stdout}"
        assert ended.returncode == 0 or not strictly, f"{command}\n{ended.stdout}"
        assert "Traceback" not in ended.stdout
    assert answered > 6


def test_what_the_guide_shows_must_be_there_line_after_line():
    assert shows("a\nb 12 c\nd\n", "a\nb … c")
    assert shows("a\nx\nd\n", "a\nd")
    assert not shows("d\na\n", "a\nd")
    assert not shows("a b\n", "a")
