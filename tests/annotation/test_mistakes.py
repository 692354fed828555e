"""Files with any mistake end in answers or in one line, in bounded time and memory.

    pytest -m slow tests/annotation/test_mistakes.py --seconds=120

tries as many mistakes as there is time for, for each format.
"""

import json
import pathlib
import shutil

import numpy as np
import pytest
from hypothesis import strategies as st
from support import filed, mutated
from support.trying import one_line, try_for

from labor_jax.annotation import desk, exchange, journal, ledger
from labor_jax.annotation import queries as q
from labor_jax.data.labels import CAMVID
from labor_jax.util.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("error")]


@st.composite
def exports(draw: st.DrawFn, name: str) -> dict[str, bytes]:
    """The files of an export, by path; at least one of them has mistakes."""
    files = dict(filed.examples()[name])
    for path in draw(st.lists(st.sampled_from(sorted(files)), min_size=1, unique=True)):
        files[path] = draw(mutated.files(path, files[path]))
    return files


@pytest.mark.parametrize("name", exchange.FORMATS)
def test_any_mistake_in_an_export_is_answers_or_one_line(tmp_path, name, seconds):
    workdir, folder = filed.asked(tmp_path / "run"), tmp_path / "in"

    def check(files: dict[str, bytes]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        for file, data in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(data)
        answers_or_one_line(workdir, folder, name)

    tried = try_for(seconds, exports(name), check)
    print(f"{name}: {tried} tried in {seconds:.0f} s")
    assert tried > seconds


def test_any_mistake_in_an_archive_is_answers_or_one_line(tmp_path, seconds):
    workdir, path = filed.asked(tmp_path / "run"), tmp_path / "a.zip"
    whole = filed.archived(path, dict(filed.examples()["cvat"])).read_bytes()

    def check(data: bytes) -> None:
        path.write_bytes(data)
        answers_or_one_line(workdir, path, "cvat")

    tried = try_for(seconds, mutated.texts(whole), check)
    print(f"zip: {tried} tried in {seconds:.0f} s")
    assert tried > seconds


def answers_or_one_line(workdir: pathlib.Path, path: pathlib.Path, name: str) -> None:
    """Takes an export in and checks whatever comes of it."""
    shutil.rmtree(workdir / "annotations", ignore_errors=True)
    try:
        done = exchange.take_in(workdir, path, name, CAMVID, "ben")
    except UserError as error:
        one_line(error)
        assert not journal.path(workdir).exists()
        return
    assert all(line.isprintable() for line in exchange.describe(done))
    images = ("deep/a", "b")
    pixels = sum(sum(filed.labels(workdir, image).values()) for image in images)
    assert {entry["image"] for entry in done.taken} <= set(images)
    assert pixels <= len(images) * filed.SIZE[0] * filed.SIZE[1]
    assert bool(done.taken) >= bool(pixels)


def lines() -> tuple[list[bytes], list[q.Query]]:
    """A journal's lines of every kind, and the queries that they answer."""
    halves = np.ones(filed.SIZE, np.int32)
    segments = q.segment_query("deep/a", 1, filed.SIZE, halves)
    points = q.point_query("b", 1, filed.SIZE, [(0, 1), (3, 5)])
    runs = segments["segments"][0]
    one = journal.answer(points, 0, 3, "ana", point=[1, 0], id="1", seconds=1.5)
    entries = [
        one,
        one | {"undo": True, "id": "2"},
        journal.answer(points, 1, None, "ben", point=[5, 3], id="3", seconds=0.5),
        journal.answer(points, 0, 255, "ben", point=[1, 0], id="4", seconds=0.5),
        journal.answer(segments, 0, 7, "ana", runs=runs[:4]),
        journal.answer(segments, 0, 8, "ana", runs=runs[4:]),
        journal.answer(points, 0, 2, "eve", point=[1, 0], id="5", second=True),
    ]
    return [json.dumps(e | {"classes": CAMVID.digest()}).encode() for e in entries], [
        points,
        segments,
    ]


@st.composite
def journals(draw: st.DrawFn, whole: list[bytes]) -> bytes:
    """A journal of which some lines have mistakes, and perhaps the whole file."""
    found = list(whole)
    for number in draw(st.lists(st.integers(0, len(found) - 1), min_size=1, max_size=3)):
        found[number] = draw(st.one_of(mutated.jsons(whole[number]), mutated.texts(whole[number])))
    data = b"".join(line + b"\n" for line in found)
    return draw(mutated.texts(data)) if draw(st.integers(0, 3)) == 0 else data


def test_any_mistake_in_a_journal_is_answers_or_one_line(tmp_path, seconds):
    whole, queries = lines()
    q.write_queries(tmp_path, 1, queries)
    journal.path(tmp_path).parent.mkdir()

    def check(data: bytes) -> None:
        for use in (labels_of, export_of, tasks_of, ledger_of):
            journal.path(tmp_path).write_bytes(data)
            try:
                use(tmp_path, queries)
            except UserError as error:
                one_line(error)

    tried = try_for(seconds, journals(whole), check)
    print(f"journal: {tried} tried in {seconds:.0f} s")
    assert tried > seconds


def labels_of(workdir: pathlib.Path, queries: list[q.Query]) -> None:
    written = journal.on_disk(workdir, CAMVID)
    for query in queries:
        answers = journal.answers_to(query, written)
        journal.open_pieces(query, answers)
        label = journal.label_map(answers, filed.SIZE)
        assert ((label < len(CAMVID)) | (label == 255)).all()


def export_of(workdir: pathlib.Path, _: list[q.Query]) -> None:
    out = workdir / "out"
    shutil.rmtree(out, ignore_errors=True)
    blank = np.zeros((*filed.SIZE, 3), np.uint8)
    exchange.export(workdir, out, "cvat", CAMVID, lambda image: blank)


def tasks_of(workdir: pathlib.Path, _: list[q.Query]) -> None:
    tasks = desk.Desk(workdir, CAMVID, again=1)
    tasks.take("client", "ana")


def ledger_of(workdir: pathlib.Path, queries: list[q.Query]) -> None:
    lines = journal.lines(workdir, CAMVID)
    ledger.rows(queries, lines)
    list(ledger.describe(lines))
