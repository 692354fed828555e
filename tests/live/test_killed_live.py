"""The program is killed at random moments: no answer is lost or doubled, the model is the same."""

import collections
import http.client
import http.cookiejar
import json
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from urllib.parse import quote

import numpy as np
import pytest
from support import commands
from support.frozen_runs import frozen_config
from support.waiting import COMPILED, PATIENCE

from labor_jax.annotation import journal
from labor_jax.annotation import queries as q
from labor_jax.config.changes import flat
from labor_jax.data.labels import CAMVID
from labor_jax.infer import restore

MOMENTS = 20

CONFIG = """
from labor_jax.config import load

def get_config():
    config = load("toytown:quick")
    config.update_from_flattened_dict({values!r})
    return config
"""


@pytest.fixture
def flags(make_config, tmp_path):
    """The flags of a live run whose saves are frequent, so that some are killed."""
    changes = {"source.domain": "", "warmup_steps": 0, "annotator": "web"}
    config = frozen_config(make_config, tmp_path, "margin", **changes)
    keys = ("model.head", "model.freeze", "model.weights", "adapt", "data_dir", "method")
    values = {key: flat(config)[key] for key in keys}
    values |= {"source.domain": "", "warmup_steps": 0, "optimizer.weight_decay": 1e-2}
    values |= {"live.points": 3, "live.held": 0.2, "live.seconds": 0.1, "live.save": 6}
    values |= {"points.radius": 1, "adapt_steps": 8, "previews": 1}
    values |= {"budget.points_per_image": 1000}  # a fast machine must not come to its end
    path = tmp_path / "live_config.py"
    path.write_text(CONFIG.format(values=values))
    return [f"--config={path}", "--port=0", "--annotator=ana"]


class Page:
    """What a page does, without a browser: it takes tasks and repeats what is not saved."""

    def __init__(self, draw):
        self.draw, self.base, self.open = draw, "", None
        self.waiting, self.saved, self.given = [], [], 0

    def meet(self, address):
        """Logs in at an address."""
        self.base = address.partition("/?")[0]
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.open = urllib.request.build_opener(cookies).open
        self.open(address, timeout=PATIENCE).read()

    def post(self, path, **said):
        body = json.dumps({"client": "page", "annotator": "ana"} | said).encode()
        headers = {"Origin": self.base, "Content-Type": "application/json"}
        request = urllib.request.Request(self.base + path, body, headers)
        return json.load(self.open(request, timeout=PATIENCE))

    def version(self):
        return json.load(self.open(f"{self.base}/api/model", timeout=PATIENCE))["version"]

    def answer(self):
        """Answers one point; an error leaves the answer waiting, as in a browser."""
        if self.waiting:
            told = self.post("/api/answers", answers=self.waiting)
            assert not told["refused"], told
            self.saved += told["saved"]
            self.waiting = []
        task = self.post("/api/take")["task"]
        address = f"{self.base}/api/task?id={quote(task, safe='')}"
        view = json.load(self.open(address, timeout=PATIENCE))
        done = {entry["piece"] for entry in view["answers"]}
        piece = next(n for n in range(len(view["points"])) if n not in done)
        self.given += 1
        one = {"id": f"answer-{self.given}", "task": task, "piece": piece, "seconds": 1}
        self.waiting = [one | {"class": int(self.draw.integers(11))}]
        told = self.post("/api/answers", answers=self.waiting)
        self.saved += told["saved"]
        self.waiting = []


PROGRAM = """
import sys
from labor_jax import __main__
from labor_jax.util import stopping
stopping.GRACE = 1e6  # what is saved is looked at, however long a slow machine takes
sys.exit(__main__.process())
"""


def start(workdir, flags):
    """The program and its address."""
    flags, pipes = [*flags, f"--workdir={workdir}"], (subprocess.PIPE, subprocess.DEVNULL)
    program = commands.start(
        "live", *flags, program=("-c", PROGRAM), stdout=pipes[0], stderr=pipes[1]
    )
    found = re.match(r"open (http://\S+)$", program.stdout.readline())
    assert found
    return program, found[1]


def end(program):
    """Ends it as Ctrl-C does."""
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=COMPILED)
    assert program.returncode == 0


def classifier(workdir):
    loaded = restore.restore(workdir)
    return loaded.step, {k: np.asarray(v) for k, v in loaded.segmenter.params["main"].items()}


@pytest.mark.slow
def test_killed_at_random_moments_it_loses_and_doubles_nothing_and_learns_the_same(flags, tmp_path):
    draw, workdir = np.random.default_rng(0), tmp_path / "run"
    page = Page(draw)
    for moment in range(MOMENTS):
        program, address = start(workdir, flags)
        # Some are killed while the page comes up or features are made, others while they learn.
        until = time.monotonic() + [0.2, 1.5, 4.0][moment % 3] * (0.5 + draw.random())
        try:
            page.meet(address)
            while time.monotonic() < until:
                page.answer()
                time.sleep(0.02 * draw.random())
                if program.poll() is None and time.monotonic() >= until:
                    program.kill()
                    page.answer()  # in flight, or just after
        except urllib.error.HTTPError:
            raise  # the server was well and did not like what the page said
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            pass
        program.kill()
        program.communicate()
        written = [line["id"] for line in journal.lines(workdir, CAMVID)]
        assert set(page.saved) <= set(written), "what was shown as saved is there"
        assert len(set(written)) == len(written), "and nothing is twice"
    program, address = start(workdir, flags)
    page.meet(address)
    page.answer()
    while page.given <= MOMENTS:  # a slow machine was killed before it was met
        page.answer()
    lines = journal.lines(workdir, CAMVID)
    while page.version() < len(lines):
        time.sleep(0.1)
    end(program)
    assert len(lines) == len(set(page.saved)) > MOMENTS
    asked = q.read_queries(workdir, 1)
    points = [(query["image"], *point) for query in asked for point in query["points"]]
    assert len(points) == len(set(points)), "no pixel is asked twice"
    places = collections.Counter((a["image"], *a["point"]) for a in lines)
    assert max(places.values()) == 1

    # The same journal in a folder that knows nothing else.
    other = tmp_path / "other"
    for name in ("config.json", "queries", "annotations/journal.jsonl"):
        copy = shutil.copytree if (workdir / name).is_dir() else shutil.copy2
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        copy(workdir / name, other / name)
    (other / "live.jsonl").touch()
    program, address = start(other, flags)
    page.meet(address)
    while page.version() < len(lines):
        time.sleep(0.1)
    end(program)
    (step, one), (other_step, another) = classifier(workdir), classifier(other)
    assert step == other_step == len(lines)
    assert all(np.array_equal(one[key], another[key]) for key in one)
