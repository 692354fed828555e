"""The web server behind `labor-jax annotate`: it serves the page, tasks and images, takes answers.

It has access to the desk, `read_image` and the newest model only, so that no request can read the
ground truth.
No part of a request is used as the path of a file.
"""

import collections
import functools
import hmac
import ipaddress
import json
import os
import pathlib
import secrets
import socket
import time
from collections.abc import Callable
from importlib import resources
from typing import Any

import cv2
import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labor_jax.annotation.desk import Desk
from labor_jax.annotation.newest import Newest
from labor_jax.data.labels import ClassTable
from labor_jax.util import files
from labor_jax.util.errors import UserError

LARGEST_BODY = 4 << 20
"""The most bytes that a request's body may have."""
UNREADABLE = (UserError, OSError, KeyError)
"""What reading an image raises that went, or changed, while the server runs."""
THUMB = 320
"""The longer side, in pixels, of an image that is shown small."""
WRONG_TOKENS, WINDOW = 20, 60.0
"""After so many wrong tokens within so many seconds, further ones are refused unread."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
NOTEBOOKS = "http://localhost:* http://127.0.0.1:*"
"""The origins whose pages may show the annotator's page in a frame, where that is allowed."""
TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}


def read_token(workdir: str | os.PathLike) -> str:
    """The run's token, which is made at the first use.

    It is kept in a file: an open page stays logged in when the server is started again.
    """
    path = pathlib.Path(workdir, "annotations", ".token")
    if not path.exists():
        files.write_atomic(path, secrets.token_urlsafe(32).encode())
        path.chmod(0o600)
    return path.read_text().strip()


class Guard:
    """An ASGI app around another: it refuses requests and adds security headers to responses.

    A request needs the server's own Host, no other Origin, the token or the cookie that a right
    token was answered with, and a body of at most `LARGEST_BODY` bytes.

    Attributes:
      host: the address that the server listens at.
      port: the port, which is part of the server's own Host and Origin.
    """

    def __init__(
        self, app: ASGIApp, token: str, host: str, port: int, in_frame: bool = False
    ) -> None:
        """Wraps an app.

        Args:
          in_frame: whether pages of this machine, such as notebooks, may show the page in a frame.
        """
        self._app, self._token, self.host, self.port = app, token, host, port
        policy = HEADERS["Content-Security-Policy"]
        if in_frame:
            policy = policy.replace("frame-ancestors 'none'", f"frame-ancestors {NOTEBOOKS}")
        headers = HEADERS | {"Content-Security-Policy": policy}
        self._headers = [(k.lower().encode(), v.encode()) for k, v in headers.items()]
        self._cookie = hmac.new(token.encode(), b"cookie", "sha256").hexdigest()
        self._wrong: collections.deque[float] = collections.deque(maxlen=WRONG_TOKENS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *self._headers]}
            await send(message)

        request = Request(scope)
        response = self._refusal(request) or self._login(request)
        if response is None:
            body = await _read_body(request, receive)
            if body is None:
                response = _say(413, f"a request may have {LARGEST_BODY} bytes")
                response.headers["Connection"] = "close"
            else:
                await self._app(scope, _replay(body), sealed)
                return
        await response(scope, receive, sealed)

    def _refusal(self, request: Request) -> Response | None:
        if not self._is_own_host(request.headers.get("host", "")):
            return _say(403, "this server answers to its own address only")
        own = f"http://{request.headers['host']}"
        origin = request.headers.get("origin")
        if origin != own and (origin is not None or request.method not in ("GET", "HEAD")):
            return _say(403, "requests of other pages are refused")
        return None

    def _is_own_host(self, value: str) -> bool:
        name, _, port = value.rpartition(":")
        if port != str(self.port):
            return False
        name = name.strip("[]").lower()
        if self.host in LOOPBACK:
            return name in LOOPBACK
        if self.host in ("0.0.0.0", "::"):
            # Any address, but no name of a domain: its owner could have it point here.
            return name in (*LOOPBACK, socket.gethostname().lower()) or _is_address(name)
        return name in (*LOOPBACK, self.host.lower())

    def _login(self, request: Request) -> Response | None:
        """None where the cookie is right; the cookie where the token is; else a refusal."""
        name = f"labor_jax_{self.port}"
        if _same(request.cookies.get(name, ""), self._cookie):
            return None
        given = request.query_params.get("token")
        if given is None:
            return _say(403, "open the address that labor-jax annotate printed, with its token")
        now = time.monotonic()
        if len(self._wrong) == WRONG_TOKENS and now - self._wrong[0] < WINDOW:
            return _say(429, "too many wrong tokens; wait a minute")
        if not _same(given, self._token):
            self._wrong.append(now)
            return _say(403, "wrong token; open the address that labor-jax annotate printed")
        response = RedirectResponse("/", 303)
        response.set_cookie(name, self._cookie, httponly=True, samesite="strict", path="/")
        return response


def _same(a: str, b: str) -> bool:
    return hmac.compare_digest(a.encode(), b.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _say(status: int, text: str) -> Response:
    return Response(f"{text}\n", status, media_type="text/plain")


async def _read_body(request: Request, receive: Receive) -> bytes | None:
    """The body; None where it is larger than the limit, up to which it is read."""
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > LARGEST_BODY:
        return None
    parts, size = [], 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > LARGEST_BODY:
            return None
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def make_app(
    desk: Desk,
    table: ClassTable,
    read_image: Callable[[str], np.ndarray],
    setup: dict[str, Any],
    newest: Newest | None = None,
) -> Starlette:
    """The app that serves the page's files and its requests, without the guard.

    Args:
      desk: gives tasks and takes answers.
      table: the classes.
      read_image: an image's id -> [H, W, 3] uint8 RGB.
      setup: what the page is told besides the classes: "run" (an id), "annotator", "workdir" and
        "in_frame" (whether it is shown inside a notebook).
      newest: the model whose predictions are shown; None where there is none.
    """
    folder = resources.files("labor_jax.annotation") / "web"
    pages = {f"/{file.name}": file.read_bytes() for file in folder.iterdir()}
    classes = [
        {"name": name, "color": color}
        for name, color in zip(table.names, table.palette, strict=True)
    ]

    @functools.lru_cache(maxsize=8)
    def png(image: str) -> bytes:
        # Lossless, and compressed fast rather than well: most browsers are on the same machine.
        pixels = cv2.cvtColor(read_image(image), cv2.COLOR_RGB2BGR)
        return cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()

    @functools.lru_cache(maxsize=256)
    def thumb(image: str) -> bytes:
        pixels = cv2.cvtColor(_small(read_image(image), cv2.INTER_AREA), cv2.COLOR_RGB2BGR)
        return cv2.imencode(".jpg", pixels)[1].tobytes()

    def page(request: Request) -> Response:
        path = "/page.html" if request.url.path == "/" else request.url.path
        return Response(pages[path], media_type=TYPES[pathlib.PurePath(path).suffix])

    def get_setup(_: Request) -> Response:
        model = {"live": newest is not None and newest.learns, "review": newest is not None}
        return JSONResponse(setup | model | {"classes": classes})

    def get_task(request: Request) -> Response:
        try:
            task = desk.view(request.query_params.get("id", ""))
        except UNREADABLE as error:
            return _say(410, f"the image cannot be shown any more: {error}")
        return _say(404, "there is no such task") if task is None else JSONResponse(task)

    def get_image(request: Request) -> Response:
        image = desk.image(request.query_params.get("id", ""))
        if image is None:
            return _say(404, "there is no such task")
        try:
            if "small" in request.query_params:
                return Response(thumb(image), media_type="image/jpeg")
            return Response(png(image), media_type="image/png")
        except UNREADABLE as error:
            return _say(410, f"the image {image} cannot be shown any more: {error}")

    def get_model(request: Request) -> Response:
        if newest is None:
            return _say(404, "no model is shown here")
        told = newest.told() | desk.spent()
        if request.query_params.get("since") == str(told["version"]):
            told.pop("curve", None)  # the page has it
        return JSONResponse(told)

    def get_prediction(request: Request) -> Response:
        image = desk.image(request.query_params.get("id", ""))
        if newest is None or image is None:
            return _say(404, "there is no such task, or no model is shown here")
        try:
            found = newest.predict(image)
        except UNREADABLE as error:
            return _say(410, f"the image {image} cannot be shown any more: {error}")
        if found is None:
            return Response(status_code=204)
        version, predicted = found
        if "small" in request.query_params:
            predicted = _small(predicted, cv2.INTER_NEAREST)
        body = cv2.imencode(".png", predicted, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
        return Response(body, media_type="image/png", headers={"X-Model": str(version)})

    def get_review(request: Request) -> Response:
        if newest is None:
            return _say(404, "no model is shown here")
        (doubts, more), fixed = newest.doubts("anew" in request.query_params), desk.fixed()
        images = [{"name": x, "doubt": doubt, "fixed": fixed[x]} for x, doubt in doubts.items()]
        return JSONResponse({"images": images, "more": more})

    async def post(request: Request) -> Response:
        said = await _read_json(request)
        client, annotator = (_name(said.get(key)) for key in ("client", "annotator"))
        if client is None or annotator is None:
            return _say(400, "client and annotator are names of 1 to 64 characters")
        return await run_in_threadpool(POSTS[request.url.path], client, annotator, said)

    def take(client: str, annotator: str, said: dict[str, Any]) -> Response:
        want, opened = said.get("want"), said.get("opened") is True
        want = want if isinstance(want, str) else None
        return JSONResponse(desk.take(client, annotator, want, opened))

    def answers(client: str, annotator: str, said: dict[str, Any]) -> Response:
        given = said.get("answers")
        if not isinstance(given, list):
            return _say(400, "answers are a list")
        try:
            return JSONResponse(desk.record(client, annotator, given))
        except OSError as error:
            return _say(507, f"the journal cannot be written: {error.strerror}")

    def release(client: str, annotator: str, said: dict[str, Any]) -> Response:
        desk.release(client)
        return JSONResponse({})

    POSTS = {"/api/take": take, "/api/answers": answers, "/api/release": release}
    return Starlette(
        routes=[
            *[Route(path, page) for path in ("/", *pages)],
            Route("/api/setup", get_setup),
            Route("/api/task", get_task),
            Route("/api/image", get_image),
            Route("/api/model", get_model),
            Route("/api/prediction", get_prediction),
            Route("/api/review", get_review),
            *[Route(path, post, methods=["POST"]) for path in POSTS],
        ]
    )


def _small(pixels: np.ndarray, interpolation: int) -> np.ndarray:
    """An image, or a label map, of at most `THUMB` pixels on each side."""
    height, width = pixels.shape[:2]
    shrink = min(1.0, THUMB / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    return cv2.resize(pixels, size, interpolation=interpolation)


def _name(value: Any) -> str | None:
    """The value if it is a name of 1 to 64 characters, else None."""
    fits = isinstance(value, str) and 0 < len(value) <= 64 and value.isprintable()
    return value if fits else None


async def _read_json(request: Request) -> dict[str, Any]:
    try:
        said = json.loads(await request.body())
    except (ValueError, RecursionError):
        said = None
    return said if isinstance(said, dict) else {}
