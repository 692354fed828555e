"""Lets people answer a run's queries in a browser.

    labor-jax annotate --workdir=runs/toytown --annotator=ana

Prints the address to open. Several people may work at once. Ctrl-C ends it at any time: every
answer shown as saved is in the run's journal, and the same command goes on.
The key / shows all images with what the newest model predicts, to be fixed, also when the run is
finished.

    labor-jax annotate export --workdir=runs/toytown --format=cvat --out=tasks
    labor-jax annotate import --workdir=runs/toytown --format=cvat --file=annotations.xml

writes what is asked as tasks of another tool (cvat, labelstudio, coco, labelme or png), and takes
its answers in, from a file, a folder or a zip archive. What is left out is told with its reason and
a count. An import that leaves whole files out ends with status 1, one that takes nothing with 2.
With --whole an export has every target image with a class for each pixel: its answer, and elsewhere
what the newest model predicts.
"""

import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags

from labor_jax.cli import program
from labor_jax.util import addresses, bucket, errors, lock


def main(argv: Sequence[str]) -> int:
    """Serves the annotator, or exports or imports what is asked; returns the exit status."""
    command, rest = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else ("", argv)
    if command == "export":
        return program.run(rest, __doc__, _define_export, _export)
    if command == "import":
        return program.run(rest, __doc__, _define_import, _import)
    if command:
        return errors.exit_status(lambda: _unknown(command))
    return program.run(rest, __doc__, _define_serve, _serve)


def _unknown(command: str) -> int:
    raise errors.UserError(f"{command!r} is neither export nor import; to serve, give flags alone")


def _define_workdir(values: flags.FlagValues) -> None:
    program.define_path(values, "workdir", None, "the run's folder", required=True, bucket=True)


def _workdir(values: flags.FlagValues) -> pathlib.Path:
    """The run's folder.

    Raises:
      UserError: it is in a bucket, and the answers have to be on this machine.
    """
    given = values.workdir
    if addresses.in_bucket(given):
        raise errors.UserError(
            f"--workdir: {given} is in a bucket, and people answer in a folder of this machine; "
            f"`labor-jax evaluate --workdir={given}` fetches the run into "
            f"{bucket.reading_folder(given)}: copy that folder, and give the copy"
        )
    return pathlib.Path(given)


# -------------------------------------------------------------------------------------- to serve


def _define_serve(values: flags.FlagValues) -> None:
    _define_workdir(values)
    define_server(values)
    flags.DEFINE_integer(
        "again", 0, "images a stage of which a second opinion is asked", 0, flag_values=values
    )


def define_server(values: flags.FlagValues) -> None:
    """Defines the flags that tell where and to whom the page is served."""
    flags.DEFINE_string(
        "annotator", "", "who answers; the page asks where this is not given", flag_values=values
    )
    flags.DEFINE_integer(
        "port", 8765, "where to listen; 0 = any that is free", 0, 65535, flag_values=values
    )
    flags.DEFINE_string("host", "127.0.0.1", "the address to listen at", flag_values=values)
    flags.DEFINE_bool(
        "yes_expose", False, "yes, --host may let other machines in", flag_values=values
    )
    flags.DEFINE_enum(
        "mode",
        "ask",
        ("ask", "verify"),
        "ask for each class, or show the model's guess to be confirmed or corrected",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "in_frame",
        False,
        "a notebook of this machine may show the page in a frame",
        flag_values=values,
    )


def check_host(values: flags.FlagValues) -> None:
    """Warns of a host that lets other machines in.

    Raises:
      UserError: it was not said that this is meant.
    """
    from labor_jax.annotation.server import LOOPBACK

    host = values.host
    if host not in LOOPBACK:
        if not values.yes_expose:
            raise errors.UserError(
                f"--host: {host} lets other machines in; add --yes_expose if that is meant"
            )
        print(
            f"warning: whoever can reach {host} and knows the token can see the images and answer"
        )


def _serve(values: flags.FlagValues) -> None:
    from labor_jax.annotation import serving

    check_host(values)
    serving.serve(
        _workdir(values),
        values.host,
        values.port,
        values.annotator,
        values.again,
        values.in_frame,
        values.mode == "verify",
    )


# ------------------------------------------------------------------------------------ other tools


def _define_exchange(values: flags.FlagValues) -> None:
    from labor_jax.annotation.exchange import FORMATS

    _define_workdir(values)
    flags.DEFINE_enum(
        "format", None, list(FORMATS), "the other tool's format", required=True, flag_values=values
    )
    flags.DEFINE_enum(
        "ids",
        "train",
        ("train", "label"),
        "png: Cityscapes' train or label ids",
        flag_values=values,
    )


def _define_export(values: flags.FlagValues) -> None:
    _define_exchange(values)
    program.define_path(values, "out", None, "the folder to write to", required=True)
    flags.DEFINE_bool(
        "whole",
        False,
        "a class for each pixel of every target image: its answer, elsewhere its prediction",
        flag_values=values,
    )


def _export(values: flags.FlagValues) -> None:
    from labor_jax.annotation import exchange, serving

    if values.whole:
        _export_whole(values)
        return
    workdir, out = _workdir(values), pathlib.Path(values.out)
    run = serving.open_run(workdir)
    number = exchange.export(
        workdir,
        out,
        values.format,
        run.table,
        run.read_image,
        values.ids,
        is_there=run.is_there,
        reads=run.reads,
    )
    _say(run.said)
    print(f"{number} images with what is asked of them: {out}")


def _export_whole(values: flags.FlagValues) -> None:
    from labor_jax.annotation import exchange, serving, trust
    from labor_jax.infer import batches, restore, stream
    from labor_jax.util import cache, progress
    from labor_jax.util.ahead import ahead

    workdir, out = _workdir(values), pathlib.Path(values.out)
    run, model = serving.open_run(workdir), restore.restore(workdir)
    target, number = run.target, len(run.target.ids)
    cache.enable()

    def read(index: int) -> stream.Loaded:
        image = target.read_image(index)
        return stream.loaded(model, stream.DEFAULT, target.ids[index], image)

    found = ahead(read, range(number), batches.THREADS, 4 * batches.THREADS)
    fits = batches.canvases(batches.native_sizes(target))
    predicted = stream.whole_frames(stream.segmented(model, stream.DEFAULT, found, fits))
    with progress.show_progress("export", 0, number, "image") as shown:

        def each() -> Iterator[tuple[str, Any, Any]]:
            for done, (image, label) in enumerate(predicted, start=1):
                yield image.name, image.image, label
                shown.advance(done)

        exchange.export_whole(
            workdir,
            out,
            values.format,
            run.table,
            each(),
            trust.weights(model.config.trust),
            values.ids,
            run.reads,
        )
    _say(run.said)
    print(f"{number} images with a class for each pixel: {out}")


def _define_import(values: flags.FlagValues) -> None:
    _define_exchange(values)
    about = "the tool's file, a folder of them, or a zip archive"
    program.define_path(values, "file", None, about, required=True)
    flags.DEFINE_string("annotator", "import", "whose answers they are", flag_values=values)


def _import(values: flags.FlagValues) -> int:
    from labor_jax.annotation import exchange, serving
    from labor_jax.infer import restore

    workdir, path = _workdir(values), pathlib.Path(values.file)
    run = serving.open_run(workdir)
    _say(run.said)
    folders = pathlib.PurePath(restore.read_config(workdir).target.images).parts
    with lock.hold(workdir, lock.ANSWERS, "labor-jax annotate import"):
        done = exchange.take_in(
            workdir, path, values.format, run.table, values.annotator, values.ids, folders
        )
    for line in exchange.describe(done):
        print(line)
    if not done.taken and not done.known:
        raise errors.UserError(
            f"--file: nothing in {path} was taken; the lines above say what was left out and why"
            if done.tally.left_out
            else f"--file: nothing is answered in {path}; answer in the tool and export it again"
        )
    return 1 if any(noun in ("archive", "file") for noun, _ in done.tally.left_out) else 0


def _say(line: str | None) -> None:
    """Prints a line about images that changed, if there is one."""
    if line:
        print(line, file=sys.stderr)
