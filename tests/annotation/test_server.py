"""The annotator's server: what it gives, and the attacks that it refuses."""

import io
import pathlib
import socket
import stat
import subprocess

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from support import commands
from support.waiting import PATIENCE

from labor_jax.annotation import journal, server
from labor_jax.annotation import queries as q
from labor_jax.annotation.desk import Desk, Review
from labor_jax.annotation.newest import Newest
from labor_jax.config import default_config
from labor_jax.data.labels import CAMVID
from labor_jax.util import files
from labor_jax.util.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
SIZE = (6, 8)
TOKEN = "a-token-that-nobody-guesses"
OWN = "http://127.0.0.1:8765"
IMAGE = np.random.default_rng(0).integers(0, 255, (*SIZE, 3)).astype(np.uint8)


@pytest.fixture
def workdir(tmp_path):
    q.write_queries(tmp_path, 1, [q.point_query("deep/a", 1, SIZE, [(0, 1), (2, 3)])])
    (tmp_path / "config.json").write_text("{}")
    return tmp_path


def guarded(workdir, host="127.0.0.1", in_frame=False, read=lambda _: IMAGE, newest=None):
    setup = {"run": "r", "annotator": "ana", "workdir": str(workdir)}
    review = Review(lambda image: SIZE if image == "deep/a" else None, read)
    app = server.make_app(Desk(workdir, CAMVID, review=review), CAMVID, read, setup, newest)
    return server.Guard(app, TOKEN, host, 8765, in_frame)


@pytest.fixture
def stranger(workdir):
    """A client that does not know the token."""
    return TestClient(guarded(workdir), base_url=OWN, raise_server_exceptions=False)


@pytest.fixture
def client(stranger):
    assert stranger.get(f"/?token={TOKEN}").status_code == 200
    return stranger


def post(client, path, origin=OWN, **said):
    body = {"client": "page", "annotator": "ana"} | said
    return client.post(path, json=body, headers={"Origin": origin} if origin else {})


ANSWER = {"id": "number-1", "task": "1/deep/a", "piece": 0, "class": 3, "seconds": 1}


# ----------------------------------------------------------------------------------------- gives


def test_the_token_opens_the_page_and_leaves_the_address(stranger):
    answer = stranger.get(f"/?token={TOKEN}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and TOKEN not in cookie
    assert "<title>" in stranger.get("/").text


@pytest.mark.parametrize("in_frame", [False, True])
def test_no_page_may_frame_it_but_a_notebook_of_this_machine_where_that_is_asked(workdir, in_frame):
    client = TestClient(guarded(workdir, in_frame=in_frame), base_url=OWN)
    policy = client.get(f"/?token={TOKEN}").headers["content-security-policy"]
    framing = policy.partition("frame-ancestors ")[2]
    assert framing == ("http://localhost:* http://127.0.0.1:*" if in_frame else "'none'")


def test_pages_name_no_other_place_and_may_load_from_none(client):
    names = sorted(path.name for path in pathlib.Path(server.__file__).with_name("web").iterdir())
    assert {"page.js", "live.js", "gallery.js"} <= set(names)
    for path in ("/", *(f"/{name}" for name in names)):
        answer = client.get(path)
        assert answer.status_code == 200
        text = answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text and "https://" not in text and "//cdn" not in text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_task_its_image_and_an_answer(client, workdir):
    assert client.get("/api/setup").json()["classes"][3]["name"] == "road"
    assert post(client, "/api/take").json()["task"] == "1/deep/a"
    task = client.get("/api/task", params={"id": "1/deep/a"}).json()
    assert task["points"] == [[1, 0], [3, 2]]
    image = client.get("/api/image", params={"id": "1/deep/a"})
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(image.content))), IMAGE)
    told = post(client, "/api/answers", answers=[ANSWER]).json()
    assert told == {"saved": ["number-1"], "refused": {}}
    (line,) = journal.read(workdir, CAMVID)
    assert (line["point"], line["class"], line["annotator"]) == ([1, 0], 3, "ana")


def test_saved_is_said_only_after_the_line_is_flushed_to_disk(client, workdir, monkeypatch):
    flushed = []
    sync = journal.os.fsync

    def watch(number):
        sync(number)
        flushed.append(journal.path(workdir).read_bytes())

    monkeypatch.setattr(journal.os, "fsync", watch)
    assert post(client, "/api/answers", answers=[ANSWER]).json()["saved"] == ["number-1"]
    assert flushed and b"number-1" in flushed[-1]


def test_a_full_disk_is_told_and_the_answer_can_be_sent_again(client, workdir, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "fsync", full)
        answer = post(client, "/api/answers", answers=[ANSWER])
        assert answer.status_code == 507 and "No space left" in answer.text
    assert post(client, "/api/answers", answers=[ANSWER]).json()["saved"] == ["number-1"]
    assert len(journal.read(workdir, CAMVID)) == 1


def test_a_model_that_learns_is_told_and_predicts_and_other_runs_have_none(client, workdir):
    assert client.get("/api/setup").json()["live"] is False
    for path in ("/api/model", "/api/prediction?id=1/deep/a"):
        assert client.get(path).status_code == 404
    predicted = np.arange(SIZE[0] * SIZE[1], dtype=np.uint8).reshape(SIZE) % 11
    found = []
    told = {"version": 7, "curve": [[1, 2.0, 1.0, 3.0]]}
    doubts = {"deep/a": 0.25, "b": None}, True
    newest = Newest(
        lambda: dict(told), lambda image: found[-1] if found else None, lambda anew: doubts
    )
    live = TestClient(guarded(workdir, newest=newest), base_url=OWN)
    assert live.get("/api/model").status_code == 403
    live.get(f"/?token={TOKEN}")
    assert live.get("/api/setup").json()["live"] is True
    assert live.get("/api/model").json() == told | {"clicks": 0, "seconds": 0}
    assert "curve" not in live.get("/api/model?since=7").json(), "the page has it"
    where = {"params": {"id": "1/deep/a"}}
    assert live.get("/api/prediction", **where).status_code == 204
    found.append((7, predicted))
    answer = live.get("/api/prediction", **where)
    assert answer.headers["x-model"] == "7" and "default-src" in str(answer.headers)
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(answer.content))), predicted)
    assert live.get("/api/review").json() == {
        "images": [
            {"name": "deep/a", "doubt": 0.25, "fixed": 0},
            {"name": "b", "doubt": None, "fixed": 0},
        ],
        "more": True,
    }
    assert client.get("/api/review").status_code == 404


def test_a_small_image_is_enough_for_a_grid_and_keeps_its_proportions(workdir):
    large = np.zeros((800, 1600, 3), np.uint8)
    predicted = np.full((800, 1600), 3, np.uint8)
    newest = Newest(lambda: {"version": 1}, lambda _: (1, predicted), lambda _: ({}, False))
    live = TestClient(guarded(workdir, read=lambda _: large, newest=newest), base_url=OWN)
    live.get(f"/?token={TOKEN}")
    for path, kind in (("image", "JPEG"), ("prediction", "PNG")):
        picture = Image.open(io.BytesIO(live.get(f"/api/{path}?small&id=1/deep/a").content))
        assert (picture.format, picture.size) == (kind, (320, 160))
    assert (np.array(picture) == 3).all()


# --------------------------------------------------------------------------------------- refuses

PATHS = (
    *("/", "/page.js", "/live.js", "/api/setup", "/api/task?id=1/deep/a"),
    *("/api/image?id=1/deep/a", "/api/model", "/api/prediction?id=1/deep/a"),
    *("/review.js", "/polygon.js", "/api/review", "/api/image?small&id=review/deep/a"),
)


@pytest.mark.parametrize("path", PATHS)
def test_without_a_token_nothing_is_given(stranger, path):
    assert stranger.get(path).status_code == 403
    stranger.cookies.set("labor_jax_8765", "0" * 64)
    assert stranger.get(path).status_code == 403


def test_without_a_token_nothing_is_taken(stranger, workdir):
    for path in ("/api/take", "/api/answers", "/api/release"):
        assert post(stranger, path, answers=[ANSWER]).status_code == 403
    assert not journal.path(workdir).exists()


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8765",
        "127.0.0.1",
        "127.0.0.1:80",
        "evil.example",
        "",
        "127.0.0.1.evil.example:8765",
    ],
)
def test_a_host_that_is_not_ours_is_refused(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 403
    answer = client.post("/api/take", json={}, headers={"Host": host, "Origin": f"http://{host}"})
    assert answer.status_code == 403


def test_an_exposed_server_answers_to_addresses_but_not_to_others_names(workdir):
    app = guarded(workdir, host="0.0.0.0")
    for host, status in (
        ("192.168.1.7:8765", 200),
        ("localhost:8765", 200),
        (f"{socket.gethostname()}:8765", 200),
        ("evil.example:8765", 403),
        ("192.168.1.7:80", 403),
    ):
        answer = TestClient(app, base_url=f"http://{host}").get(f"/?token={TOKEN}")
        assert answer.status_code == status, host


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://127.0.0.1:9999", "https://127.0.0.1:8765", "null", None],
)
def test_a_post_of_another_page_is_refused(client, workdir, origin):
    assert post(client, "/api/answers", origin=origin, answers=[ANSWER]).status_code == 403
    assert not journal.path(workdir).exists()


@pytest.mark.parametrize(
    "path",
    [
        "/../config.json",
        "/..%2fconfig.json",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/config.json",
        "/annotations/.token",
        "/annotations/journal.jsonl",
        "/web/page.js",
        "/api/image?id=../../../etc/passwd",
        "/api/image?id=/etc/passwd",
        "/api/image?id=deep/a",
        "/api/task?id=../config",
        "/api/label?id=1/deep/a",
        "/api/prediction?id=../../../etc/passwd",
        "/api/prediction?id=deep/a",
    ],
)
def test_no_file_can_be_reached_by_a_path(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert "root:" not in answer.text and TOKEN not in answer.text


def test_a_huge_body_is_refused_before_it_is_read(client, workdir):
    def megabytes():
        for _ in range(100):
            yield bytes(1 << 20)

    assert (
        client.post("/api/answers", content=bytes(100 << 20), headers={"Origin": OWN}).status_code
        == 413
    )
    for length in ("104857600", "-1", "x"):
        headers = {"Origin": OWN, "Content-Length": length}
        assert client.post("/api/answers", content=b"{}", headers=headers).status_code == 413
    assert (
        client.post("/api/answers", content=megabytes(), headers={"Origin": OWN}).status_code == 413
    )
    assert not journal.path(workdir).exists()


def test_after_some_wrong_tokens_none_is_looked_at_but_open_pages_go_on(
    client, workdir, monkeypatch
):
    monkeypatch.setattr(server.time, "monotonic", lambda: 1000.0)
    stranger = TestClient(client.app, base_url=OWN)
    codes = [stranger.get(f"/?token=guess-{n}").status_code for n in range(1000)]
    assert codes == [403] * server.WRONG_TOKENS + [429] * (1000 - server.WRONG_TOKENS)
    assert stranger.get(f"/?token={TOKEN}").status_code == 429
    assert post(client, "/api/answers", answers=[ANSWER]).json()["saved"] == ["number-1"]


def test_the_token_is_looked_at_again_after_a_while(stranger, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(server.time, "monotonic", lambda: now[0])
    for n in range(server.WRONG_TOKENS):
        stranger.get(f"/?token=guess-{n}")
    assert stranger.get(f"/?token={TOKEN}").status_code == 429
    now[0] += server.WINDOW + 1
    assert stranger.get(f"/?token={TOKEN}").status_code == 200


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"\xff", b"null", b'{"client": 1}', b"[" * 100000]
)
def test_a_body_that_is_not_ours_is_refused(client, body):
    for path in ("/api/take", "/api/answers", "/api/release"):
        assert client.post(path, content=body, headers={"Origin": OWN}).status_code == 400


@pytest.mark.parametrize("answers", [None, {}, "x", 5])
def test_answers_are_a_list(client, answers):
    assert post(client, "/api/answers", answers=answers).status_code == 400


def test_answers_of_any_shape_are_refused_one_by_one(client, workdir):
    told = post(client, "/api/answers", answers=[None, 1, [], {}, {"id": "number-9"}]).json()
    assert told["saved"] == [] and told["refused"]
    assert not journal.path(workdir).exists()


def test_other_methods_are_refused(client):
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert client.request(method, "/api/answers", headers={"Origin": OWN}).status_code == 405


def test_the_app_cannot_reach_the_truth():
    text = pathlib.Path(server.__file__).read_text()
    assert "read_label" not in text and "oracle" not in text


def test_the_tokens_file_is_its_owners_alone_and_lasts(tmp_path):
    token = server.read_token(tmp_path)
    assert len(token) >= 32 and server.read_token(tmp_path) == token
    mode = (tmp_path / "annotations" / ".token").stat().st_mode
    assert not mode & (stat.S_IRWXG | stat.S_IRWXO)


# ----------------------------------------------------------------------------------- the program


def make_run(path, tiny_dir):
    config = default_config()
    config.target.domain, config.data_dir = "toytown/tiny", tiny_dir
    files.write_json(path / "config.json", config.to_dict())
    return path


def test_the_program_prints_its_address_listens_on_loopback_only_and_is_alone(tmp_path, tiny_dir):
    workdir = make_run(tmp_path, tiny_dir)
    flags = [f"--workdir={workdir}", "--port=0"]
    program = commands.start("annotate", *flags, stdout=subprocess.PIPE)
    try:
        address = program.stdout.readline()
        assert address.startswith("open http://127.0.0.1:")
        assert address.strip().endswith(f"/?token={server.read_token(workdir)}")
        port = address.rpartition(":")[2].partition("/")[0]
        second = commands.call("annotate", f"--workdir={workdir}", "--port=0")
        told = commands.the_line(second)
        assert (
            f"is being annotated already by labor-jax annotate, process {program.pid} on " in told
        )
        other = make_run(tmp_path / "other", tiny_dir)
        third = commands.call("annotate", f"--workdir={other}", f"--port={port}")
        assert f"cannot listen at 127.0.0.1 port {port}" in commands.the_line(third)
    finally:
        program.terminate()
        program.communicate(timeout=PATIENCE)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--host=0.0.0.0"], "--host: 0.0.0.0 lets other machines in; add --yes_expose"),
        (["--port=70000"], "--port"),
        (["--workdir=nowhere"], "no run in 'nowhere'"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, tiny_dir, flags, told):
    ended = commands.call("annotate", f"--workdir={make_run(tmp_path, tiny_dir)}", *flags)
    assert told in commands.the_line(ended) and ended.stderr.count("\n") == 1


def test_an_image_that_cannot_be_shown_any_more_is_gone_and_no_error_of_the_server(workdir):
    def read(image):
        raise UserError(f"{image}: unreadable image; replace or remove it")

    client = TestClient(guarded(workdir, read=read), base_url=OWN)
    client.get(f"/?token={TOKEN}")
    answer = client.get("/api/image", params={"id": "1/deep/a"})
    assert answer.status_code == 410 and "deep/a cannot be shown any more" in answer.text
    answer = client.get("/api/task", params={"id": "review/deep/a"})
    assert answer.status_code == 410 and "cannot be shown any more" in answer.text
    for none in ("review/", "review/b", "review/../deep/a", "review//etc/passwd"):
        assert client.get("/api/task", params={"id": none}).status_code == 404
        assert client.get("/api/image", params={"id": none}).status_code == 404
