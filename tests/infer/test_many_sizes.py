"""A folder of photographs of many sizes: few compilations, and what each image gives alone."""

import collections
import functools

import jax
import numpy as np
import pytest
from PIL import Image
from support import tiny

from labor_jax.data import folder
from labor_jax.data.labels import ClassTable
from labor_jax.infer import restore
from labor_jax.infer.batches import CANVASES
from labor_jax.infer.evaluate import confusions
from labor_jax.infer.stream import Options, predict_folder
from labor_jax.loop import asking
from labor_jax.loop.compiled import compile_steps

pytestmark = [pytest.mark.usefixtures("shallow"), pytest.mark.slow]
TABLE = ClassTable(("a", "b", "c", "d"), ((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)))
CONFIG = tiny.make_config(method="margin", parallel="jit", **{"points.radius": 1})


@pytest.fixture
def compiled():
    """How often each function was compiled, or read from the cache on disk."""
    counts = collections.Counter()

    def count(event, _, **told):
        if event == "/jax/core/compile/backend_compile_duration":
            counts[told["fun_name"]] += 1

    jax.monitoring.register_event_duration_secs_listener(count)
    yield counts
    jax.monitoring.unregister_event_duration_listener(count)


@pytest.fixture
def photographs(tmp_path):
    """24 labelled photographs of as many sizes, as a folder."""
    draw = np.random.default_rng(0)
    for part, tail, top in (("images", (3,), 256), ("labels", (), 4)):
        (tmp_path / part).mkdir()
        for n in range(24):
            size = (20 + n, 60 - n, *tail)
            pixels = draw.integers(0, top, size).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / part / f"{n:02}.png")
    return folder.load(str(tmp_path / "images"), str(tmp_path / "labels"), TABLE)


@pytest.fixture(scope="module")
def start(shallow):
    return jax.device_put(tiny.make_state(CONFIG))


SOME = (0, 11, 23)
"""Photographs that are also seen alone, each as a domain of its own, which has one size."""


def test_evaluation_compiles_for_a_few_canvases(photographs, start, compiled):
    predict = functools.partial(compile_steps(CONFIG, tiny.CLASSES).predict, start.shipped)
    alone = [next(confusions(predict, photographs.take([n]), TABLE, CONFIG)) for n in SOME]
    compiled.clear()
    found = list(confusions(predict, photographs, TABLE, CONFIG))
    assert len(found) == 24 and 1 < sum(compiled.values()) <= CANVASES
    for n, wanted in zip(SOME, alone, strict=True):
        # A pixel whose two best classes tie may be rounded to the other one.
        assert np.abs(found[n] - wanted).sum() <= 0.002 * wanted.sum()


def test_queries_compile_for_a_few_canvases(photographs, start, compiled, tmp_path):
    infer = functools.partial(compile_steps(CONFIG, tiny.CLASSES).query, start)
    alone = [next(asking.ask(1, photographs.take([n]), infer, CONFIG, tmp_path)) for n in SOME]
    compiled.clear()
    found = list(asking.ask(1, photographs, infer, CONFIG, tmp_path))
    assert [asked.query["image"] for asked in found] == list(photographs.ids)
    assert 1 < sum(compiled.values()) <= CANVASES
    for n, wanted in zip(SOME, alone, strict=True):
        assert found[n].query == wanted.query and len(wanted.query["points"]) > 1
        assert (found[n].predicted == wanted.predicted).mean() > 0.998


def test_a_folder_is_predicted_on_a_few_canvases(photographs, start, compiled, tmp_path):
    run = restore.make_restored(CONFIG, TABLE, 1, start.shipped)
    done = predict_folder(run, photographs, tmp_path / "out", Options(overlay=False))
    assert done.tally.taken == 24 and 1 < sum(compiled.values()) <= CANVASES
    for index, name in enumerate(photographs.ids):
        with Image.open(tmp_path / "out" / f"{name}.png") as written:
            assert written.size == photographs.read_image(index).shape[1::-1]
