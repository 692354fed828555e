"""People look through the images of a run of stages and fix what its newest model predicts."""

import json

import numpy as np
import pytest
from support.commands import call
from support.frozen_runs import frozen_config

import labor_jax
from labor_jax.annotation import journal, oracle, serving
from labor_jax.annotation import queries as q
from labor_jax.annotation.desk import Desk
from labor_jax.annotation.reviewing import Reviewer
from labor_jax.data import images, loading
from labor_jax.data.labels import CAMVID
from labor_jax.infer import restore
from labor_jax.loop import schedule
from labor_jax.util.errors import Waiting

ROWS, CAR, SKY = 10, 8, 0
"""The uppermost rows of an image are fixed, to one class or another."""


def fix(workdir, reviewer, image, label):
    """Fixes the uppermost rows of an image."""
    width = reviewer.review.size(image)[1]
    one = {"id": f"fix of {image}", "task": f"review/{image}", "seconds": 2.0, "class": label}
    runs = [number for row in range(ROWS) for number in (row * width, width)]
    told = Desk(workdir, CAMVID, review=reviewer.review).record(
        "page", "ana", [one | {"runs": runs}]
    )
    assert told["saved"] and not told["refused"]


@pytest.mark.slow
def test_what_is_fixed_while_a_run_waits_is_learnt_next_and_all_of_it_is_exported(
    make_config, tmp_path, monkeypatch
):
    config, workdir = frozen_config(make_config, tmp_path, "margin"), tmp_path / "run"
    target = loading.load(config.target, config.data_dir, CAMVID)
    config.annotator = "web"
    with pytest.raises(Waiting):
        schedule.run(config, workdir)
    opened = serving.open_run(workdir)
    reviewer = Reviewer(workdir, CAMVID, opened.target.ids, opened.read_image)
    more = True
    while more:
        doubts, more = reviewer.newest.doubts(False)
    assert doubts.keys() == set(target.ids) and all(0 < doubt < 1 for doubt in doubts.values())
    early, late = sorted(doubts, key=doubts.get)[:2]
    with monkeypatch.context() as patch:
        patch.setattr(restore, "restore", None)  # a model that is the newest is not read again
        assert reviewer.newest.doubts(True) == (doubts, False)
    gone = target.ids[0]

    def read_image(image):
        if image == gone:
            raise FileNotFoundError(image)
        return opened.read_image(image)

    some = Reviewer(workdir, CAMVID, target.ids[:3], read_image).newest.doubts(False)
    assert some == ({image: doubts[image] for image in target.ids[:3]} | {gone: None}, False)

    segmenter, picture = labor_jax.load(workdir), opened.read_image(early)
    version, predicted = reviewer.newest.predict(early)
    assert reviewer.newest.told()["version"] == version == segmenter.run.step > 0
    np.testing.assert_array_equal(predicted, segmenter.predict(picture))
    pieces, sure = reviewer.review.pieces(early), segmenter.probabilities(picture).max(2)
    means = [sure[pieces == piece].mean() for piece in range(1, pieces.max() + 1)]
    assert means == sorted(means), "the least sure first"

    fix(workdir, reviewer, early, CAR)
    for query in q.read_queries(workdir, 1):
        truth = target.read_label(target.ids.index(query["image"]))
        journal.append(workdir, oracle.annotate(query, truth), CAMVID)
    fix(workdir, reviewer, late, SKY)  # the fit of stage 1 may be going on by now
    with pytest.raises(Waiting):
        schedule.run(config, workdir)
    learnt = images.read_label_png(journal.labels_path(workdir, early))
    assert (learnt[:ROWS] == CAR).all() and (learnt[ROWS:] != 255).any()
    learnt = images.read_label_png(journal.labels_path(workdir, late))
    assert (learnt[:ROWS] == 255).any(), "it is learnt at stage 2"
    row = json.loads((workdir / "summary.json").read_text())["stages"][-1]
    assert (row["stage"], row["budget"]["volunteered"]) == (1, 1)
    asked = {query["image"]: query["points"] for query in q.read_queries(workdir, 2)}
    assert asked[early] and all(y >= ROWS for _, y in asked[early] + asked[late])

    out = tmp_path / "out"
    flags = ("--whole", "--format=png", f"--workdir={workdir}", f"--out={out}")
    assert call("annotate", "export", *flags).status == 0
    for image, label in ((early, CAR), (late, SKY)):
        found = images.read_label_png(out / "labels" / f"{image}.png")
        assert (found[:ROWS] == label).all() and (found != 255).all()
