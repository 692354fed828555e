"""Queries: what they ask and cost, and their files."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labor_jax.annotation import queries as q
from labor_jax.util.errors import UserError

SIZE = (5, 6)
SEGMENTS = hnp.arrays(np.int32, SIZE, elements=st.integers(0, 3))


@given(SEGMENTS)
def test_a_segment_query_asks_the_pixels_of_its_segments(segments):
    query = q.segment_query("a", 1, SIZE, segments)
    assert sorted(q.asked_pixels(query)) == np.flatnonzero(segments).tolist()


def test_a_point_query_asks_the_pixels_of_its_points():
    query = q.point_query("a", 2, SIZE, [(0, 5), (4, 1)])
    assert query["points"] == [[5, 0], [1, 4]]  # x, y
    assert q.asked_pixels(query).tolist() == [5, 4 * 6 + 1]


@pytest.mark.parametrize(
    "query",
    [q.point_query("a", 1, SIZE, []), q.segment_query("a", 1, SIZE, np.zeros(SIZE, np.int32))],
    ids=["points", "segments"],
)
def test_an_empty_query_asks_nothing(query):
    assert q.asked_pixels(query).size == 0


def test_a_query_costs_points_clicks_or_pixels():
    points = q.point_query("a", 1, (4, 5), [(0, 1), (2, 3)])
    assert [q.cost(points, unit) for unit in ("points", "pixels", "clicks")] == [2, 2, 2]
    whole = q.segment_query("a", 1, (2, 3), np.array([[1, 1, 0], [2, 1, 0]], np.int32), whole=True)
    assert whole["whole"] and [q.cost(whole, unit) for unit in ("pixels", "clicks")] == [4, 2]


# ---------------------------------------------------------------------------------------- files


def test_queries_survive_the_file(tmp_path):
    queries = [
        q.point_query("x/a", 1, SIZE, [(1, 2)]),
        q.segment_query("b", 1, SIZE, np.eye(5, 6, dtype=np.int32)),
    ]
    q.write_queries(tmp_path, 1, queries)
    assert q.read_queries(tmp_path, 1) == queries
    assert q.read_queries(tmp_path, 2) == []


def test_the_stages_that_have_queries_are_told_in_order(tmp_path):
    assert q.stages(tmp_path) == []
    for stage in (10, 2, 1):
        q.write_queries(tmp_path, stage, [])
    q.write_queries(tmp_path, 3, [], part=0)
    q.score_path(tmp_path, 4).write_text("null")
    assert q.stages(tmp_path) == [1, 2, 10]


@given(SEGMENTS)
def test_a_querys_pixels_are_those_of_its_pieces(segments):
    for query in (
        q.segment_query("a", 1, SIZE, segments),
        q.point_query("a", 1, SIZE, np.argwhere(segments)),
    ):
        parts = [q.piece_pixels(query, piece) for piece in range(len(q.pieces(query)))]
        assert [x for part in parts for x in part] == q.asked_pixels(query).tolist()


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_parts_of_several_processes_become_one_file_in_the_images_order(tmp_path, processes):
    queries = [q.point_query(f"{i}", 1, SIZE, [(i, 2)]) for i in range(4)]
    for part in range(processes):
        q.write_queries(tmp_path, 1, queries[part::processes], part)
    q.write_queries(tmp_path, 1, queries, 7)  # of a run of more processes that was killed
    assert q.read_queries(tmp_path, 1) == []
    q.join_parts(tmp_path, 1, processes)
    assert q.read_queries(tmp_path, 1) == queries
    assert [path.name for path in (tmp_path / "queries").iterdir()] == ["stage_1.jsonl"]


def test_an_error_while_queries_are_made_leaves_none(tmp_path):
    def made():
        yield q.point_query("a", 1, SIZE, [(1, 2)])
        raise UserError("an image cannot be read")

    with pytest.raises(UserError, match="an image"):
        q.write_queries(tmp_path, 1, made(), 0)
    assert list((tmp_path / "queries").iterdir()) == []


def test_a_damaged_query_file_is_named(tmp_path):
    q.write_queries(tmp_path, 1, [q.point_query("a", 1, SIZE, [(1, 2)])])
    path = q.queries_path(tmp_path, 1)
    path.write_text(path.read_text()[:-5])
    with pytest.raises(UserError, match=r"stage_1\.jsonl.*damaged"):
        q.read_queries(tmp_path, 1)


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_queries_that_were_cut_between_two_lines_are_noticed(tmp_path, kept):
    images = ["a", "b", "c"]
    q.write_queries(tmp_path, 1, [q.point_query(image, 1, SIZE, [(1, 2)]) for image in images])
    q.check_complete(tmp_path, 1, images)
    path = q.queries_path(tmp_path, 1)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:kept]))
    with pytest.raises(UserError, match=r"stage_1\.jsonl: damaged"):
        q.check_complete(tmp_path, 1, images)


def test_a_query_phase_is_over_when_both_its_files_are_there(tmp_path):
    assert q.missing(tmp_path, 1) == q.score_path(tmp_path, 1)
    q.score_path(tmp_path, 1).parent.mkdir()
    q.score_path(tmp_path, 1).write_text('{"share": 0.5}')
    assert q.missing(tmp_path, 1) == q.queries_path(tmp_path, 1)
    q.write_queries(tmp_path, 1, [])
    assert q.missing(tmp_path, 1) is None
    assert q.read_score(tmp_path, 1) == {"share": 0.5} and q.read_score(tmp_path, 2) is None
    q.score_path(tmp_path, 1).write_text('{"share"')
    with pytest.raises(UserError, match=r"stage_1\.score\.json: damaged"):
        q.read_score(tmp_path, 1)
