"""The files below a folder: links are followed, loops are not, what tools add is passed over."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labor_jax.util.folders import below, passed_over
from labor_jax.util.tally import Tally


def found(root):
    """The names of the files below a folder, and the lines about what was left out."""
    tally = Tally("file")
    return list(below(root, tally)), list(tally.reasons())


def fill(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


JUNK = [
    ".ipynb_checkpoints/a.png",
    "@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg",
    ".thumbnails/a.png",
    "._a.png",
    "Thumbs.db",
    "THUMBS.DB",
    "__MACOSX/._a.png",
    "#recycle/a.png",
    "$RECYCLE.BIN/S-1/a.png",
    "lost+found/a.png",
    ".git/objects/a.png",
    ".DS_Store",
    "System Volume Information/a.png",
]


@given(st.sets(st.sampled_from(JUNK)), st.sampled_from(["", "night/", "a/b/"]))
def test_what_systems_and_tools_add_is_passed_over_at_any_depth(tmp_path_factory, junk, where):
    root = tmp_path_factory.mktemp("junk")
    fill(root, "good.png", "night/good.png", *(where + name for name in junk))
    names, lines = found(root)
    assert names == ["good.png", "night/good.png"]
    assert all("hidden or made by a tool" in line for line in lines) and bool(lines) == bool(junk)
    assert all(passed_over(where + name) for name in junk)


def test_links_to_files_and_folders_are_followed(tmp_path):
    root, other = tmp_path / "images", tmp_path / "other"
    fill(root, "a.png")
    fill(other, "night/b.png", "c.png")
    os.symlink(other / "night", root / "night")
    os.symlink(other / "c.png", root / "c.png")
    os.symlink(root, tmp_path / "link to all")
    assert found(root) == (["a.png", "c.png", "night/b.png"], [])
    assert found(tmp_path / "link to all") == found(root)


@pytest.mark.parametrize("target", [".", "..", "../..", "../sub", "../../images"])
def test_a_link_that_leads_back_is_not_followed_and_told(tmp_path, target):
    root = tmp_path / "images"
    fill(root, "a.png", "sub/b.png")
    fill(tmp_path / "labels", "a.png")
    os.symlink(target, root / "sub" / "loop")
    names, lines = found(root)
    assert names == ["a.png", "sub/b.png"]
    assert lines == ["left out: 1 link leading back to its own folder, such as sub/loop"]


def test_a_folder_that_two_links_show_is_read_once(tmp_path):
    root = tmp_path / "images"
    fill(root, "real/a.png")
    fill(tmp_path / "far", "b.png")
    os.symlink(root / "real", root / "again")
    os.symlink(tmp_path / "far", root / "one")
    os.symlink(tmp_path / "far", root / "two")
    os.symlink(root, tmp_path / "far" / "back")
    names, lines = found(root)
    assert names == ["one/b.png", "real/a.png"]
    assert "2 folders shown by another link, too, such as again; two" in " ".join(lines)


def test_links_to_nothing_and_pipes_are_told_and_nothing_waits_for_them(tmp_path):
    fill(tmp_path, "a.png")
    os.symlink("/nowhere/b.png", tmp_path / "b.png")
    os.symlink("c.png", tmp_path / "c.png")
    os.mkfifo(tmp_path / "pipe.png")
    names, lines = found(tmp_path)
    assert names == ["a.png"]
    assert lines == [
        "left out: 2 links leading nowhere, such as b.png; c.png",
        "left out: 1 file with no content of its own, such as pipe.png",
    ]


@given(
    st.lists(
        st.text(
            st.characters(exclude_characters="/\0", exclude_categories=["Cs"]),
            min_size=1,
            max_size=60,
        ),
        max_size=5,
    )
)
def test_any_name_that_a_file_can_have_is_found(tmp_path_factory, names):
    root = tmp_path_factory.mktemp("names")
    names = [name for name in names if len(name.encode()) <= 255 and name not in (".", "..")]
    fill(root, *names)
    assert found(root)[0] == sorted({name for name in names if not passed_over(name)})
