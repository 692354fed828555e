import subprocess
import sys

import ml_collections
import numpy as np
import pytest
from PIL import Image

from labor_jax.data import loading
from labor_jax.data.labels import CAMVID, CITYSCAPES, add_table
from labor_jax.util.errors import UserError


def spec(**values) -> ml_collections.ConfigDict:
    return ml_collections.ConfigDict(
        {"domain": "folder", "split": "", "manual_dir": "", "images": "", "labels": ""} | values
    )


def test_a_folder_is_opened_with_its_labels(tmp_path):
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((2, 3), 4, np.uint8)).save(tmp_path / name / "a.png")
    where = spec(images=str(tmp_path / "images"), labels=str(tmp_path / "labels"))
    opened = loading.load(where, str(tmp_path), CAMVID)
    assert opened.ids == ("a",)
    assert opened.read_image(0).shape == (2, 3, 3)
    assert (opened.read_label(0) == 4).all()


@pytest.mark.parametrize("name", ["kitti", "toytown-160x120"])
def test_an_unknown_domain_is_told_what_there_is(name, tmp_path):
    with pytest.raises(UserError, match=r"unknown; choose .*camvid.*toytown/160x120.*folder"):
        loading.load(spec(domain=name), str(tmp_path), CAMVID)


def test_a_folder_is_opened_without_importing_tfds(tmp_path):
    Image.fromarray(np.zeros((2, 3), np.uint8)).save(tmp_path / "a.png")
    code = (
        "import sys, ml_collections; from labor_jax.data import labels, loading\n"
        f"spec = ml_collections.ConfigDict(dict(domain='folder', images={str(tmp_path)!r}))\n"
        "spec.labels = ''\n"
        "loading.load(spec, '', labels.CAMVID)\n"
        "assert not {'tensorflow_datasets', 'tensorflow', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_class_table_keeps_its_name():
    assert add_table("camvid", CAMVID) is CAMVID
    with pytest.raises(UserError, match="class table 'camvid' is there already"):
        add_table("camvid", CITYSCAPES)
    assert loading.tables()["camvid"] is CAMVID
