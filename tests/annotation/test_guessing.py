"""A waiting run's newest model guesses at what is asked."""

import numpy as np
import pytest
from support.annotating import make_run
from support.commands import call, the_line
from support.frozen_runs import frozen_config
from support.waiting import COMPILED, wait_until

import labor_jax
from labor_jax.annotation import guesses, serving
from labor_jax.annotation import queries as q
from labor_jax.annotation.desk import Desk
from labor_jax.annotation.guessing import guessing
from labor_jax.data import images
from labor_jax.data.labels import CAMVID
from labor_jax.loop import schedule
from labor_jax.util.errors import Waiting


@pytest.fixture(scope="module")
def workdir(make_config, tmp_path_factory):
    """A run that waits for answers."""
    folder = tmp_path_factory.mktemp("waiting")
    with pytest.raises(Waiting):
        schedule.run(frozen_config(make_config, folder, "margin", annotator="web"), folder / "run")
    return folder / "run"


@pytest.mark.slow
def test_the_newest_model_guesses_at_all_that_a_waiting_run_asks_but_what_is_begun(workdir):
    opened, desk = serving.open_run(workdir), Desk(workdir, CAMVID, lease=1e6, verify=True)
    begun = desk.take("page", "ana")["task"]
    with guessing(workdir, desk, opened.read_image):
        wait_until(lambda: not desk.without_guesses(), COMPILED)
    asked = {query["id"]: query for query in q.read_queries(workdir, 1)}
    found = guesses.read(workdir, 1)
    assert found.keys() == asked.keys() - {begun}
    segmenter = labor_jax.load(workdir)
    for name in sorted(found)[:3]:
        predicted = segmenter.predict(opened.read_image(asked[name]["image"]))
        classes = [label for label, _ in found[name]["guesses"]]
        assert classes == [predicted[y, x] for x, y in asked[name]["points"]]
        assert found[name]["guessed_by"] == segmenter.run.step > 0
    assert desk.view(begun)["guesses"] == [None] * len(asked[begun]["points"])


@pytest.mark.slow
def test_the_command_exports_every_target_image_with_a_class_for_each_pixel(workdir, tmp_path):
    out, target = tmp_path / "out", serving.open_run(workdir).target
    told = call(
        "annotate", "export", "--whole", "--format=png", f"--workdir={workdir}", f"--out={out}"
    )
    said = f"{len(target.ids)} images with a class for each pixel: {out}\n"
    assert (told.status, told.stdout) == (0, said)
    segmenter = labor_jax.load(workdir)
    for index, image in enumerate(target.ids[:2]):
        label = images.read_label_png(out / "labels" / f"{image}.png")
        np.testing.assert_array_equal(label, segmenter.predict(target.read_image(index)))


def test_a_run_without_a_model_has_no_guesses(tmp_path):
    workdir = make_run(tmp_path, {"a": np.zeros((60, 80, 3), np.uint8)}, [])
    ended = call("annotate", f"--workdir={workdir}", "--port=0", "--mode=verify")
    assert "checkpoint" in the_line(ended)
