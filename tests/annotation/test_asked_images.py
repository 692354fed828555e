"""What became of the images since they were asked about; the rest goes on."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from labor_jax.annotation import asked_images
from labor_jax.annotation import queries as q
from labor_jax.data import folder
from labor_jax.data.labels import CAMVID
from labor_jax.util.errors import UserError

NAMES = ("a", "b", "d", "deep/c")


@pytest.fixture
def photos(tmp_path):
    for number, name in enumerate(NAMES):
        draw(tmp_path / "photos" / f"{name}.png", number)
    return tmp_path / "photos"


def draw(path, shade, size=(8, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), shade, np.uint8)).save(path)


def domain(photos):
    return folder.load(str(photos), "", CAMVID)


@pytest.fixture
def asked(photos, tmp_path):
    """A run that has asked about all."""
    q.write_queries(tmp_path, 1, [q.point_query(name, 1, (8, 10), [(1, 2)]) for name in NAMES])
    asked_images.remember(tmp_path, 1, domain(photos))
    return tmp_path


def add(photos):
    draw(photos / "new.png", 9)


def remove(photos):
    (photos / "b.png").unlink()


def resize(photos):
    draw(photos / "deep" / "c.png", 2, size=(4, 5))


def redraw(photos):
    """Another content of the same size, also in bytes."""
    before = (photos / "d.png").stat()
    data = bytearray((photos / "d.png").read_bytes())
    data[-1] ^= 1
    (photos / "d.png").write_bytes(data)
    os.utime(photos / "d.png", ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def rename(photos):
    (photos / "a.png").rename(photos / "z.png")


def reformat(photos):
    Image.open(photos / "a.png").save(photos / "a.bmp")
    (photos / "a.png").unlink()


@pytest.mark.parametrize(
    ("do", "came", "went", "changed"),
    [
        ([], (), (), ()),
        ([add], ("new",), (), ()),
        ([remove], (), ("b",), ()),
        ([resize], (), (), ("deep/c",)),
        ([redraw], (), (), ("d",)),
        ([rename], ("z",), ("a",), ()),
        ([reformat], (), (), ("a",)),
        ([add, remove, resize, redraw], ("new",), ("b",), ("d", "deep/c")),
    ],
)
def test_what_came_went_and_changed_is_told_and_the_rest_remains(
    asked, photos, do, came, went, changed
):
    for one in do:
        one(photos)
    now = domain(photos)
    found = asked_images.changes(asked, now)
    assert found == (came, went, changed)
    left = tuple(name for name in NAMES if name not in {*went, *changed})
    assert asked_images.remaining(now, found).ids == tuple(sorted(left))
    line = asked_images.describe(found, now)
    if not do:
        assert line is None
    else:
        assert "\n" not in line and "damaged" not in line and "delete" not in line
        assert all(name in line for name in (*came, *went, *changed))
        assert f"goes on with the {len(left)} " in line


def test_a_file_that_was_copied_or_touched_is_as_it_was(asked, photos):
    os.utime(photos / "a.png", (1, 1))
    shutil.copytree(photos, asked / "moved")
    for place in (photos, asked / "moved"):
        assert asked_images.changes(asked, domain(place)) == ((), (), ())


def test_an_image_that_comes_back_as_it_was_counts_again(asked, photos):
    kept = (photos / "b.png").read_bytes()
    remove(photos)
    assert asked_images.changes(asked, domain(photos)).went == ("b",)
    (photos / "b.png").write_bytes(kept)
    assert asked_images.changes(asked, domain(photos)) == ((), (), ())


def test_a_later_stage_asks_about_the_images_that_are_left(asked, photos):
    remove(photos)
    found = asked_images.changes(asked, domain(photos))
    left = asked_images.remaining(domain(photos), found)
    q.write_queries(asked, 2, [q.point_query(name, 2, (8, 10), []) for name in left.ids])
    asked_images.remember(asked, 2, left)
    asked_images.check_complete(asked, 1)
    asked_images.check_complete(asked, 2)


@pytest.mark.parametrize("stage", [1, 2])
def test_queries_that_lack_their_last_line_are_damaged(asked, photos, stage):
    q.write_queries(asked, 2, [q.point_query(name, 2, (8, 10), []) for name in NAMES])
    asked_images.remember(asked, 2, domain(photos))
    path = q.queries_path(asked, stage)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(UserError, match=rf"stage_{stage}\.jsonl: damaged"):
        asked_images.check_complete(asked, stage)


def test_a_folder_with_none_of_the_images_is_refused_with_what_to_give(asked, tmp_path):
    draw(tmp_path / "others" / "x.png", 0)
    with pytest.raises(UserError, match="none of the 4 images that this run asks") as refused:
        asked_images.changes(asked, domain(tmp_path / "others"))
    assert "give the folder that has them" in str(refused.value)


def test_a_run_of_an_earlier_version_goes_by_the_names_in_its_queries(asked, photos):
    asked_images.path(asked, 1).unlink()
    add(photos)
    remove(photos)
    resize(photos)  # of which nothing is known
    assert asked_images.changes(asked, domain(photos)) == (("new",), ("b",), ())


def test_a_run_that_has_not_asked_yet_takes_the_images_as_they_are(tmp_path, photos):
    assert asked_images.changes(tmp_path, domain(photos)) == ((), (), ())


def test_a_damaged_file_is_told(asked, photos):
    asked_images.path(asked, 1).write_text('{"image": "a"}\n{"imag')
    with pytest.raises(UserError, match=r"images_1\.jsonl: damaged; restore it from a copy, or"):
        asked_images.changes(asked, domain(photos))


def test_only_files_whose_time_is_another_are_read_again(asked, photos, monkeypatch):
    read = []
    monkeypatch.setattr(asked_images, "_checksum", lambda path, *_: read.append(path.name) or 0)
    asked_images.changes(asked, domain(photos))
    assert not read
    os.utime(photos / "a.png", (1, 1))
    asked_images.changes(asked, domain(photos))
    assert read == ["a.png"]


def test_a_data_set_without_files_has_only_names(tmp_path, tiny_dir):
    from labor_jax.data.builders import prepared

    images = prepared.load("toytown/tiny", "target_train", tiny_dir, "", CAMVID)
    asked_images.remember(tmp_path, 1, images)
    lines = [json.loads(x) for x in asked_images.path(tmp_path, 1).read_text().splitlines()]
    assert [line["image"] for line in lines] == list(images.ids)
    assert asked_images.changes(tmp_path, images) == ((), (), ())
    assert asked_images.changes(tmp_path, images.take([0, 1])).went == images.ids[2:]


def test_the_file_is_named_by_its_stage():
    assert asked_images.path("run", 3) == pathlib.Path("run/queries/images_3.jsonl")
