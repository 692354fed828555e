"""The web server as a process: it opens a run, locks it, listens at a port and ends."""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import signal
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator

import numpy as np
import uvicorn

from labor_jax.annotation import desk, journal, ledger, server
from labor_jax.data import loading
from labor_jax.data.labels import ClassTable
from labor_jax.infer import restore
from labor_jax.util import errors


def serve(
    workdir: pathlib.Path, host: str, port: int, annotator: str, again: int, in_frame: bool = False
) -> None:
    """Serves the page until it is interrupted; then prints what each annotator did.

    Args:
      workdir: the run's DIR.
      host: the address to listen at.
      port: 0 for any that is free.
      annotator: the name that answers get; "": the page asks for it.
      again: how many second opinions are asked at each stage.
      in_frame: whether pages of this machine, such as notebooks, may show the page in a frame.
    Raises:
      UserError: there is no run, its files are damaged, the port cannot be used, or another server
        has the run.
    """
    table, read_image = open_run(workdir)
    with only_one(workdir), _listening(host, port) as listener:
        setup = {
            "run": hashlib.sha256(f"{workdir.resolve()} {table.digest()}".encode()).hexdigest()[
                :16
            ],
            "annotator": annotator,
            "workdir": str(workdir),
            "in_frame": in_frame,
        }
        app = server.make_app(desk.Desk(workdir, table, again), table, read_image, setup)
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
        for line in ledger.describe(journal.lines(workdir, table)):
            print(line)


def _end_with_notebook() -> None:
    """Interrupts this process when its stdin ends, as it does when a notebook's kernel dies."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)


def open_run(workdir: pathlib.Path) -> tuple[ClassTable, Callable[[str], np.ndarray]]:
    """A run's classes, and a function from the id of a target image to [H, W, 3] uint8 RGB.

    Raises:
      UserError: there is no run, or its classes or images cannot be read.
    """
    config = restore.read_config(workdir)
    restore.load_plugins(config)
    table = loading.table_from_config(config.classes)
    target = loading.load(config.target, config.data_dir, table)
    index = {image: i for i, image in enumerate(target.ids)}
    return table, lambda image: target.read_image(index[image])


@contextlib.contextmanager
def only_one(workdir: pathlib.Path) -> Iterator[None]:
    """Locks a run for one server: two would lease the same tasks.

    Raises:
      UserError: another server has the lock.
    """
    path = workdir / "annotations" / ".serving"
    path.parent.mkdir(exist_ok=True)
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.UserError(
                f"--workdir: {workdir} is being annotated already; open that program's address"
            ) from None
        yield


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
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
