"""GTA5, SYNTHIA-RAND-CITYSCAPES and Cityscapes, in their own layouts, prepared and read back."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import zipfile

import ml_collections
import numpy as np
import pytest
from PIL import Image
from support import fabricate_streets as fabricate
from support.commands import call

from labor_jax.data import labels, loading
from labor_jax.data.builders import prepared
from labor_jax.data.datasets.synthia_rand_cityscapes import RAW as SYNTHIA_RAW
from labor_jax.util.errors import UserError

NAMES = ("gta5", "synthia_rand_cityscapes", "cityscapes")
RNG = np.random.default_rng(7)
MAPS = [fabricate.random_map(RNG, 20, 24) for _ in range(8)]


def make(name: str, root: pathlib.Path, archives: bool = False) -> fabricate.Known:
    """A set of eight images, two of Cityscapes' to validate on."""
    if name == "gta5":
        return fabricate.make_gta5(root, MAPS, archives)
    if name == "cityscapes":
        return fabricate.make_cityscapes(root, MAPS[:6], MAPS[6:], archives)
    return fabricate.make_synthia(root, MAPS, archives)


def load(name: str, root: pathlib.Path, split: str = "train", table=labels.CITYSCAPES):
    """A split prepared from `root`, beside it."""
    spec = ml_collections.ConfigDict({"domain": name, "split": split, "manual_dir": str(root)})
    return loading.load(spec, str(root.parent / "data"), table)


def told(name: str, root: pathlib.Path) -> str:
    """The line with which it is refused; nothing may be left of a half-made set."""
    with pytest.raises(UserError) as error:
        load(name, root)
    assert "\n" not in str(error.value)
    assert not list((root.parent / "data").rglob("*array_record*"))
    return str(error.value)


def check(name: str, root: pathlib.Path, known: fabricate.Known) -> None:
    """Every label and image of a set is what was written."""
    for split, maps in known.items():
        opened = load(name, root, split)
        assert opened.ids == tuple(maps)
        for index, map_ in enumerate(maps.values()):
            np.testing.assert_array_equal(opened.read_label(index), map_)
            assert set(np.unique(opened.read_label(index))) == {*range(19), 255}
            np.testing.assert_array_equal(opened.read_image(index), fabricate.photo(map_))


def rewrite(archive: pathlib.Path, to_drop: str = "", **to_add: bytes) -> None:
    """A zip archive without one of its files, or with more."""
    with zipfile.ZipFile(archive) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    files = {name: data for name, data in files.items() if name != to_drop} | to_add
    fabricate.write(archive.parent, {archive.name: files}, archives=True)


# ------------------------------------------------------------------------------- what comes out


@pytest.mark.parametrize("archives", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_labels_come_out_pixel_by_pixel_from_archives_and_folders(name, archives, tmp_path):
    check(name, tmp_path / "in", make(name, tmp_path / "in", archives))


def test_raw_values_mean_what_the_sites_say():
    cityscapes = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10}
    cityscapes |= {24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
    synthia = {3: 0, 4: 1, 2: 2, 21: 3, 5: 4, 7: 5, 15: 6, 9: 7, 6: 8, 16: 9, 1: 10, 10: 11}
    synthia |= {17: 12, 8: 13, 18: 14, 19: 15, 20: 16, 12: 17, 11: 18}
    for table, known, count in (
        (labels.CITYSCAPES_RAW, cityscapes, 35),
        (SYNTHIA_RAW, synthia, 23),
    ):
        raw = np.array([[*range(count), 255]], np.uint8)
        encoded = labels.encode(raw, table, "")
        assert encoded.tolist() == [[known.get(value, 255) for value in raw[0].tolist()]]
        with pytest.raises(UserError, match=f"label value {count} "):
            labels.encode(np.array([[count]], np.uint8), table, "")


def test_the_program_makes_mini_sets_and_prints_their_shares(tmp_path):
    known = fabricate.mini_sets(tmp_path / "sites")
    for name, splits in known.items():
        folders = [f"--manual_dir={tmp_path / 'sites' / name}", f"--data_dir={tmp_path}"]
        told = call("prepare-data", f"--dataset={name}", *folders)
        assert told.status == 0, told.stderr
        rows = {line[:14].strip(): line[14:].split() for line in told.stdout.splitlines()}
        assert rows["images"] == [str(len(maps)) for maps in splits.values()]
        assert len(rows) == 22 and all("0.00" not in rows[c] for c in labels.CITYSCAPES.names)
        assert rows["train"] != rows["bus"]


def test_labels_of_another_size_are_resized_counted_and_named(tmp_path, capsys):
    known = make("gta5", tmp_path / "in")
    assert (load("gta5", tmp_path / "in").read_label(1) == known["train"]["00002"]).all()
    err = capsys.readouterr().err
    assert "gta5 train: resized: 1 label to its image's size, such as 00002\n" in err


def test_another_class_table_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(UserError, match="has cityscapes's 19 classes; set config"):
        load("gta5", tmp_path / "in", table=labels.CAMVID)


# -------------------------------------------------------------------------------- what goes in


def test_archives_and_what_they_unpack_into_may_be_mixed(tmp_path):
    known = make("gta5", tmp_path / "in", archives=True)
    make("gta5", tmp_path / "other")
    for archive in (tmp_path / "in").glob("*_labels.zip"):
        archive.unlink()
    shutil.move(tmp_path / "other" / "labels", tmp_path / "in" / "labels")
    check("gta5", tmp_path / "in", known)


def test_folders_may_lie_a_level_deeper_with_other_files_beside_them(tmp_path):
    known = make("gta5", tmp_path / "in" / "GTA5")
    (tmp_path / "in" / "GTA5" / "images" / "._00001.png").write_bytes(b"what macOS adds")
    fabricate.write(tmp_path / "in", {"read_mapping.zip": {"split.mat": b""}}, archives=True)
    check("gta5", tmp_path / "in", known)


@pytest.mark.parametrize("archives", [True, False])
def test_files_without_partner_are_named_counted_and_left_out(archives, tmp_path, capsys):
    known = make("cityscapes", tmp_path / "in", archives)["train"]
    lone = "gtFine/train/aachen/aachen_000002_000019_gtFine_labelIds.png"
    if archives:
        rewrite(tmp_path / "in" / "gtFine_trainvaltest.zip", to_drop=lone)
    else:
        (tmp_path / "in" / lone).unlink()
    ids = load("cityscapes", tmp_path / "in").ids
    assert ids == tuple(name for name in known if name != "aachen/aachen_000002_000019")
    err = capsys.readouterr().err
    assert "cityscapes train: left out: 1 file without partner, such as " in err
    assert "leftImg8bit/train/aachen/aachen_000002_000019_leftImg8bit.png\n" in err
    assert "cityscapes train: 5 pairs; the whole set has 2975" in err


def test_mostly_unpaired_files_are_refused(tmp_path):
    make("synthia_rand_cityscapes", tmp_path / "in")
    for index in range(5):
        (tmp_path / f"in/RAND_CITYSCAPES/RGB/{index:07d}.png").unlink()
    message = told("synthia_rand_cityscapes", tmp_path / "in")
    assert "has 3 pairs and files without partner: 5 (" in message and "0000000.png" in message


# --------------------------------------------------------------------------------- what is missing


@pytest.mark.parametrize("name", NAMES)
def test_it_is_told_what_to_download_from_where_into_which_folder(name, tmp_path):
    words = {
        "gta5": ("https://download.visinf.tu-darmstadt.de/data/from_games/", "10_labels.zip"),
        "synthia_rand_cityscapes": (
            "http://synthia-dataset.net/downloads/",
            "SYNTHIA_RAND_CITYSCAPES.rar",
        ),
        "cityscapes": (
            "https://www.cityscapes-dataset.com/downloads/",
            "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip",
        ),
    }[name]
    (tmp_path / "empty").mkdir()
    for root in (tmp_path / "nowhere", tmp_path / "empty"):
        message = told(name, root)
        assert str(root) in message and all(word in message for word in words)
    ended = call("prepare-data", f"--dataset={name}", f"--data_dir={tmp_path}")
    assert ended.status == 2 and ended.stderr.count("\n") == 1
    assert "manual_dir" in ended.stderr and all(word in ended.stderr for word in words)


def test_archives_that_are_missing_beside_others_are_named(tmp_path):
    make("gta5", tmp_path / "in", archives=True)
    for number in (3, 7):
        (tmp_path / f"in/{number:02d}_labels.zip").unlink()
    assert f"GTA5: 03_labels.zip, 07_labels.zip missing in {tmp_path}/in; put" in told(
        "gta5", tmp_path / "in"
    )


def test_labels_that_are_missing_are_told_though_images_are_there(tmp_path):
    make("cityscapes", tmp_path / "in")
    shutil.rmtree(tmp_path / "in" / "gtFine")
    assert f"{tmp_path}/in has none of its labels; put" in told("cityscapes", tmp_path / "in")


def test_a_rar_is_told_how_to_be_unpacked(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "SYNTHIA_RAND_CITYSCAPES.rar").write_bytes(b"Rar!")
    message = told("synthia_rand_cityscapes", tmp_path / "in")
    assert f"in {tmp_path}/in, do `unrar x SYNTHIA_RAND_CITYSCAPES.rar`" in message


# --------------------------------------------------------------------------------- what is broken


def test_an_archive_that_was_cut_off_is_named(tmp_path):
    known = make("cityscapes", tmp_path / "in", archives=True)
    archive = tmp_path / "in" / "leftImg8bit_trainvaltest.zip"
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    assert f"{archive}: no whole zip archive" in told("cityscapes", tmp_path / "in")
    archive.write_bytes(whole)
    check("cityscapes", tmp_path / "in", known)


def test_a_damaged_file_in_an_archive_is_named_with_it(tmp_path):
    known = make("gta5", tmp_path / "in", archives=True)
    archive = tmp_path / "in" / "01_images.zip"
    whole = archive.read_bytes()
    archive.write_bytes(whole[:200] + bytes(50) + whole[250:])
    message = told("gta5", tmp_path / "in")
    assert message.startswith(f"{archive}: images/00001.png is damaged")
    archive.write_bytes(whole)
    check("gta5", tmp_path / "in", known)


@pytest.mark.parametrize("kind", ["RGB", "GT/LABELS"])
@pytest.mark.parametrize("name", ["0000000.png", "0000007.png"])
def test_a_file_that_is_not_whole_in_a_folder_is_named(kind, name, tmp_path):
    make("synthia_rand_cityscapes", tmp_path / "in")
    path = tmp_path / "in" / "RAND_CITYSCAPES" / kind / name
    path.write_bytes(path.read_bytes()[:-100])
    assert told("synthia_rand_cityscapes", tmp_path / "in").startswith(f"{path}: unreadable")


@pytest.mark.parametrize("name", NAMES)
def test_a_value_that_cannot_be_is_named_with_its_file(name, tmp_path):
    make(name, tmp_path / "in")
    if name == "gta5":
        path, data = "labels/00003.png", fabricate.palette_png(np.full((20, 24), 200, np.uint8))
    elif name == "cityscapes":
        path = "gtFine/val/lindau/lindau_000000_000019_gtFine_labelIds.png"
        data = fabricate.encode(np.full((20, 24), 200, np.uint8))
    else:
        path = "RAND_CITYSCAPES/GT/LABELS/0000003.png"
        data = fabricate.encode(np.full((20, 24, 3), 200, np.uint16))
    (tmp_path / "in" / path).write_bytes(data)
    assert f"{path}: label value 200 is not in the class table" in told(name, tmp_path / "in")


def test_labels_that_some_program_has_rewritten_are_refused(tmp_path):
    make("synthia_rand_cityscapes", tmp_path / "synthia")
    path = tmp_path / "synthia/RAND_CITYSCAPES/GT/LABELS/0000002.png"
    Image.open(path).convert("RGB").save(path)  # eight bits: all classes are 0 now
    assert f"{path}: this is not a 16-bit PNG of three channels" in told(
        "synthia_rand_cityscapes", tmp_path / "synthia"
    )
    make("gta5", tmp_path / "gta5")
    path = tmp_path / "gta5/labels/00002.png"
    Image.open(path).convert("RGB").save(path)
    assert f"{path}: a label must have a single channel" in told("gta5", tmp_path / "gta5")


def test_a_killed_preparation_is_repeated_and_complete(tmp_path):
    known = make("gta5", tmp_path / "in", archives=True)
    code = """
import os, signal, sys
from labor_jax.data import dataset
from labor_jax.data.builders import prepared
made = dataset.sample
def dying(name, image, label):
    if name == "00006":
        os.kill(os.getpid(), signal.SIGKILL)
    return made(name, image, label)
dataset.sample = dying
prepared.prepare("gta5", sys.argv[1], sys.argv[2])
"""
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data"), str(tmp_path / "in")],
        capture_output=True,
        env=os.environ,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    assert list((tmp_path / "data").rglob("*incomplete*"))
    check("gta5", tmp_path / "in", known)
    assert not list((tmp_path / "data").rglob("*incomplete*"))
    shutil.rmtree(tmp_path / "in")  # what is prepared needs it no more
    assert prepared.prepare("gta5", str(tmp_path / "data")).info.splits["train"].num_examples == 8
