"""Lets people answer a run's queries in a browser.

    labor-jax annotate --workdir=runs/toytown --annotator=ana

Prints the address to open. Several people may work at once. Ctrl-C ends it at any time: every
answer shown as saved is in the run's journal, and the same command goes on.

    labor-jax annotate export --workdir=runs/toytown --format=cvat --out=tasks
    labor-jax annotate import --workdir=runs/toytown --format=cvat --file=annotations.xml

writes what is asked as tasks of another tool (cvat, labelstudio, coco, labelme or png), and takes
its answers in; what lies outside of what is asked is refused and counted.
"""

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
from absl import flags

from labor_jax.cli import program
from labor_jax.data.labels import ClassTable
from labor_jax.util import errors


def serve(
    workdir: pathlib.Path, host: str, port: int, annotator: str, again: int, in_frame: bool = False
) -> None:
    """Serves the annotator until it is interrupted; then says who answered what.

    Args:
      host: the address to listen at.
      annotator: the name that goes with answers; "" lets the page ask for it.
      again: of how many images a stage a second annotator's opinion is asked.
      in_frame: a notebook of this machine may show the page in a frame.
    Raises:
      UserError: no run, damaged files, a port that is taken, or another annotator at work.
    """
    import uvicorn

    from labor_jax.annotation import desk, journal, ledger, server

    table, read_image = open_run(workdir)
    with _only_one(workdir), _listening(host, port) as listener:
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
    """A notebook's kernel that dies leaves a pipe that ends."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGINT)


def open_run(workdir: pathlib.Path) -> tuple[ClassTable, Callable[[str], np.ndarray]]:
    """A run's classes, and its target images by id; labels cannot be read through it."""
    from labor_jax.data import domain, labels
    from labor_jax.infer import restore

    config = restore.read_config(workdir)
    table = labels.table_from_config(config.classes)
    target = domain.load(config.target, config.data_dir, table)
    index = {image: i for i, image in enumerate(target.ids)}
    return table, lambda image: target.read_image(index[image])


@contextlib.contextmanager
def _only_one(workdir: pathlib.Path) -> Iterator[None]:
    """Two servers of one run would hand out the same queries."""
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


def main() -> None:
    """Serves the annotator."""
    from labor_jax.annotation.server import LOOPBACK

    host = flags.FLAGS.host
    if host not in LOOPBACK:
        if not flags.FLAGS.yes_expose:
            raise errors.UserError(
                f"--host: {host} lets other machines in; add --yes_expose if that is meant"
            )
        print(
            f"warning: whoever can reach {host} and knows the token can see the images and answer"
        )
    serve(
        pathlib.Path(flags.FLAGS.workdir),
        host,
        flags.FLAGS.port,
        flags.FLAGS.annotator,
        flags.FLAGS.again,
        flags.FLAGS.in_frame,
    )


def export() -> None:
    """Writes the queries as tasks of another tool."""
    from labor_jax.annotation import exchange

    workdir, out = pathlib.Path(flags.FLAGS.workdir), pathlib.Path(_given("out"))
    table, read_image = open_run(workdir)
    number = exchange.export(workdir, out, _given("format"), table, read_image, flags.FLAGS.ids)
    print(f"{number} images with what is asked of them: {out}")


def take_in() -> None:
    """Takes the answers of another tool's files into the journal."""
    from labor_jax.annotation import exchange

    workdir, path = pathlib.Path(flags.FLAGS.workdir), pathlib.Path(_given("file"))
    table, _ = open_run(workdir)
    name = flags.FLAGS.annotator or "import"
    with _only_one(workdir):
        done = exchange.take_in(workdir, path, _given("format"), table, name, flags.FLAGS.ids)
    for line in exchange.describe(done):
        print(line)


@errors.exit_on_user_error
def command(argv: list[str]) -> Callable[[], None]:
    """What the first argument asks for, which is taken off; without one, to serve."""
    commands = {"export": export, "import": take_in}
    if not argv[1:2] or argv[1].startswith("-"):
        return main
    if argv[1] not in commands:
        raise errors.UserError(
            f"{argv[1]!r} is neither export nor import; to serve, give flags alone"
        )
    return commands[argv.pop(1)]


def _given(name: str) -> str:
    value = flags.FLAGS[name].value
    if not value:
        raise errors.UserError(f"--{name} is needed")
    return value


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "the run's folder", required=True)
    flags.DEFINE_string("annotator", "", "who answers; the page asks where this is not given")
    flags.DEFINE_integer("port", 8765, "where to listen; 0 = any that is free", 0, 65535)
    flags.DEFINE_string("host", "127.0.0.1", "the address to listen at")
    flags.DEFINE_bool("yes_expose", False, "yes, --host may let other machines in")
    flags.DEFINE_bool("in_frame", False, "a notebook of this machine may show the page in a frame")
    flags.DEFINE_integer("again", 0, "images a stage of which a second opinion is asked", 0)
    formats = ("cvat", "labelstudio", "coco", "labelme", "png")
    flags.DEFINE_enum("format", None, formats, "export, import: the other tool's format")
    flags.DEFINE_enum("ids", "train", ("train", "label"), "png: Cityscapes' train or label ids")
    flags.DEFINE_string("out", None, "export: the folder to write to")
    flags.DEFINE_string("file", None, "import: the tool's file, or a folder of them")
    program.run(command(sys.argv))
