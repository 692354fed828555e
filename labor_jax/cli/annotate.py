"""Lets people answer a run's queries in a browser.

    labor-jax annotate --workdir=runs/toytown --annotator=ana

Prints the address to open. Several people may work at once. Ctrl-C ends it at any time: every
answer shown as saved is in the run's journal, and the same command goes on.

    labor-jax annotate export --workdir=runs/toytown --format=cvat --out=tasks
    labor-jax annotate import --workdir=runs/toytown --format=cvat --file=annotations.xml

writes what is asked as tasks of another tool (cvat, labelstudio, coco, labelme or png), and takes
its answers in; what lies outside of what is asked is refused and counted.
"""

import pathlib
import sys
from collections.abc import Callable

from absl import flags

from labor_jax.cli import program
from labor_jax.util import errors


def main() -> None:
    """Serves the annotator."""
    from labor_jax.annotation import serving
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
    serving.serve(
        pathlib.Path(flags.FLAGS.workdir),
        host,
        flags.FLAGS.port,
        flags.FLAGS.annotator,
        flags.FLAGS.again,
        flags.FLAGS.in_frame,
    )


def export() -> None:
    """Writes the queries as tasks of another tool."""
    from labor_jax.annotation import exchange, serving

    workdir, out = pathlib.Path(flags.FLAGS.workdir), pathlib.Path(_given("out"))
    table, read_image = serving.open_run(workdir)
    number = exchange.export(workdir, out, _given("format"), table, read_image, flags.FLAGS.ids)
    print(f"{number} images with what is asked of them: {out}")


def take_in() -> None:
    """Takes the answers of another tool's files into the journal."""
    from labor_jax.annotation import exchange, serving

    workdir, path = pathlib.Path(flags.FLAGS.workdir), pathlib.Path(_given("file"))
    table, _ = serving.open_run(workdir)
    name = flags.FLAGS.annotator or "import"
    with serving.only_one(workdir):
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
