"""What a command writes is new, or its own and unchanged; what it reads is never touched."""

import os
import pathlib
import zipfile

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from labor_jax.data import images
from labor_jax.util import outputs
from labor_jax.util.errors import UserError

PICTURE = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


def png(picture=PICTURE):
    return images.encode_png(picture)


def film(path):
    file = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for shade in range(5):
        file.write(np.full((48, 64, 3), 40 * shade, np.uint8))
    file.release()
    return path


# ------------------------------------------------------------------------------ what is read


@pytest.mark.parametrize(
    "out", ["read", "read/", "read/new", "read/new/deeper", "other/../read", "link", "link/x", "."]
)
def test_an_output_is_not_what_is_read_nor_in_it_nor_around_it(tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    for name in ("read", "other"):
        pathlib.Path(name).mkdir()
    pathlib.Path("link").symlink_to("read")
    for read in ("read", str(tmp_path / "read"), "link"):
        with pytest.raises(UserError, match=r"^--out: .* read"):
            outputs.check_apart(out, "--out", [read])
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["link", "other", "read"]


def test_what_links_in_a_folder_lead_to_is_read_too(tmp_path):
    for name in ("read/deep", "else/night/deep", "free"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "read" / "deep" / "night").symlink_to(tmp_path / "else" / "night")
    (tmp_path / "read" / "up").symlink_to(tmp_path)
    for out in ("else/night", "else/night/new", "else/night/deep/new"):
        with pytest.raises(UserError, match=r"^--out: .* read"):
            outputs.check_apart(tmp_path / out, "--out", [tmp_path / "read"])
    outputs.check_apart(tmp_path / "free", "--out", [tmp_path / "read"])
    outputs.check_apart(tmp_path / "else" / "day", "--out", [tmp_path / "read"])


@pytest.mark.parametrize("out", ["read2", "other", "other/read", "r"])
def test_an_output_beside_what_is_read_is_fine(tmp_path, out):
    (tmp_path / "read").mkdir()
    (tmp_path / "other").mkdir()
    outputs.check_apart(tmp_path / out, "--out", [tmp_path / "read", tmp_path / "not there"])


def test_an_output_that_holds_what_is_read_may_be_allowed(tmp_path):
    (tmp_path / "read").mkdir()
    outputs.check_apart(tmp_path, "--workdir", [tmp_path / "read"], around=True)


def test_a_hard_link_of_what_is_read_is_what_is_read(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"a")
    os.link(tmp_path / "a.npz", tmp_path / "b.npz")
    with pytest.raises(UserError, match="what is read itself"):
        outputs.check_file(tmp_path / "b.npz", "DST", [tmp_path / "a.npz"])


# ------------------------------------------------------------------------------------ folders


def test_a_folder_is_written_again_and_again_if_nobody_else_touches_it(tmp_path):
    for shade in (1, 2):
        folder = outputs.Folder(tmp_path / "out", "--out", ())
        folder.check(["a.png", "deep/b.jpg"])
        folder.write("a.png", png(PICTURE * shade))
        folder.write("deep/b.jpg", images.encode_jpeg(np.zeros((8, 8, 3), np.uint8)))
    with Image.open(tmp_path / "out" / "a.png") as written:
        np.testing.assert_array_equal(np.asarray(written), PICTURE * 2)
    found = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert found == {"a.png", "b.jpg"}, "nothing lies beside what was asked for"


def test_a_folder_with_files_of_others_is_refused_and_one_of_hidden_files_is_empty(tmp_path):
    (tmp_path / ".DS_Store").write_bytes(b"x")
    outputs.Folder(tmp_path, "--out", ())
    (tmp_path / "photo.png").write_bytes(png())
    with pytest.raises(UserError, match=r"^--out: .* labor_jax did not make; give a new folder"):
        outputs.Folder(tmp_path, "--out", ())
    with pytest.raises(UserError, match="is a file; give a folder"):
        outputs.Folder(tmp_path / "photo.png", "--out", ())


@pytest.mark.parametrize("how", ["edited", "put there", "a link", "a folder"])
def test_in_our_folder_a_file_of_others_is_refused_and_kept(tmp_path, how):
    outputs.Folder(tmp_path / "out", "--out", ()).write("mine.png", png())
    path = tmp_path / "out" / "a.png"
    if how == "edited":
        outputs.Folder(tmp_path / "out", "--out", ()).write("a.png", png())
        data = bytearray(path.read_bytes())
        data[50] ^= 1
        path.write_bytes(data)
    elif how == "put there":
        path.write_bytes(png())
    elif how == "a link":
        (tmp_path / "theirs.png").write_bytes(png())
        path.symlink_to(tmp_path / "theirs.png")
    else:
        path.mkdir()
    before = path.read_bytes() if path.is_file() else None
    folder = outputs.Folder(tmp_path / "out", "--out", ())
    for refused in (lambda: folder.check(["a.png"]), lambda: folder.write("a.png", png())):
        with pytest.raises(UserError, match=r"has a\.png, which labor_jax did not make or which"):
            refused()
    assert before == (path.read_bytes() if path.is_file() else None)


def test_a_link_inside_our_folder_leads_nowhere(tmp_path):
    folder = outputs.Folder(tmp_path / "out", "--out", ())
    folder.write("a.png", png())
    (tmp_path / "photos").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "photos")
    with pytest.raises(UserError, match=r"sub/new\.png"):
        folder.write("sub/new.png", png())
    assert not list((tmp_path / "photos").iterdir())


def test_names_that_differ_in_case_do_not_replace_each_other(tmp_path, monkeypatch):
    folder = outputs.Folder(tmp_path / "out", "--out", ())
    folder.write("a.png", png())
    folder.write("A.png", png())  # two files here
    os.remove(tmp_path / "out" / "A.png")
    os.link(tmp_path / "out" / "a.png", tmp_path / "out" / "A.png")  # one file, as elsewhere
    before = (tmp_path / "out" / "a.png").read_bytes()
    with pytest.raises(UserError, match=r"cannot have a\.png and A\.png at once"):
        folder.write("A.png", png(PICTURE + 1))
    assert (tmp_path / "out" / "a.png").read_bytes() == before


# ---------------------------------------------------------------------------------- the marks


@given(st.binary(max_size=200), st.integers(0, 2**16))
def test_a_changed_byte_before_the_mark_is_noticed(tmp_path_factory, pixels, at):
    path = tmp_path_factory.mktemp("marks") / "a.png"
    picture = np.frombuffer(pixels.ljust(3, b"\0")[: len(pixels) // 3 * 3 or 3], np.uint8)
    path.write_bytes(outputs.sealed(png(picture.reshape(1, -1, 3)), ".png"))
    outputs.check_file(path, "--out", ())
    data = bytearray(path.read_bytes())
    data[at % data.index(outputs.MARK.encode())] ^= 255
    path.write_bytes(data)
    with pytest.raises(UserError, match="did not make it, or it was changed since"):
        outputs.check_file(path, "--out", ())


def test_marked_files_are_read_as_they_were(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(outputs.sealed(png(), ".png"))
    np.testing.assert_array_equal(np.asarray(Image.open(path)), PICTURE)
    assert cv2.imread(str(path)) is not None
    Image.open(path).verify()  # with the chunks' checksums
    jpeg = images.encode_jpeg(np.zeros((8, 8, 3), np.uint8))
    path.write_bytes(outputs.sealed(jpeg, ".jpg"))
    assert Image.open(path).size == (8, 8) and cv2.imread(str(path)) is not None
    np.savez(tmp_path / "b.npz", x=np.arange(3))
    path.write_bytes(outputs.sealed((tmp_path / "b.npz").read_bytes(), ".npz"))
    assert np.load(path)["x"].tolist() == [0, 1, 2] and zipfile.ZipFile(path).testzip() is None


def test_a_marked_video_has_all_its_frames_and_is_known_again(tmp_path):
    folder = outputs.Folder(tmp_path, "--out", ())
    for _ in range(2):
        folder.move_in(film(tmp_path / ".partial.mp4"), "a.mp4")
    video = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert sum(video.read()[0] for _ in range(9)) == 5
    with open(tmp_path / "a.mp4", "r+b") as file:
        file.write(b"x")
    with pytest.raises(UserError, match=r"a\.mp4"):
        folder.check(["a.mp4"])


def test_a_single_file_without_a_mark_could_not_be_written_again(tmp_path):
    with pytest.raises(ValueError, match="without the mark"):
        outputs.write_file(tmp_path / "a.json", b"{}", "--out", ())
    text = f'{{"writer": "{outputs.MARK}"}}'.encode()
    for _ in range(2):
        outputs.write_file(tmp_path / "a.json", text, "--out", ())
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(UserError, match="did not make it"):
        outputs.write_file(tmp_path / "a.json", text, "--out", ())
    with pytest.raises(UserError, match="is a folder; give a file"):
        outputs.check_file(tmp_path, "--out", ())


# ------------------------------------------------------------------- all files of it, or none


def test_the_files_of_a_whole_folder_appear_together(tmp_path):
    out = tmp_path / "new" / "out"
    with outputs.whole_folder(out, "--out", ()) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "a").write_text("a")
        assert outputs.is_empty(out)
    assert [p.relative_to(out).as_posix() for p in out.rglob("*")] == ["deep", "deep/a"]
    with pytest.raises(UserError, match="is not empty"), outputs.whole_folder(out, "--out", ()):
        pass


def test_a_whole_folder_that_fails_leaves_nothing(tmp_path):
    (tmp_path / "there").mkdir()
    for out in (tmp_path / "new" / "out", tmp_path / "there"):
        with pytest.raises(RuntimeError), outputs.whole_folder(out, "--out", ()) as folder:
            (folder / "a").write_text("a")
            raise RuntimeError
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_what_a_killed_program_left_of_a_whole_folder_is_cleared_away(tmp_path):
    left = tmp_path / "out" / ".files.999999999.partial"
    left.mkdir(parents=True)
    (left / "a").write_text("half")
    with outputs.whole_folder(tmp_path / "out", "--out", ()) as folder:
        (folder / "b").write_text("b")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b"]
