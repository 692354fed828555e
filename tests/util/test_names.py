"""A name in another program's file stands for one of our images, or for none, and why is told."""

import re
import urllib.parse

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from labor_jax.util.names import Found, Names

WORDS = st.text("ab0_-é .", min_size=1, max_size=6).filter(lambda s: s.strip(" .") == s)
PATHS = st.lists(WORDS, min_size=1, max_size=3).map("/".join)
IDS = st.lists(PATHS, min_size=1, max_size=6, unique=True)
SUFFIXES = st.sampled_from([".png", ".jpg", ".JPG", ".json", ""])


@given(IDS, SUFFIXES)
def test_every_id_is_found_by_its_own_path(ids, suffix):
    names = Names(ids)
    for key in ids:
        assert names.find(key + suffix) == Found(key, "same")


@given(IDS, st.sampled_from(["/data/", "C:\\data\\", "s3://bucket/x/", "../", "images/"]))
def test_an_id_is_found_behind_any_folders_unless_these_are_another_ids(ids, folders):
    names = Names(ids)
    for key in ids:
        text = urllib.parse.quote(key) if "://" in folders else key
        assert names.find(f"{folders}{text}.png").id == key


@given(IDS, PATHS)
def test_a_name_that_is_found_ends_as_the_id_does(ids, name):
    found = Names(ids).find(name)
    if found.id is not None and found.how != "renamed":
        ours, theirs = found.id.split("/"), name.split("/")
        common = min(len(ours), len(theirs))
        assert ours[-common:] == theirs[-common:]


@given(st.lists(WORDS, min_size=2, max_size=4, unique=True), WORDS)
def test_a_name_that_several_ids_end_in_stands_for_none_of_them(folders, last):
    ids = sorted(f"{folder}/{last}" for folder in folders)
    found = Names(ids).find(f"{last}.png")
    assert found.id is None and found.several == tuple(ids)


@given(PATHS, st.from_regex(r"[0-9a-f]{8}", fullmatch=True), st.booleans())
def test_an_upload_to_label_studio_is_found(key, prefix, from_root):
    last = key.rpartition("/")[2]
    sent = re.sub(r"[^-\w.]", "", last.replace(" ", "_"))
    assume(sent)
    address = f"/data/upload/3/{prefix}-{urllib.parse.quote(sent)}.png"
    found = Names([key, "other/c"]).find(address if from_root else address[len("/data/upload/") :])
    assert found == Found(key, "renamed")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("0001", "0001_train_id.png"),
        ("0001", "labels/0001_labelIds.png"),
        ("aachen/aachen_1_leftImg8bit", "aachen/aachen_1_gtFine_labelIds.png"),
        ("aachen_1_leftImg8bit", "aachen/aachen_1_gtFine_labelTrainIds.png"),
        ("0016E5_1", "0016E5_1_L.png"),
        ("deep/a", "deep/a.png.json"),
        ("deep/a", "a_png.rf.0123456789abcdef0123456789abcdef.jpg"),
        ("rue (1)", "/data/upload/3/1a2b3c4d-rue_1.png"),
    ],
)
def test_known_prefixes_and_endings_are_undone(key, name):
    assert Names([key, "deep/b"]).find(name) == Found(key, "renamed")


def test_a_folder_that_nothing_explains_makes_another_image():
    assert Names(["0001"]).find("night/0001.png").id is None
    assert Names(["0001"]).near("night/0001.png") == ["0001"]
    assert Names(["0001"], ["night"]).find("night/0001.png") == Found("0001", "path")
    assert Names(["0001", "night/0001"]).find("/x/night/0001.png").id == "night/0001"


def test_the_same_letters_in_another_encoding_are_the_same_name():
    composed, decomposed = "\u00e9t\u00e9", "e\u0301te\u0301"
    assert Names([composed]).find(f"{decomposed}.png").id == composed
    assert Names([decomposed]).find(f"{composed}.png").id == decomposed


def test_the_ids_that_are_spelled_most_alike_are_told():
    names = Names(["street_0001", "street_0002", "house"])
    assert names.find("steet_0001.png").id is None
    assert names.near("steet_0001.png") == ["street_0001", "street_0002"]


@given(IDS, st.text(max_size=30))
def test_any_text_is_answered(ids, name):
    found = Names(ids).find(name)
    assert found.id is None or found.id in ids
    assert set(Names(ids).near(name)) <= set(ids)
