import hashlib
import subprocess
import sys

import cv2
import numpy as np
import pytest

from labor_jax.data import toytown
from labor_jax.data.labels import CAMVID, IGNORE
from labor_jax.data.toytown import workers

SCENES = 16
SMALL = {"pole", "sign", "fence", "pedestrian", "bicyclist"}

# Percent of pixels, generous around CamVid's own shares.
BOUNDS = {
    "sky": (8, 28),
    "building": (14, 34),
    "pole": (0.8, 4.5),
    "road": (24, 40),
    "pavement": (2.5, 11),
    "tree": (5, 17),
    "sign": (0.5, 2.5),
    "fence": (0.7, 5),
    "car": (2.5, 11),
    "pedestrian": (0.3, 2),
    "bicyclist": (0.3, 2),
}


@pytest.fixture(scope="module")
def scenes() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images [SCENES, 120, 160, 3] and labels [SCENES, 120, 160] of both looks."""
    drawn = {}
    for look in ("source", "target"):
        images, labels = zip(
            *(toytown.render(look, 5, i, 120, 160) for i in range(SCENES)), strict=True
        )
        drawn[look] = np.stack(images), np.stack(labels)
    return drawn


def digest(look: str) -> str:
    image, label = toytown.render(look, 3, 4, 48, 64)
    return hashlib.sha256(image.tobytes() + label.tobytes()).hexdigest()


def test_a_scene_is_uint8_rgb_with_a_label_of_the_same_size():
    image, label = toytown.render("source", 0, 0, 48, 64)
    assert image.shape == (48, 64, 3) and image.dtype == np.uint8
    assert label.shape == (48, 64) and label.dtype == np.uint8


def test_a_scene_is_the_same_in_another_process():
    code = (
        "import hashlib; from labor_jax.data import toytown\n"
        "for look in ('source', 'target'):\n"
        "    image, label = toytown.render(look, 3, 4, 48, 64)\n"
        "    print(hashlib.sha256(image.tobytes() + label.tobytes()).hexdigest())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == [digest("source"), digest("target")]


def test_drawing_leaves_numpys_global_randomness_alone():
    np.random.seed(1)
    before = np.random.random()
    np.random.seed(1)
    toytown.render("target", 0, 0, 48, 64)
    assert np.random.random() == before


@pytest.mark.parametrize("other", [{"seed": 1}, {"index": 1}, {"look": "target"}])
def test_look_seed_and_index_each_make_another_scene(other):
    first = {"look": "source", "seed": 0, "index": 0, "height": 48, "width": 64}
    label = toytown.render(**first)[1]
    assert (label != toytown.render(**(first | other))[1]).mean() > 0.1


@pytest.mark.parametrize("look", ["source", "target"])
def test_every_size_shows_the_same_scene(look):
    for index in range(3):
        label = toytown.render(look, 9, index, 120, 160)[1]
        for height, width in ((180, 240), (360, 480), (48, 64)):
            other = toytown.render(look, 9, index, height, width)[1]
            other = cv2.resize(other, (160, 120), interpolation=cv2.INTER_NEAREST)
            assert (label == other).mean() > (0.9 if height > 48 else 0.83)


@pytest.mark.parametrize("look", ["source", "target"])
def test_only_the_eleven_classes_and_void_occur_and_each_does(scenes, look):
    found = set(np.unique(scenes[look][1]).tolist())
    assert found - {IGNORE} == set(range(11))


@pytest.mark.parametrize("look", ["source", "target"])
def test_class_shares_resemble_a_real_street(scenes, look):
    label = scenes[look][1]
    shares = {name: 100 * (label == k).mean() for k, name in enumerate(CAMVID.names)}
    off = {name: s for name, s in shares.items() if not BOUNDS[name][0] < s < BOUNDS[name][1]}
    assert not off


@pytest.mark.parametrize("look", ["source", "target"])
def test_small_classes_are_seen_in_most_scenes(scenes, look):
    label = scenes[look][1]
    for name in SMALL:
        seen = ((label == CAMVID.names.index(name)).sum((1, 2)) >= 12).mean()
        assert seen > 0.6, name


def test_void_is_only_the_bonnet_at_the_lower_edge_of_the_target(scenes):
    assert (scenes["source"][1] != IGNORE).all()
    label = scenes["target"][1]
    assert 0 < (label == IGNORE).mean() < 0.03
    assert (label[:, :100] != IGNORE).all()


def test_the_source_is_more_colourful_and_the_target_noisier(scenes):
    def saturation(images):
        return (np.ptp(images.astype(float), -1)).mean()

    def noise(images):  # on the sky, where nothing else has an edge
        sky = images[:, 4:24, 40:120].astype(float)
        return np.median(np.abs(sky[..., 1:, :] - sky[..., :-1, :]))

    source, target = scenes["source"][0], scenes["target"][0]
    assert saturation(source) > 1.5 * saturation(target)
    assert noise(target) > 2 * noise(source)


def test_a_class_has_another_colour_in_the_other_look(scenes):
    for name in ("sky", "building", "pavement", "tree"):
        k = CAMVID.names.index(name)
        means = [images[labels == k].mean(0) for images, labels in scenes.values()]
        assert np.abs(means[0] - means[1]).max() > 25, name


def test_the_looks_differ_in_layout(scenes):
    shares = [(label == CAMVID.names.index("sky")).mean() for _, label in scenes.values()]
    assert shares[0] > 1.2 * shares[1]


def flat(look, seed, index, height, width):
    """In place of drawing: as quick as can be, and unlike any scene."""
    return np.full((height, width, 3), index, np.uint8), np.full((height, width), 2, np.uint8)


def test_the_night_is_dark_in_the_sources_town_and_its_sensor_is_noisy(scenes):
    night = [toytown.render("night", 5, i, 120, 160) for i in range(SCENES)]
    images, labels = map(np.stack, zip(*night, strict=True))
    assert images.mean() < 0.4 * scenes["source"][0].mean()
    assert (images.max(axis=(1, 2, 3)) > 200).all(), "lamps are lit"
    assert set(np.unique(labels)) == set(range(len(CAMVID))), "no bonnet is in sight"
    shares = [
        np.bincount(x.ravel(), minlength=11)[:11] / x.size for x in (labels, scenes["source"][1])
    ]
    assert np.abs(shares[0] - shares[1]).max() < 0.06


def test_workers_draw_what_one_process_draws_in_order(monkeypatch):
    monkeypatch.setattr(workers, "WORTH_PROCESSES", 7)
    expected = [toytown.render("target", 2, index, 24, 32) for index in range(7)]
    monkeypatch.setattr(toytown, "render", None)  # here, nothing is to be drawn
    for scene, other in zip(workers.render_many("target", 2, 7, 24, 32), expected, strict=True):
        for pixels, others in zip(scene, other, strict=True):
            np.testing.assert_array_equal(pixels, others)


def test_what_a_dead_worker_leaves_is_drawn_here(monkeypatch):
    monkeypatch.setattr(workers, "WORTH_PROCESSES", 4)
    monkeypatch.setattr(toytown, "render", flat)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    scenes = list(workers.render_many("source", 0, 4, 6, 8))
    assert [int(image[0, 0, 0]) for image, _ in scenes] == [0, 1, 2, 3]


def test_without_processes_all_is_drawn_here(monkeypatch):
    monkeypatch.setattr(workers, "WORTH_PROCESSES", 4)
    monkeypatch.setattr(toytown, "render", flat)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert len(list(workers.render_many("source", 0, 4, 6, 8))) == 4


def test_workers_end_with_the_one_who_asked(monkeypatch):
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1]
    )
    scenes = workers.render_many("source", 0, 1000, 24, 32)
    next(scenes)
    scenes.close()
    assert started and all(worker.poll() is not None for worker in started)
