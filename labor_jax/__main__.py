"""`labor-jax COMMAND …` and `python -m labor_jax COMMAND …`: every program under one name."""

import ast
import difflib
import importlib
import importlib.util
import os
import pathlib
import sys
from collections.abc import Sequence

from labor_jax import __version__
from labor_jax.util import errors

COMMANDS = {
    "demo": "labor_jax.cli.demo",
    "run": "labor_jax.cli.run",
    "annotate": "labor_jax.cli.annotate",
    "live": "labor_jax.cli.live",
    "evaluate": "labor_jax.cli.evaluate",
    "predict": "labor_jax.cli.predict",
    "export": "labor_jax.cli.export",
    "compare": "labor_jax.cli.compare",
    "prepare-data": "labor_jax.cli.prepare_data",
    "convert-weights": "labor_jax.cli.convert_weights",
    "benchmark": "labor_jax.cli.benchmark",
}
"""The module of each command, which has a `main(argv)`."""


def main(argv: Sequence[str]) -> int:
    """Runs the command that the arguments begin with; returns the exit status."""
    command, *arguments = argv or ["--help"]
    if command in ("--help", "-h", "-help", "help"):
        print(overview())
        return 0
    if command == "--version":
        print(f"labor_jax {__version__}")
        return 0
    name = command.replace("_", "-")
    if name not in COMMANDS:
        return errors.exit_status(lambda: unknown(command))
    return importlib.import_module(COMMANDS[name]).main(arguments)


def unknown(command: str) -> int:
    """Raises UserError, with the command that may be meant."""
    near = difflib.get_close_matches(command.replace("_", "-"), COMMANDS, 1)
    hint = f"did you mean {near[0]}?" if near else "labor-jax --help lists those there are"
    raise errors.UserError(f"unknown command {command!r}; {hint}")


def overview() -> str:
    """What `labor-jax --help` says."""
    lines = [f"  {command:<16} {summary(module)}" for command, module in COMMANDS.items()]
    return "\n".join(
        [
            f"labor_jax {__version__}: adapt a segmentation model to real streets, labelling only "
            "the pixels it needs.",
            "",
            "labor-jax COMMAND --help tells a command's flags. The commands:",
            "",
            *lines,
        ]
    )


def summary(module: str) -> str:
    """The first line of a module's docstring, which is read without importing it."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(module)
    text = ast.get_docstring(ast.parse(pathlib.Path(spec.origin).read_text()))
    return (text or "").partition("\n")[0]


def process() -> int:
    """Runs the command of this process's own arguments; returns the exit status."""
    from labor_jax.cli import program

    if os.getcwd() not in sys.path:  # as `python -m` has it: strategies of one's own lie there
        sys.path.insert(0, os.getcwd())
    return program.process(main)


if __name__ == "__main__":
    sys.exit(process())
