"""A session: it follows the journal, loses nothing, and leaves an ordinary run."""

import json
import pathlib
import threading

import jax
import numpy as np
import pytest
from support.commands import call, the_line
from support.frozen_runs import frozen_config
from support.waiting import COMPILED, wait_until

from labor_jax.annotation import asked_images, checks, journal, quality
from labor_jax.annotation import queries as q
from labor_jax.annotation.desk import Desk
from labor_jax.data.images import read_label_png
from labor_jax.data.labels import IGNORE
from labor_jax.infer import restore
from labor_jax.live import questions, session
from labor_jax.loop import opening, resume
from labor_jax.selection import superpixels
from labor_jax.util import files

IDS = iter(range(10**6))


@pytest.fixture(scope="module")
def config(make_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    without = {"source.domain": "", "warmup_steps": 0, "annotator": "web"}
    c = frozen_config(make_config, folder, "margin", **without)
    c.live.points, c.live.held, c.live.pool, c.live.seconds = 3, 0.3, 4, 0.0
    c.live.spread = 2
    c.points.radius, c.adapt_steps, c.previews = 1, 8, 1
    return c


class Live:
    """A session and its desk, and the truth to answer from."""

    def __init__(self, config, workdir, verify=False):
        own = config.copy_and_resolve_references()
        self.config, workdir, self.table = opening.checked(own, workdir)
        self.workdir = workdir
        domains = opening.open_domains(self.config, workdir, self.table)
        self.target, self.val = domains["target"], domains["val"]
        resume.write_config(self.config, workdir)
        for path in (workdir / resume.LIVE, q.queries_path(workdir, questions.STAGE)):
            files.append_lines(path, b"")
        if not asked_images.path(workdir, 1).exists():
            asked_images.remember(workdir, 1, self.target)
        self.session = session.Session(self.config, workdir, self.table, domains, verify)
        # A lease that a slow machine does not outlast.
        self.desk = Desk(
            workdir,
            self.table,
            lease=1e6,
            supply=self.session.next_query,
            check=self.session.checks(),
        )

    def answer(self, number, client="page", annotator="ana"):
        """Answers so many points by the truth; returns how many there were."""
        for done in range(number):
            task = self.desk.take(client, annotator)["task"]
            if task is None:
                return done
            told = self.desk.view(task)
            answered = {entry["piece"] for entry in told["answers"]}
            piece = next(n for n in range(len(told["points"])) if n not in answered)
            x, y = told["points"][piece]
            image = self.desk.image(task)
            asked = self.val if image.startswith(checks.VAL) else self.target
            label = asked.read_label(asked.ids.index(image.removeprefix(checks.VAL)))[y, x]
            one = {"id": f"number-{next(IDS)}", "task": task, "piece": piece, "seconds": 1.0}
            one |= {"guess": told["guesses"][piece]}
            assert self.desk.record(client, annotator, [one | {"class": int(label)}])["saved"]
        return number

    def wait(self, version):
        wait_until(
            lambda: self.session.told()["version"] >= version or self.session.error, COMPILED
        )
        assert self.session.error is None

    def wait_for_proposals(self):
        """Waits until the next question, which is not to be held, is a classifier's."""
        asked = q.by_asked_image(self.workdir)
        wait_until(lambda: "model" in self.session.next_query(asked, frozenset()), COMPILED)


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    """The DIR of a session that was closed after thirty answers, and what it told."""
    workdir = tmp_path_factory.mktemp("live") / "run"
    live = Live(config, workdir)
    assert live.answer(5) == 5, "before anything is learnt, too"
    live.session.start()
    live.wait(5)
    live.wait_for_proposals()
    live.answer(25)
    live.wait(30)
    told, (version, predicted) = live.session.told(), live.session.predict(live.target.ids[0])
    reviewed = live.session.doubts(True), live.session.pieces(live.target.ids[0])
    live.session.close()
    return workdir, told, version, predicted, reviewed


def test_a_session_learns_asks_and_tells(finished):
    workdir, told, version, predicted, _ = finished
    assert told["version"] == version == 30
    assert told["training"] + told["held"] <= 30 and told["held"] > 0
    assert sum(told["counts"]) == told["training"] and told["mIoU"] is not None
    assert predicted.dtype == np.uint8
    recorded = [json.loads(line) for line in (workdir / resume.LIVE).read_text().splitlines()]
    assert [line["version"] for line in recorded] == sorted({line["version"] for line in recorded})
    assert recorded[-1]["clicks"] == 30
    assert 0 < recorded[-1]["pseudo"] == told["pseudo"] <= 2 * told["training"]
    asked = q.read_queries(workdir, 1)
    assert any(query.get("origin") == q.HELD for query in asked)
    assert max(query.get("model", 0) for query in asked) > 0, "the newest model asks"
    points = [(query["image"], *point) for query in asked for point in query["points"]]
    assert len(points) == len(set(points))


def test_every_image_can_be_reviewed_in_superpixels(finished):
    workdir, *_, ((doubts, more), pieces) = finished
    loaded = restore.restore(workdir)
    target = loaded.load_domain("target")
    assert list(doubts) == list(target.ids) and not more
    assert all(0 < doubt < 1 for doubt in doubts.values()) and len(set(doubts.values())) > 1
    cut = superpixels.superpixels(target.read_image(0), loaded.config.superpixels.cell)
    pairs = np.unique(np.stack([pieces.ravel(), cut.ravel()]), axis=1)
    assert pairs[0].tolist() == list(range(1, pieces.max() + 1)), "each piece is one superpixel"
    assert len(set(pairs[1])) == len(pairs[1])


def test_its_folder_is_an_ordinary_runs(finished, tmp_path):
    workdir, _, version, predicted, _ = finished
    loaded = restore.restore(workdir)
    assert loaded.step == version
    target = loaded.load_domain("target")
    images = np.stack([target.read_image(0)])
    np.testing.assert_array_equal(
        (loaded.predict(images, predicted.shape)[0] == predicted).mean().round(2), 1.0
    )
    ended = call("evaluate", f"--workdir={workdir}")
    assert ended.status == 0 and "mIoU" in ended.stdout
    report = (workdir / "report.html").read_text()
    assert "mIoU" in report and "ana" in report and "All answers: " in report
    assert "<th>Pseudo</th>" in report
    summary = files.read_json(workdir / "summary.json")
    assert summary["budget"]["clicks"] == 30 and summary["stages"][-1]["version"] == 30
    labels = list(pathlib.Path(workdir, "annotations", "labels").rglob("*.png"))
    answers = journal.read(workdir, loaded.table)
    assert len(labels) == len({a["image"] for a in answers})
    labelled = sum(int((read_label_png(path) != IGNORE).sum()) for path in labels)
    assert labelled == sum(a["class"] != IGNORE for a in answers), "no pseudo answer"


def test_a_session_that_starts_again_learns_the_same_bit_for_bit(finished, config, tmp_path):
    workdir, _, version, predicted, _ = finished
    before = jax.device_get(restore.restore(workdir).segmenter.params["main"])
    again = Live(config, workdir)
    again.session.start()
    again.wait(version)
    now_version, now = again.session.predict(again.target.ids[0])
    fitted = again.session._learned.fitted
    again.session.close()
    assert now_version == version
    np.testing.assert_array_equal(now, predicted)
    np.testing.assert_array_equal(fitted.kernel, before["kernel"][0, 0])
    np.testing.assert_array_equal(fitted.bias, before["bias"])


def test_two_people_are_served_by_one_session_and_no_pixel_is_asked_twice(config, tmp_path):
    live = Live(config, tmp_path / "run")
    live.session.start()
    people = [
        threading.Thread(target=live.answer, args=(12, f"page {name}", name))
        for name in ("ana", "bob")
    ]
    for person in people:
        person.start()
    for person in people:
        person.join()
    live.wait(24)
    live.session.close()
    answers = journal.read(live.workdir, live.table)
    assert len(answers) == 24 and {a["annotator"] for a in answers} == {"ana", "bob"}
    assert len({(a["image"], *a["point"]) for a in answers}) == 24
    fits = [json.loads(line) for line in (live.workdir / resume.LIVE).read_text().splitlines()]
    versions = [line["version"] for line in fits]
    assert versions == sorted(set(versions)) and versions[-1] == fits[-1]["clicks"] == 24


@pytest.mark.slow
def test_the_newest_classifiers_guesses_are_asked_for_and_held_questions_have_none(
    config, tmp_path
):
    config = config.copy_and_resolve_references()
    config.checks.share = 0.3
    live = Live(config, tmp_path / "run", verify=True)
    live.answer(6)
    live.session.start()
    live.wait(6)
    live.answer(30)
    live.wait(36)
    version, predicted = live.session.predict(live.target.ids[0])
    live.session.close()
    asked = q.read_queries(live.workdir, 1)
    held = [query for query in asked if query.get("origin") == q.HELD]
    verified = [query for query in asked if "guesses" in query]
    assert held and len(verified) >= 4 and not any("guesses" in query for query in held)
    models = [query["guessed_by"] for query in verified]
    assert models == sorted(models) and models[0] >= 6
    by_id = {query["id"]: query for query in verified}
    made = checks.read(live.workdir)
    by_id |= {check["id"]: check for check in made}
    lines = journal.lines(live.workdir, live.table)
    assert any(line.get("check") for line in lines)
    assert any("guesses" in check and check["image"].startswith(checks.VAL) for check in made)
    labelled = journal.read(live.workdir, live.table)
    assert {entry["image"] for entry in labelled} <= set(live.target.ids)
    (row,) = quality.checked(lines, {check["id"]: check for check in made}, len(live.table))
    assert row["right"]["value"] == 1, "the truth was answered"
    lines = [line for line in lines if "confidence" in line]
    assert len(lines) >= 10
    for line in lines:
        query = by_id[line["query"]]
        assert [line["guess"], line["confidence"]] == query["guesses"][line["piece"]]
        assert line["shown"] is (line["piece"] not in query["blind"])
    # A guess is what the prediction of the whole image has at the pixel.
    image = live.target.ids[0]
    query = live.session._guessed(
        q.point_query(image, 1, predicted.shape, [(3, 4), (20, 30), (40, 50)]) | {"id": "x"}
    )
    classes = [label for label, _ in query["guesses"]]
    assert query["guessed_by"] == version
    assert classes == [predicted[3, 4], predicted[20, 30], predicted[40, 50]]
    report = (live.workdir / "report.html").read_text()
    assert "Guesses shown and kept back" in report and "Checks: answers that are known" in report


def test_what_ends_the_learner_is_told_and_answers_are_taken_all_the_same(
    config, tmp_path, monkeypatch
):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    live = Live(config, tmp_path / "run")
    monkeypatch.setattr(session.learner, "fit", full)
    live.session.start()
    wait_until(lambda: live.session.told()["error"], COMPILED)
    assert "No space left" in live.session.told()["error"]
    assert live.answer(4) == 4
    with pytest.raises(OSError, match="No space left"):
        live.session.close()
    assert len(journal.read(live.workdir, live.table)) == 4


def test_live_and_staged_runs_do_not_go_on_in_each_others_folders(finished, config, tmp_path):
    workdir, *_ = finished
    line = the_line(call("run", "--config=toytown:quick", f"--workdir={workdir}"))
    assert "holds" in line
    with pytest.raises(Exception, match="holds a run of learning live"):
        resume.check_kind(workdir, live=False)
    files.write_json(tmp_path / "config.json", {})
    with pytest.raises(Exception, match="holds a run of stages"):
        resume.check_kind(tmp_path, live=True)
