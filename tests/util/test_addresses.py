"""Paths that people give: `~` is home, and what is no path of this machine is refused."""

import pathlib

import pytest

from labor_jax.util import addresses
from labor_jax.util.errors import UserError


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("~", "/people/ana"),
        ("~/runs/x", "/people/ana/runs/x"),
        (pathlib.Path("~/x"), "/people/ana/x"),
        ("runs/x", "runs/x"),
        ("/data/a:b/c", "/data/a:b/c"),
        ("run_12:30", "run_12:30"),
        ("./gs:/x", "./gs:/x"),
        ("a~b", "a~b"),
        ("../~x/y", "../~x/y"),
    ],
)
def test_a_path_of_this_machine_is_itself_with_home_in_place_of_the_tilde(monkeypatch, given, path):
    monkeypatch.setenv("HOME", "/people/ana")
    assert addresses.local(given, "--workdir") == path


@pytest.mark.parametrize(
    "given",
    [
        *("gs://b/x", "s3://b/x", "http://h/x", "https://h/a.jpg", "hdfs://n/x", "abfss://c@h/x"),
        *("rtsp://cam/1", "ana@node:/data/x", "node7:/data", "C:/data", "C:\\data", "file:///x"),
        "\\\\server\\share",
        pathlib.Path("gs://b/x"),
    ],
)
def test_an_address_is_refused_with_what_can_be_done(given):
    with pytest.raises(UserError, match=r"^--out: .* is an address, and no path of this machine; "):
        addresses.local(given, "--out")


@pytest.mark.parametrize("given", ["", "a\0b"])
def test_nothing_is_no_path(given):
    with pytest.raises(UserError, match=r"^--out: .* is no path; give one"):
        addresses.local(given, "--out")


def test_an_unknown_users_home_makes_no_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"there is no user 'nobody_at_all'"):
        addresses.local("~nobody_at_all/x", "--workdir")
    pathlib.Path("~mine").mkdir()
    assert addresses.local("~mine", "--workdir") == "~mine", "a folder that is there can be named"
