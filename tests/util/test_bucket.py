"""Folders in Google Cloud Storage, on a server of this machine that answers as Google's does."""

import errno
import json
import os
import pathlib
import re

import fsspec
import pytest
from support import buckets

from labor_jax.data.builders import prepared
from labor_jax.util import bucket
from labor_jax.util.errors import UserError

HERE = "gs://runs/town/a"


@pytest.fixture(scope="module", autouse=True)
def server():
    with buckets.seen():
        yield


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine without a copy of anything, and an empty bucket; changes to another machine."""
    system = fsspec.filesystem("gs", use_listings_cache=False)
    for path in system.find("runs"):
        system.rm_file(path)

    def change(name: str) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))

    change("first")
    return change


@pytest.fixture
def objects():
    """The objects of the bucket, as they are now."""
    system = fsspec.filesystem("gs", use_listings_cache=False)
    return lambda: {path: system.cat_file(path) for path in system.find("runs")}


def write(folder: pathlib.Path, **contents: str) -> None:
    for name, content in contents.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def read(folder: pathlib.Path) -> dict[str, str]:
    files = (path for path in pathlib.Path(folder).rglob("*") if path.is_file())
    found = {path.relative_to(folder).as_posix(): path.read_text() for path in files}
    return {name: text for name, text in found.items() if not name.startswith(".")}


def test_what_was_published_is_the_working_copy_of_the_next_machine(machine):
    with bucket.working_copy(HERE) as (folder, publish):
        write(folder, config="1", checkpoints__10__state="ten", journal="a\n")
        publish()
        write(folder, checkpoints__20__state="twenty", journal="a\nb\n")
        (folder / "checkpoints/10/state").unlink()
        publish()
        last = read(folder)
        write(folder, journal="a\nb\nc\n", more="not published")
    machine("second")
    with bucket.working_copy(HERE) as (folder, _):
        assert read(folder) == last
        assert not (folder / "checkpoints/10").exists()
    machine("first")
    with bucket.working_copy(HERE) as (folder, _):
        assert read(folder) == last


def test_files_are_published_byte_for_byte(machine):
    ends = [b"\r", b"\n", b"\r\n", b"\n\r", b"\n\n", b""]
    with bucket.working_copy(HERE) as (folder, publish):
        for number, end in enumerate(ends):
            (folder / f"end_{number}").write_bytes(b"\r\x00\n\n--\xff" + end)
        publish()
    machine("second")
    with bucket.working_copy(HERE) as (folder, _):
        found = [(folder / f"end_{number}").read_bytes() for number in range(len(ends))]
    assert found == [b"\r\x00\n\n--\xff" + end for end in ends]


def test_only_what_changed_is_written_and_what_nothing_names_is_deleted(objects):
    with bucket.working_copy(HERE) as (folder, publish):
        write(folder, large="x" * 1000, small="1")
        publish()
        before = objects()
        publish()
        assert objects() == before
        write(folder, small="2")
        publish()
    large, small, last = sorted(objects())
    assert re.fullmatch(r"runs/town/a/000001\.\w+/large", large)
    assert re.fullmatch(r"runs/town/a/000002\.\w+/small", small)
    assert last == "runs/town/a/manifest.json"


def test_a_death_while_publishing_leaves_the_version_before_and_its_objects_go(
    objects, machine, monkeypatch
):
    system = fsspec.filesystem("gs", use_listings_cache=False)
    put = system.put_file

    def dies_at_b(path, address):
        if path.endswith("b"):
            raise KeyboardInterrupt
        put(path, address)

    with pytest.raises(KeyboardInterrupt), bucket.working_copy(HERE) as (folder, publish):
        write(folder, a="1", b="1", c="1")
        publish()
        write(folder, a="2", b="2", c="2")
        monkeypatch.setattr(system, "put_file", dies_at_b)
        publish()
    monkeypatch.setattr(system, "put_file", put)
    assert len([path for path in objects() if path.endswith("/a")]) == 2
    machine("second")
    assert read(bucket.local_folder(HERE, "--workdir")) == {"a": "1", "b": "1", "c": "1"}
    for letter in "34":  # what was left is of the version that comes next
        with bucket.working_copy(HERE) as (folder, publish):
            write(folder, c=letter)
            publish()
    with bucket.working_copy(HERE) as (folder, _):
        assert read(folder) == {"a": "1", "b": "1", "c": "4"}
    named = {f"{entry['at']}/{name}" for name, entry in manifest()["files"].items()}
    assert {path.removeprefix("runs/town/a/") for path in objects()} == named | {"manifest.json"}


def manifest() -> dict:
    return json.loads(fsspec.filesystem("gs").cat_file(f"{HERE}/manifest.json"))


def test_a_process_that_was_replaced_publishes_nothing_more(machine, objects):
    with bucket.working_copy(HERE) as (old, publish_old):
        write(old, a="old")
        publish_old()
        machine("second")
        with bucket.working_copy(HERE) as (new, publish_new):
            assert read(new) == {"a": "old"}
            write(new, a="new")
            publish_new()
            before = objects()
            write(old, a="older")
            with pytest.raises(
                UserError, match="another process has gone on with gs://runs/town/a"
            ):
                publish_old()
            assert objects() == before


def test_a_process_that_only_began_does_not_stop_another_one_and_is_told_at_its_turn(machine):
    with bucket.working_copy(HERE) as (first, publish_first):
        write(first, a="1")
        publish_first()
        machine("second")
        with bucket.working_copy(HERE) as (second, publish_second):
            write(first, a="2")
            publish_first()
            write(second, a="3")
            with pytest.raises(UserError, match="another process has gone on"):
                publish_second()
        write(first, a="4")
        publish_first()
    assert read(bucket.local_folder(HERE, "--workdir")) == {"a": "4"}


def test_two_processes_of_one_machine_have_not_the_same_working_copy():
    with (
        bucket.working_copy(HERE),
        pytest.raises(UserError, match="is being written by"),
        bucket.working_copy(HERE),
    ):
        pass


def test_a_reader_beside_a_writer_sees_the_newest_version_and_changes_nothing(objects):
    with bucket.working_copy(HERE) as (folder, publish):
        write(folder, a="1")
        publish()
        write(folder, a="2")
        before = objects()
        assert read(bucket.local_folder(HERE, "--workdir")) == {"a": "1"}
        assert objects() == before and read(folder) == {"a": "2"}
        publish()
        assert read(bucket.local_folder(HERE + "/", "--workdir")) == {"a": "2"}


def test_objects_and_manifests_that_are_not_what_was_published_are_refused(objects):
    with bucket.working_copy(HERE) as (folder, publish):
        write(folder, a="1")
        publish()
    system, whole = fsspec.filesystem("gs"), json.dumps(manifest())
    system.pipe_file(next(path for path in objects() if path.endswith("/a")), b"2")
    with pytest.raises(UserError, match=r"/a is not what was published"):
        bucket.local_folder(HERE, "--workdir")
    for bad in ("", "[]", "{}", whole[:20], whole.replace('"files": {', '"files": [{') + "]"):
        system.pipe_file(f"{HERE}/manifest.json", bad.encode())
        with pytest.raises(UserError, match=r"manifest\.json is damaged"):
            bucket.local_folder(HERE, "--workdir")
    system.pipe_file(f"{HERE}/manifest.json", whole.replace('"a"', '"../../a"').encode())
    with pytest.raises(UserError, match="lies outside"):
        bucket.local_folder(HERE, "--workdir")


def test_a_full_disk_is_told_as_such_and_no_partial_file_stays(machine, monkeypatch):
    with bucket.working_copy(HERE) as (folder, publish):
        write(folder, a="1", b="2")
        publish()
    system = fsspec.filesystem("gs", use_listings_cache=False)
    get = system.get_file

    def fills_the_disk(path, into):
        if path.endswith("b"):
            pathlib.Path(into).write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        get(path, into)

    machine("second")
    with monkeypatch.context() as patch:
        patch.setattr(system, "get_file", fills_the_disk)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            bucket.local_folder(HERE, "--workdir")
    (half,) = bucket.working_folder(HERE).parents[1].rglob("*.partial")
    half.rename(half.with_name(".b.99999999.partial"))  # of a process that is gone
    there = pathlib.Path(bucket.local_folder(HERE, "--workdir"))
    assert {path.name for path in there.iterdir()} == {"a", "b"}


def test_a_folder_with_other_objects_and_a_bucket_that_is_not_there_are_refused():
    fsspec.filesystem("gs").pipe_file("runs/town/a/notes.txt", b"mine")
    there = {HERE: r"has notes\.txt, but no run", "gs://nobody/a": "gs://nobody/a cannot be used"}
    for address, told in there.items():
        with pytest.raises(UserError, match=told), bucket.working_copy(address):
            pass


def test_a_data_set_is_put_into_the_bucket_and_copied_by_the_next_machine(machine, capsys, objects):
    data = "gs://runs/data"
    prepared.prepare("toytown/tiny", data)
    assert "preparing" in capsys.readouterr().err
    there = objects()
    machine("second")
    made = prepared.prepare("toytown/tiny", data)
    told = capsys.readouterr().err
    assert "copying gs://runs/data/toytown/" in told and "preparing" not in told
    assert len(made.as_data_source("target_val")) == 8
    prepared.prepare("toytown/tiny", data)
    assert not capsys.readouterr().err and objects() == there
    pathlib.Path(made.data_dir, prepared.INFO).unlink()
    assert len(prepared.prepare("toytown/tiny", data).as_data_source("target_val")) == 8
    assert "copying gs://" in capsys.readouterr().err and objects() == there


def test_a_data_set_whose_upload_was_cut_is_put_there_whole(machine, objects):
    data = "gs://runs/data"
    prepared.prepare("toytown/tiny", data)
    whole, system = objects(), fsspec.filesystem("gs")
    last = next(path for path in whole if path.endswith(prepared.INFO))
    for path in {*list(whole)[::2], last}:
        system.rm_file(path)
    prepared.prepare("toytown/tiny", data)
    assert objects() == whole
