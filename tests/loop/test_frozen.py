"""Runs on frozen features: their cache, their fit, and what a killed one ends with."""

import concurrent.futures
import dataclasses
import errno
import io
import math
import os
import pathlib
import random
import signal
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import faults
from support.frozen_runs import frozen_config

from labor_jax.annotation import journal
from labor_jax.annotation import queries as q
from labor_jax.config import checking
from labor_jax.data import images, loading
from labor_jax.data.labels import CAMVID, IGNORE
from labor_jax.infer import export, feature_cache, restore
from labor_jax.infer.batches import inferred
from labor_jax.loop import frozen, schedule
from labor_jax.report.monitor import read_metrics
from labor_jax.train import parallel, state
from labor_jax.util.errors import UserError


@pytest.fixture(scope="module")
def make_frozen(make_config, tmp_path_factory):
    """A method's quick run on a frozen narrow ResNet whose weights are in a file."""
    folder = tmp_path_factory.mktemp("weights")
    return lambda method, **values: frozen_config(make_config, folder, method, **values)


def features_of(config) -> pathlib.Path:
    return pathlib.Path(config.data_dir, "features")


def run(config, workdir):
    """A run's summary, and the variables that it ends with."""
    values = schedule.run(config, workdir)
    return values, jax.device_get(restore.restore(workdir).segmenter.variables)


@pytest.fixture
def data_dir(tiny_dir, tmp_path):
    """Toytown is prepared in it, and no features are."""
    folder = tmp_path / "data"
    folder.mkdir()
    os.symlink(pathlib.Path(tiny_dir, "toytown"), folder / "toytown")
    return str(folder)


def test_a_frozen_run_asks_fits_and_scores_and_one_that_is_killed_ends_the_same(
    make_frozen, data_dir, tmp_path, monkeypatch
):
    config = make_frozen("labor_ppl", data_dir=data_dir, **{"selector.steps": 3})
    values, variables = run(config, tmp_path / "run")
    assert values["status"] == "finished"
    assert [row["stage"] for row in values["stages"]] == [0, 1, 2]
    assert values["budget"]["points"] > 0
    assert len(list(features_of(config).iterdir())) == 3  # of source, target and val
    assert variables["params"]["main"]["kernel"].any()

    fit, fits = frozen.linear_fit.fit, []

    def dying(*args, **values):
        fits.append(0)
        if len(fits) in (1, 3):
            raise KeyboardInterrupt
        return fit(*args, **values)

    monkeypatch.setattr(frozen.linear_fit, "fit", dying)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            schedule.run(config, tmp_path / "killed")
    again, ended = run(config, tmp_path / "killed")
    assert [row["mIoU"] for row in again["stages"]] == [row["mIoU"] for row in values["stages"]]
    assert jax.tree.all(jax.tree.map(np.array_equal, ended, variables))


def watch(monkeypatch):
    """Of each fit of the classifier: its arguments, and what it gave."""
    fit, fits = frozen.linear_fit.fit, []

    def watched(*args, **values):
        fits.append((args, fit(*args, **values)))
        return fits[-1][1]

    monkeypatch.setattr(frozen.linear_fit, "fit", watched)
    return fits


@pytest.mark.slow
def test_a_stage_that_asks_nothing_keeps_the_fit_and_ends_as_if_it_had_been_made_again(
    make_frozen, tmp_path, monkeypatch
):
    config = make_frozen("full", stages=2)
    fits = watch(monkeypatch)
    values, variables = run(config, tmp_path / "kept")
    assert len(fits) == 2, "the warm-up's and the first stage's"
    monkeypatch.setattr(frozen, "told_before", lambda *_: None)
    again, refitted = run(config, tmp_path / "again")
    assert len(fits) == 5
    assert jax.tree.all(jax.tree.map(np.array_equal, variables, refitted))
    assert values["stages"] == again["stages"]
    kept, made = (read_metrics(tmp_path / name) for name in ("kept", "again"))
    assert kept == made and kept[-1]["stage"] == 2


@pytest.mark.slow
def test_a_teacher_adds_target_pixels_with_the_classes_of_the_fit_before(
    make_frozen, tmp_path, monkeypatch
):
    config = make_frozen("uda", **{"adapt": "teacher", "stages": 1, "frozen.pixels": 50})
    config.teacher.share, config.teacher.weight = 1.0, 0.25
    fits = watch(monkeypatch)
    schedule.run(config, tmp_path / "run")
    ((source, of_source, weights), before), ((features, labels, weighed), _) = fits
    rows = len(of_source)
    np.testing.assert_array_equal(features[:rows], source)
    np.testing.assert_array_equal(weighed[:rows], weights)
    taught = features[rows:]
    domain = loading.load(config.target, config.data_dir, CAMVID)
    assert len(taught) == 50 * len(domain.ids)
    np.testing.assert_array_equal(labels[rows:], (taught @ before.kernel + before.bias).argmax(1))
    assert 0.24 < weighed[rows:].sum() < 0.26
    np.testing.assert_allclose(source.mean(0), taught.mean(0), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(source.std(0), taught.std(0), rtol=1e-2, atol=1e-4)


@pytest.mark.slow
def test_a_teacher_leaves_images_with_an_answer_to_their_answers(
    make_frozen, tmp_path, monkeypatch
):
    config = make_frozen("random", **{"adapt": "teacher", "stages": 1})
    fits = watch(monkeypatch)
    schedule.run(config, tmp_path / "run")
    ((_, of_source, _), _), ((_, labels, _), _) = fits
    domain = loading.load(config.target, config.data_dir, CAMVID)
    paths = [journal.labels_path(tmp_path / "run", image) for image in domain.ids]
    answered = [label[label != IGNORE] for label in map(images.read_label_png, paths)]
    np.testing.assert_array_equal(labels[len(of_source) :], np.concatenate(answered))


KILLS = 4


@pytest.mark.slow
def test_frozen_runs_that_are_killed_at_random_end_as_the_uninterrupted_one(
    make_frozen, tiny_dir, tmp_path
):
    """A killed run has no features at its start, so that kills find it making them, too."""
    config = make_frozen("labor_ppl")
    flags = [f"--config.{key}={config[key]}" for key in ("method", "adapt", "stages")]
    flags += [f"--config.model.{key}={config.model[key]}" for key in ("head", "freeze", "weights")]
    flags += [f"--config.optimizer.weight_decay={config.optimizer.weight_decay}"]
    workdirs = []

    def start():
        data_dir = workdirs[-1] / "data"
        if not data_dir.exists():
            data_dir.mkdir(parents=True)
            os.symlink(pathlib.Path(tiny_dir, "toytown"), data_dir / "toytown")
        return faults.start(workdirs[-1] / "run", str(data_dir), *flags)

    workdirs.append(tmp_path / "alone")
    started = time.monotonic()
    assert faults.end(start(), signal.SIGKILL, math.inf).status == 0
    whole, draw, kills, end = time.monotonic() - started, random.Random(0), 0, None
    while kills < KILLS or end.signal:
        if not end or not end.signal:
            workdirs.append(tmp_path / f"killed_{len(workdirs)}")
        end = faults.end(
            start(),
            faults.SIGNALS[kills % 2],
            draw.uniform(0, whole) if kills < KILLS else math.inf,
        )
        kills += end.signal != 0
        assert "Traceback" not in end.stderr
        print(f"{end.signal:2} {end.status:4} {end.seconds:5.2f} s  {end.shown}")
    initial = parallel.replicate(state.init_state(config, len(CAMVID)), "jit")
    expected = faults.left_by(workdirs[0] / "run", initial)
    for workdir in workdirs[1:]:
        assert faults.left_by(workdir / "run", initial) == expected
        assert not faults.half_written(workdir)


@pytest.mark.slow
def test_without_a_source_the_first_questions_are_random_and_later_ones_are_not(
    make_frozen, data_dir, tmp_path
):
    without = {"source.domain": "", "warmup_steps": 0, "budget.points_per_image": 4}
    asked = {}
    for method in ("margin", "random"):
        config = make_frozen(method, data_dir=data_dir, **without)
        config.points.radius = 0  # of margin's points; random has none
        schedule.run(config, tmp_path / method)
        asked[method] = [
            [query["points"] for query in q.each_query(tmp_path / method, stage)]
            for stage in (1, 2)
        ]
    assert asked["margin"][0] == asked["random"][0]
    assert asked["margin"][1] != asked["random"][1]


@pytest.mark.slow
def test_a_run_of_all_layers_starts_from_a_frozen_one_and_has_its_answers(make_frozen, tmp_path):
    without = {"source.domain": "", "warmup_steps": 0, "budget.points_per_image": 4}
    before = schedule.run(make_frozen("random", **without), tmp_path / "frozen")
    path = tmp_path / "frozen.safetensors"
    path.write_bytes(export.safetensors(restore.restore(tmp_path / "frozen")))
    tuned = {"stages": 1, "adapt_steps": 2, "model.freeze": False, "model.batch_norm": "frozen"}
    config = make_frozen("full", **without | tuned)
    config.annotator, config.replay = "replay", str(tmp_path / "frozen")
    config.model.weights, config.input.crop = str(path), ()
    after = schedule.run(config, tmp_path / "tuned")
    # Kept features are float16.
    assert abs(after["stages"][0]["mIoU"] - before["stages"][-1]["mIoU"]) < 0.05
    domain = loading.load(config.target, config.data_dir, CAMVID)
    for image in domain.ids:
        given, taken = (
            images.read_label_png(journal.labels_path(tmp_path / name, image))
            for name in ("frozen", "tuned")
        )
        np.testing.assert_array_equal(given, taken)
        assert (given != IGNORE).any()


@pytest.mark.parametrize(("balance", "ratio"), [(0.0, 1), (0.5, 3), (1.0, 9)])
def test_pixels_of_a_class_nine_times_as_rare_weigh_more_by_the_balance(balance, ratio):
    labels = np.array([2] * 9 + [5], np.int32)
    weights = frozen.balanced(labels, balance)
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(weights[9] / weights[0], ratio, rtol=1e-5)
    assert frozen.balanced(labels[:0], balance).shape == (0,)


# ------------------------------------------------------------------------------------- the cache


def grey_levels(images):
    grey = jnp.asarray(images, jnp.float16).mean(-1, keepdims=True)
    return [grey[:, ::4, ::4], grey[:, ::8, ::8] + 1]


@pytest.fixture
def small(make_frozen, tmp_path, monkeypatch):
    """A config with an empty data_dir, its target's images, and a backbone of two levels.

    `opened` gives the images with their features; `made` has the batches that it had to make.
    """
    monkeypatch.setattr(feature_cache, "BATCH", 3)
    config = make_frozen("random")
    domain = loading.load(config.target, config.data_dir, CAMVID)
    config.data_dir = str(tmp_path)
    made = []

    def make(images):
        if not isinstance(images, jax.core.Tracer):
            made.append(len(images))
        return grey_levels(images)

    def opened(bias=0.0, domain=domain, make=make):
        made.clear()
        values = {"bias": np.full(2, bias)}
        return feature_cache.with_features({"it": domain}, make, values, config)["it"]

    return config, domain, opened, made


def the_same(one, two):
    return all(
        np.array_equal(a, b)
        for index in range(len(one.ids))
        for a, b in zip(one.features.read(index), two.features.read(index), strict=True)
    )


def batches_of(domain):
    return -(-len(domain.ids) // feature_cache.BATCH)


def test_features_are_made_once_and_are_those_of_their_images(small):
    config, domain, opened, made = small
    first = opened()
    assert len(made) == batches_of(domain) > 2
    assert the_same(first, opened()) and made == []
    grey = domain.read_image(3).astype(np.float16).mean(-1, keepdims=True)
    np.testing.assert_allclose(first.features.read(3)[0], grey[::4, ::4], rtol=1e-2)
    assert tuple(first.features.sizes[3]) == domain.read_image(3).shape[:2]
    some = first.take([3, 1])
    np.testing.assert_array_equal(some.features.read(0)[1], first.features.read(3)[1])
    seen = []
    assert list(inferred(some, config.input.size, 8, lambda b: seen.append(b) or "ab"))
    [batch] = seen
    assert batch.indices == [0, 1] and isinstance(batch.images, tuple)
    assert batch.images[1].shape[0] == 2


@pytest.mark.parametrize("name", ["level_0.f16", "level_1.f16", "sizes.i32", "checksums.u32"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "longer", "zeros", "gone"])
def test_damaged_features_are_made_again(small, name, damage):
    config, domain, opened, made = small
    whole = opened()
    right = [whole.features.read(i) for i in range(len(domain.ids))]
    (folder,) = features_of(config).iterdir()
    data = bytearray((folder / name).read_bytes())
    if damage == "gone":
        (folder / name).unlink()
    else:
        flipped = bytes([data[0], data[1] ^ 255]) + data[2:]
        kinds = {"cut": data[:5], "longer": data + b"more", "zeros": bytes(len(data))}
        (folder / name).write_bytes({"flipped": flipped, **kinds}[damage])
    again = opened()
    assert made or damage == "longer"  # which damages nothing but the length
    for index, levels in enumerate(right):
        for one, two in zip(levels, again.features.read(index), strict=True):
            np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(again.features.sizes, whole.features.sizes)
    assert the_same(again, opened()) and made == []


def test_other_weights_or_another_size_have_features_of_their_own(small):
    config, _, opened, made = small
    opened()
    opened(bias=1.0)
    assert made
    config.input.size = (64, 64)
    opened()
    assert made and len(list(features_of(config).iterdir())) == 3


@pytest.mark.parametrize("kind", ["records", "file"])
def test_other_images_of_the_same_names_have_features_of_their_own(small, tmp_path, kind):
    _, domain, opened, made = small
    assert domain.records and all(path.is_file() for path in domain.records)
    file = tmp_path / "images"
    file.write_bytes(b"some images")
    own = {"records": (file,), "file": lambda _: file}[kind]
    before = dataclasses.replace(domain, **{"records": (), kind: own})
    opened(domain=before)
    opened(domain=before)
    assert made == []
    file.write_bytes(b"other images")
    dark = dataclasses.replace(before, read_image=lambda i: domain.read_image(i) // 2)
    assert opened(domain=dark).features.read(0)[0].max() < 128 and made


def test_features_that_are_too_many_are_refused_before_they_are_made(small, monkeypatch):
    config, _, opened, made = small
    config.frozen.cache_gb = 1e-9
    with pytest.raises(
        UserError, match=r"^config\.frozen\.cache_gb: .* GB, .* are free, but it is"
    ):
        opened()
    config.frozen.cache_gb = 100.0
    free = feature_cache.shutil.disk_usage(config.data_dir)._replace(free=10)
    monkeypatch.setattr(feature_cache.shutil, "disk_usage", lambda _: free)
    with pytest.raises(UserError, match=r"features: .* but 0\.00 GB are free; .*config\.data_dir"):
        opened()
    assert made == []
    monkeypatch.undo()
    opened()
    monkeypatch.setattr(feature_cache.shutil, "disk_usage", lambda _: free)
    opened()  # what is there needs no more room


def test_all_features_of_a_run_are_counted_before_the_first_is_made(small):
    config, domain, _, _ = small
    one = domain.take([0])

    def make(images):
        assert isinstance(images, jax.core.Tracer), "nothing may be made"
        return [jnp.zeros((len(images), 4, 4, 1), jnp.float16)]

    config.frozen.cache_gb = (2 * 4 * 4 + 8 + 4) * 1.5 / 1e9  # room for one image, not for two
    with pytest.raises(UserError, match="cache_gb"):
        domains = {"source": one, "val": domain.take([1])}
        feature_cache.with_features(domains, make, {"bias": np.ones(1)}, config)


def test_a_kill_among_the_images_loses_one_batch(small):
    _, domain, opened, made = small

    def dying(images):
        if not isinstance(images, jax.core.Tracer):
            if len(made) == 2:
                raise KeyboardInterrupt
            made.append(len(images))
        return grey_levels(images)

    with pytest.raises(KeyboardInterrupt):
        opened(make=dying)
    again = opened()
    assert len(made) == batches_of(domain) - 2
    assert the_same(again, opened(bias=1.0))


def test_a_full_disk_is_one_line_and_what_is_made_stays(small, monkeypatch):
    """Whichever file it is that finds no room, and however much of it was written."""
    _, domain, opened, made = small
    expected = opened(bias=-1.0)
    write = io.BufferedRandom.write
    for limit in range(1, 9, 3):
        written = []

        class Full(io.BufferedRandom):
            def write(self, data, written=written, limit=limit):
                written.append(len(data))
                if len(written) > limit:
                    write(self, data[: len(data) // 2])
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return write(self, data)

        def opening(path, mode="r", *args, kind=Full, **values):
            if mode == "r+b":
                return kind(io.FileIO(path, mode))
            return open(path, mode, *args, **values)

        monkeypatch.setattr(feature_cache, "open", opening, raising=False)
        with pytest.raises(UserError, match="No space left on device; the features made so far"):
            opened(bias=float(limit))
        monkeypatch.delattr(feature_cache, "open")
        assert the_same(expected, opened(bias=float(limit)))
        assert len(made) == batches_of(domain) - limit // 4  # files of a batch


def test_two_runs_at_once_make_each_feature_once_and_both_have_them(small):
    _, domain, opened, _ = small
    both, count = threading.Barrier(2), []

    def make(images):
        if not isinstance(images, jax.core.Tracer):
            count.append(len(images))
            time.sleep(0.02)
        return grey_levels(images)

    def one(_):
        both.wait()
        return opened(make=make)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first, second = pool.map(one, range(2))
    assert len(count) == batches_of(domain)
    assert the_same(first, second) and the_same(first, opened(bias=1.0))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.head", "deeplab_v2"),
        ("model.weights", ""),
        ("adapt", "adversarial"),
        ("optimizer.average", 0.99),
        ("evaluation.flip", True),
    ],
)
def test_a_frozen_run_says_what_it_needs(make_frozen, key, value):
    config = make_frozen("random")
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=rf"^config\.{key}: with model\.freeze it must be"):
        checking.check(config)
