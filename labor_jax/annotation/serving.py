"""The web server as a process: it opens a run, locks it, listens at a port and ends."""

import contextlib
import hashlib
import os
import pathlib
import signal
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import uvicorn
from starlette.applications import Starlette

from labor_jax.annotation import (
    asked_images,
    desk,
    guessing,
    journal,
    ledger,
    reviewing,
    server,
)
from labor_jax.config import places
from labor_jax.data import loading
from labor_jax.data.domain import Domain
from labor_jax.data.labels import ClassTable
from labor_jax.infer import restore
from labor_jax.util import errors, lock


class Opened(NamedTuple):
    """What annotating needs of a run.

    Attributes:
      table: its classes.
      target: its images, without their labels.
      read_image: the id of a target image -> [H, W, 3] uint8 RGB.
      is_there: the id of an image -> whether it is there as it was when it was asked about.
      reads: the folders that images and labels are read from.
      said: a line about images that came, went or changed; None where none did.
    """

    table: ClassTable
    target: Domain
    read_image: Callable[[str], np.ndarray]
    is_there: Callable[[str], bool]
    reads: tuple[str, ...]
    said: str | None


def serve(
    workdir: pathlib.Path,
    host: str,
    port: int,
    annotator: str,
    again: int,
    in_frame: bool = False,
    verify: bool = False,
) -> None:
    """Serves the page until it is interrupted; then prints what each annotator did.

    Args:
      workdir: the run's DIR.
      host: the address to listen at.
      port: 0 for any that is free.
      annotator: the name that answers get; "": the page asks for it.
      again: how many second opinions are asked at each stage.
      in_frame: whether pages of this machine, such as notebooks, may show the page in a frame.
      verify: whether the page shows the newest model's guesses, to be confirmed or corrected.
    Raises:
      UserError: there is no run, or no trained model whose guesses are to be shown, its files are
        damaged, the port cannot be used, or another program takes answers.
    """
    run = open_run(workdir)
    with (
        lock.hold(workdir, lock.ANSWERS, "labor-jax annotate"),
        listening(host, port) as listener,
    ):
        if run.said:
            print(run.said, file=sys.stderr)
        there = [image for image in run.target.ids if run.is_there(image)]
        reviewer = reviewing.Reviewer(workdir, run.table, there, run.read_image)
        tasks = desk.Desk(
            workdir,
            run.table,
            again,
            is_there=run.is_there,
            verify=verify,
            review=reviewer.review,
        )
        setup = make_setup(workdir, run.table, annotator, in_frame)
        app = server.make_app(tasks, run.table, run.read_image, setup, reviewer.newest)
        making = guessing.guessing(workdir, tasks, run.read_image)
        with making if verify else contextlib.nullcontext():
            answer_requests(app, workdir, host, listener, in_frame)
        for line in ledger.describe(journal.lines(workdir, run.table)):
            print(line)


def make_setup(
    workdir: pathlib.Path, table: ClassTable, annotator: str, in_frame: bool
) -> dict[str, Any]:
    """What `server.make_app` tells the page of a run."""
    run = hashlib.sha256(f"{workdir.resolve()} {table.digest()}".encode()).hexdigest()[:16]
    return {"run": run, "annotator": annotator, "workdir": str(workdir), "in_frame": in_frame}


def answer_requests(
    app: Starlette,
    workdir: pathlib.Path,
    host: str,
    listener: socket.socket,
    in_frame: bool = False,
) -> None:
    """Prints the address and answers requests until it is interrupted.

    Args:
      app: what `server.make_app` made; it is guarded here.
      listener: of `listening`.
    """
    token, port = server.read_token(workdir), listener.getsockname()[1]
    shown = f"[{host}]" if ":" in host else host
    print(f"open http://{shown}:{port}/?token={token}", flush=True)
    guard = server.Guard(app, token, host, port, in_frame)
    settings = uvicorn.Config(guard, log_level="error", access_log=False, server_header=False)
    if in_frame and stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=_end_with_notebook, daemon=True).start()
    try:
        uvicorn.Server(settings).run(sockets=[listener])
    except KeyboardInterrupt:
        print()


def _end_with_notebook() -> None:
    """Interrupts this process when its stdin ends, as it does when a notebook's kernel dies."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)


def open_run(workdir: pathlib.Path) -> Opened:
    """Opens a run to annotate it.

    Raises:
      UserError: there is no run, or its classes or images cannot be read, or none is as it was.
    """
    config = restore.read_config(workdir)
    restore.load_plugins(config, ["target"])
    table = loading.table_from_config(config.classes)
    reads = places.folders_of(config)
    config.target.labels = ""  # what people answer is not looked up
    target = restore.load_domain(config, "target", table)
    changes = asked_images.changes(workdir, target)
    index = {image: i for i, image in enumerate(target.ids)}
    prints: dict[str, asked_images.Print] = {}

    def is_there(image: str) -> bool:
        if image not in prints:  # a later stage may ask while the server runs
            prints.update(asked_images.prints(workdir))
        return image in index and asked_images.same(target, index[image], prints.get(image, {}))

    return Opened(
        table,
        target,
        lambda image: target.read_image(index[image]),
        is_there,
        reads,
        asked_images.describe(changes, target),
    )


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens; port 0 is any that is free.

    Raises:
      UserError: it cannot listen there.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise errors.UserError(
            f"--host and --port: cannot listen at {host} port {port} ({reason}); give others"
        ) from None
    with listener:
        yield listener
