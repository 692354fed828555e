"""`labor-jax COMMAND …` and `python -m labor_jax COMMAND …`: every program under one name.

A command is a program's own module, run as `python -m` would: its flags and its help are there.
"""

import ast
import difflib
import importlib.util
import os
import pathlib
import runpy
import sys

from labor_jax import __version__
from labor_jax.util import errors

MODULES = {
    "run": "main",
    "annotate": "cli.annotate",
    "evaluate": "infer.evaluate",
    "predict": "infer.stream",
    "export": "infer.export",
    "compare": "cli.compare",
    "prepare-data": "cli.prepare_data",
    "convert-weights": "cli.convert_weights",
    "benchmark": "cli.benchmark",
}
DEMO = "Runs LabOR on two drawn towns: nothing to download; --quick takes seconds."


def summary(module: str) -> str:
    """The first line of a program's docstring, which is read without importing it."""
    spec = importlib.util.find_spec(f"labor_jax.{module}")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"labor_jax.{module}")
    text = ast.get_docstring(ast.parse(pathlib.Path(spec.origin).read_text()))
    return (text or "").partition("\n")[0]


def overview() -> str:
    """What `labor-jax --help` says."""
    told = {"demo": DEMO} | {command: summary(module) for command, module in MODULES.items()}
    lines = [f"  {command:<16} {line}" for command, line in told.items()]
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


def demo(arguments: list[str]) -> list[str]:
    """The arguments of `run` for the demo's."""
    quick = "--quick" in arguments
    rest = [argument for argument in arguments if argument != "--quick"]
    ours = {
        "--config": "toytown:quick" if quick else "toytown",
        "--workdir": "runs/toytown-quick" if quick else "runs/toytown",
    }
    given = {argument.partition("=")[0] for argument in rest}
    return [f"{name}={value}" for name, value in ours.items() if name not in given] + rest


@errors.exit_on_user_error
def main() -> None:
    """Runs the command that the arguments begin with."""
    command, *arguments = sys.argv[1:] or ["--help"]
    if command in ("--help", "-h", "-help", "help"):
        print(overview())
        return
    if command == "--version":
        print(f"labor_jax {__version__}")
        return
    name = command.replace("_", "-")
    if name == "demo":
        name, arguments = "run", demo(arguments)
    if name not in MODULES:
        near = difflib.get_close_matches(name, ["demo", *MODULES], 1)
        hint = f"did you mean {near[0]}?" if near else "labor-jax --help lists those there are"
        raise errors.UserError(f"unknown command {command!r}; {hint}")
    if os.getcwd() not in sys.path:  # as `python -m` has it: strategies of one's own lie there
        sys.path.insert(0, os.getcwd())
    sys.argv[1:] = arguments
    runpy.run_module(f"labor_jax.{MODULES[name]}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
