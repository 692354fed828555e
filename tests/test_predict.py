"""Predicting a folder with a run's segmenter."""

import numpy as np
import pytest
from PIL import Image

from labor_jax import images, restore
from labor_jax.data import folder
from labor_jax.data.labels import CITYSCAPES, CITYSCAPES_IDS
from labor_jax.errors import UserError
from labor_jax.predict import predict_folder


@pytest.fixture(scope="module")
def run(finished):
    return restore.restore(finished)


def photographs(path, sizes):
    random = np.random.default_rng(0)
    for number, (height, width) in enumerate(sizes):
        file = path / f"town {number % 2}" / f"{number}.v1.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8)).save(file)
    return path


def test_every_image_gets_a_label_map_and_an_overlay_of_its_own_size(run, tmp_path):
    photos = photographs(tmp_path / "photos", [(48, 64), (60, 50), (48, 64)])
    domain = folder.load(str(photos), "", run.table)
    predict_folder(run, domain, tmp_path / "out")
    for index, name in enumerate(domain.ids):
        photo = domain.read_image(index)
        label = images.read_label_png(tmp_path / "out" / f"{name}.png")
        wanted = run.predict(_resized(photo, run), photo.shape[:2])[0]
        np.testing.assert_array_equal(label, wanted)
        with Image.open(tmp_path / "out" / f"{name}_overlay.jpg") as overlay:
            assert overlay.size == photo.shape[1::-1]
    assert len(list((tmp_path / "out").rglob("*.*"))) == 2 * len(domain.ids)


def _resized(photo, run):
    from labor_jax.data.transforms import resize_image

    return resize_image(photo, run.config.input.size)[None]


def test_label_ids_are_written_for_cityscapes_classes_and_nothing_else(run, tmp_path):
    photos = photographs(tmp_path / "photos", [(48, 64), (60, 50)])
    domain = folder.load(str(photos), "", run.table)
    cityscapes = run._replace(table=CITYSCAPES)
    predict_folder(cityscapes, domain, tmp_path / "ids", label_ids=True)
    predict_folder(cityscapes, domain, tmp_path / "out")
    assert len(list((tmp_path / "ids").rglob("*.*"))) == len(domain.ids)
    for name in domain.ids:
        with Image.open(tmp_path / "ids" / f"{name}.png") as file:
            assert file.mode == "L"
            ids = np.asarray(file)
        train_ids = images.read_label_png(tmp_path / "out" / f"{name}.png")
        np.testing.assert_array_equal(ids, np.take(CITYSCAPES_IDS, train_ids))
    with pytest.raises(UserError, match="--label_ids: only Cityscapes"):
        predict_folder(run, domain, tmp_path / "refused", label_ids=True)


def test_a_truncated_photograph_is_named(run, tmp_path):
    photos = photographs(tmp_path / "photos", [(48, 64), (48, 64)])
    broken = photos / "town 1" / "1.v1.png"
    broken.write_bytes(broken.read_bytes()[:500])
    with pytest.raises(UserError, match=r"1\.v1\.png: unreadable image"):
        predict_folder(run, folder.load(str(photos), "", run.table), tmp_path / "out")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="no run in"):
        restore.restore(tmp_path)
