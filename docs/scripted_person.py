"""What a scripted person reaches in simulated time: docs/live.md has the table that this makes.

    python docs/scripted_person.py --data=data --out=runs/person

It takes 60 of CamVid's training images (`labor-jax prepare-data --dataset=camvid`), starts
`labor-jax live` on them once for each way of answering, and answers over HTTP as the page does. The
person knows the truth, errs in 5 % of the answers, more at borders (`annotator=noisy`), and takes
two seconds for each key. The time is simulated: the person waits until the model has learnt what
it was told. Then runs of three stages are made of as many clicks. With `--seeds=3` all of it is
done three times. What is finished is kept in `--out`, and passed over by the same command.
"""

import argparse
import http.cookiejar
import io
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from importlib import resources
from typing import Any

import numpy as np
from PIL import Image

from labor_jax.annotation import journal, oracle
from labor_jax.annotation import queries as q
from labor_jax.config import load
from labor_jax.data import loading
from labor_jax.data.labels import CAMVID, IGNORE
from labor_jax.report import charts
from labor_jax.selection.segments import run_pixels
from labor_jax.util import rng

IMAGES = 60
CLICK = 2.0
"""Seconds that a key or a click takes."""
MINUTES = (5, 10, 20, 40)
REFIT = 30
"""Answers between two fits; the default is 5, this takes a sixth of the computing."""
SAVE = 75
"""Answers between two scores."""
AT_ONCE = 12
"""The most pieces that the page's gallery has."""
FIXES = 5
"""Pieces that the person fixes of an image before opening another one."""
CONFIG = (
    "--config=camvid:frozen",
    "--config.input.size=(360,480)",
    "--config.method=margin",
    "--config.live.spread=0",  # runs of stages learn given answers alone, too
    "--config.previews=0",
)
TITLES = {
    "points": "points, live",
    "verify": "points, live, with --mode=verify",
    "review": "pieces fixed in a review",
    "staged": "a run of three stages, as many points",
}
Curve = list[tuple[float, float]]
"""Simulated minutes, and mIoU on val."""


class Server:
    """A live run that is answered over HTTP, and the clock of the person who does so."""

    def __init__(self, flags: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "labor_jax", "live", "--annotator=scripted", "--port=0", *flags],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        found = None
        while found is None:  # other lines tell of what was compared before
            line = self.process.stdout.readline()
            assert line, "the server has ended"
            found = re.match(r"open (http://[^/]+)(/\S+)", line)
        self.own = found[1]
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(cookies)
        self.get(found[2])
        self.lines, self.seconds = 0, 0.0  # of the journal, and what they took

    def get(self, path: str, **query: Any) -> Any:
        address = f"{self.own}{path}" + (f"?{urllib.parse.urlencode(query)}" if query else "")
        with self.opener.open(address, timeout=600) as response:
            body = response.read()
            kind = response.headers.get_content_type()
        if kind == "application/json":
            return json.loads(body)
        return np.array(Image.open(io.BytesIO(body))) if kind == "image/png" and body else None

    def post(self, path: str, **said: Any) -> Any:
        body = json.dumps({"client": "script", "annotator": "scripted"} | said).encode()
        request = urllib.request.Request(self.own + path, body, {"Origin": self.own})
        with self.opener.open(request, timeout=600) as response:
            return json.loads(response.read())

    def answer(self, *answers: dict[str, Any], seconds: float = CLICK) -> None:
        """Says answers that took so long together."""
        said = [
            {"id": uuid.uuid4().hex, "seconds": seconds / len(answers)} | one for one in answers
        ]
        told = self.post("/api/answers", answers=said)
        assert not told["refused"], told
        self.lines += len(said)
        self.seconds += seconds

    def wait(self) -> None:
        """Waits until the model knows what it is to know by now, and has chosen what to ask."""
        begun = time.monotonic()
        version = self.version()
        while self.lines - version >= REFIT:
            time.sleep(0.05)
            version = self.version()
        time.sleep(min(10.0, time.monotonic() - begun))

    def version(self) -> int:
        """How many answers the newest model knows; -1 before there is one."""
        told = self.get("/api/model")
        assert told["error"] is None, told
        return told["version"]

    def close(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=600)


class Person:
    """What somebody sees in an image.

    Attributes:
      seed: of the mistakes.
    """

    def __init__(self, data: str) -> None:
        config = load("camvid:frozen")
        domain = loading.load(config.target, data, CAMVID)
        step = len(domain.ids) / IMAGES
        self.index = {domain.ids[int(i * step)]: int(i * step) for i in range(IMAGES)}
        self.domain, self.seed, self.looks = domain, 0, 0

    def write(self, folder: pathlib.Path) -> None:
        """Writes the images and their label maps, for a domain "folder"."""
        for name, index in self.index.items():
            truth = np.where(self.truth(name) == IGNORE, CAMVID.void_values[0], self.truth(name))
            for kind, pixels in (("images", self.domain.read_image(index)), ("labels", truth)):
                path = folder / kind / f"{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.exists():
                    Image.fromarray(pixels.astype(np.uint8)).save(path)

    def truth(self, image: str) -> np.ndarray:
        assert self.domain.read_label is not None
        return self.domain.read_label(self.index[image])

    def sees(self, query: q.Query) -> list[int]:
        """The class of each piece, as the noisy oracle has it; void is unsure."""
        self.looks += 1
        random = rng.generator(self.seed, "scripted", self.looks)
        lines = oracle.annotate_noisily(
            query, self.truth(query["image"]), len(CAMVID), 0.05, 3.0, random
        )
        return [line["class"] for line in lines]


def points(server: Server, person: Person) -> None:
    """Answers what is asked next, as the page has it: with `--mode=verify` guesses are confirmed.

    Guesses that are alike are confirmed by one key; wrong ones among them are corrected first.
    """
    taken = server.post("/api/take")
    task = server.get("/api/task", id=taken["task"])
    asked = {key: task[key] for key in ("image", "kind", "size", "points", "stage")}
    seen = person.sees(asked | {"id": task["task"]})
    groups: dict[int, list[int]] = {}
    for piece, guess in enumerate(task["guesses"]):
        if guess is None:
            server.answer({"task": task["task"], "piece": piece, "class": seen[piece]})
        else:
            groups.setdefault(guess, []).append(piece)
    for guess, pieces in groups.items():
        right = [piece for piece in pieces if seen[piece] == guess]
        for piece in set(pieces) - set(right):
            said = {"task": task["task"], "piece": piece, "class": seen[piece], "guess": guess}
            server.answer(said)
        for start in range(0, len(right), AT_ONCE):
            some = right[start : start + AT_ONCE]
            together = {"together": len(some)} if len(some) > 1 else {}
            said = {"task": task["task"], "class": guess, "guess": guess} | together
            server.answer(*[said | {"piece": piece} for piece in some])


def review(server: Server, person: Person, before: dict[str, int]) -> None:
    """Opens the least sure image of those that were opened least often, and fixes pieces of it.

    Opening it takes a click. The person goes through the pieces from the least sure one on and
    fixes those that are of another class than the prediction has it.
    """
    found = server.get("/api/review", anew="")
    while found["more"]:
        found = server.get("/api/review")
    image = min(
        found["images"], key=lambda one: (before.get(one["name"], 0), -(one["doubt"] or 0))
    )["name"]
    before[image] = before.get(image, 0) + 1
    opening = CLICK
    task = server.get("/api/task", id=f"review/{image}")
    predicted, fixed = server.get("/api/prediction", id=task["task"]), 0
    done = {answer["piece"] for answer in task["answers"]}
    for piece, runs in enumerate(task["segments"]):
        if piece in done or fixed == FIXES:
            continue
        query = {"image": image, "kind": "segments", "size": task["size"], "segments": [runs]}
        (seen,) = person.sees(query | {"id": task["task"], "stage": 1, "whole": True})
        shown = {}
        if predicted is not None:
            guess = int(np.bincount(predicted.flat[run_pixels(runs)]).argmax())
            shown = {"shown": {"model": max(0, server.version()), "guess": guess}}
            if seen in (guess, IGNORE):
                continue
        said = {"task": task["task"], "runs": runs, "class": seen} | shown
        server.answer(said, seconds=CLICK + opening)
        fixed, opening = fixed + 1, 0.0
    server.seconds += opening


def live(way: str, person: Person, flags: list[str], out: pathlib.Path) -> Curve:
    """A live run of one way of answering: its minutes and mIoU on val at each save."""
    shutil.rmtree(out, ignore_errors=True)  # one that was interrupted: its clock is lost
    mode = ["--mode=verify"] if way == "verify" else []
    settings: dict[str, Any] = {"answers": REFIT, "seconds": 3600.0, "save": SAVE}
    more = [f"--config.live.{key}={value}" for key, value in settings.items()]
    server = Server(
        [*flags, *mode, *more, f"--workdir={out}", "--config.budget.points_per_image=40"]
    )
    before: dict[str, int] = {}
    try:
        while server.seconds < 60 * MINUTES[-1]:
            if way == "review":
                review(server, person, before)
            else:
                points(server, person)
            if server.lines >= REFIT:
                server.wait()
    finally:
        server.close()
    return reached(out)


def reached(workdir: pathlib.Path) -> Curve:
    """The minutes of a live run, and its mIoU on val, at each save."""
    spent = np.cumsum([line["seconds"] for line in journal.lines(workdir, CAMVID)])
    rows = json.loads((workdir / "summary.json").read_text())["stages"]
    return [(float(spent[row["version"] - 1]) / 60, row["mIoU"]) for row in rows]


def staged(flags: list[str], labels: pathlib.Path, out: pathlib.Path) -> Curve:
    """Runs of three stages, each of as many clicks as fit into some minutes, and their mIoU."""
    curve = []
    for minutes in MINUTES:
        number = 60 * minutes / CLICK / IMAGES
        if number != int(number):
            continue
        workdir = out / f"{minutes}_minutes"
        more = ["stages=3", "annotator=noisy", f"target.labels={labels}"]
        more += [f"budget.points_per_image={int(number)}"]
        command = [sys.executable, "-m", "labor_jax.main", f"--workdir={workdir}", *flags]
        subprocess.run([*command, *(f"--config.{x}" for x in more)], check=True)
        score = json.loads((workdir / "summary.json").read_text())["mIoU"]
        curve.append((float(minutes), score))
    return curve


def table(curves: dict[str, list[Curve]]) -> Iterator[str]:
    """Lines of Markdown: mIoU after some minutes, between two saves by a straight line.

    Of several seeds: the mean and the standard deviation.
    """
    yield "| | " + " | ".join(f"{minutes} min" for minutes in MINUTES) + " |"
    yield "|---" * (len(MINUTES) + 1) + "|"
    for way, of_seeds in curves.items():
        told = [[score for curve in of_seeds for score in at(curve, x)] for x in MINUTES]
        cells = [mean_and_deviation(scores) for scores in told]
        yield f"| {TITLES[way]} | " + " | ".join(cells) + " |"


def at(curve: Curve, minutes: float) -> list[float]:
    """The score after some minutes; none before the first save and after the last one."""
    times, scores = np.array(curve).T
    inside = times[0] - 0.1 <= minutes <= times[-1] + 0.1
    return [float(np.interp(minutes, times, scores))] if inside else []


def mean_and_deviation(scores: list[float]) -> str:
    if not scores:
        return ""
    deviation = f" ± {np.std(scores, ddof=1):.1f} ({len(scores)})" if len(scores) > 1 else ""
    return f"{np.mean(scores):.1f}{deviation}"


def mean_curve(of_seeds: list[Curve]) -> Curve:
    """The mean of several curves, at the times of the first one that all have reached."""
    times = [minutes for minutes, _ in of_seeds[0]]
    found = [(x, [score for curve in of_seeds for score in at(curve, x)]) for x in times]
    return [(x, float(np.mean(y))) for x, y in found if len(y) == len(of_seeds)]


def chart(curves: dict[str, list[Curve]]) -> str:
    """The same as a chart: SVG."""
    means = {way: mean_curve(of_seeds) for way, of_seeds in curves.items()}
    series = [
        charts.Series(TITLES[way], curve, color=n, dots=True)
        for n, (way, curve) in enumerate(means.items(), start=1)
    ]
    legend = "".join(
        f'<svg x="370" y="{200 + 20 * line.color}" width="26" height="12">'
        f"{charts.key(line.color)}</svg>"
        f'<text x="402" y="{210 + 20 * line.color}">{line.name}</text>'
        for line in series
    )
    drawn = charts.line_chart(series, "simulated minutes", "mIoU against minutes", (640, 340))
    style = resources.files("labor_jax.report").joinpath("style.css").read_text()
    opening, _, rest = str(drawn).removesuffix("</svg>").partition(">")
    opening = opening.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"')
    return f"{opening}><style><![CDATA[{style}]]></style>{rest}{legend}</svg>"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="data")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, default=1, help="how many, from 0 on")
    parser.add_argument("ways", nargs="*", default=["points", "verify", "review", "staged"])
    arguments = parser.parse_args()
    out, person = arguments.out.absolute(), Person(arguments.data)
    person.write(out)
    flags = [*CONFIG, f"--config.data_dir={arguments.data}", "--config.target.domain=folder"]
    flags += ["--config.target.split=", f"--config.target.images={out / 'images'}"]
    curves: dict[str, list[Curve]] = {}
    for seed in range(arguments.seeds):
        for way in arguments.ways:
            done, workdir = out / f"{way}_{seed}.json", out / f"{way}_{seed}"
            own = [*flags, f"--config.seed={seed}"]
            if not done.exists():
                person.seed, person.looks = seed, 0
                made = (
                    staged(own, out / "labels", workdir)
                    if way == "staged"
                    else live(way, person, own, workdir)
                )
                done.write_text(json.dumps(made))
            curves.setdefault(way, []).append(json.loads(done.read_text()))
    print("\n".join(table(curves)))
    (out / "curve.svg").write_text(chart(curves))


if __name__ == "__main__":
    main()
