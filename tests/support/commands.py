"""Commands as a user gives them: in this process, or in one of their own."""

import contextlib
import io
import os
import pathlib
import subprocess
import sys
from typing import Any, NamedTuple

from support.waiting import COMPILED

from labor_jax import __main__

ROOT = pathlib.Path(__file__).parents[2]


class Ended(NamedTuple):
    """How a command ended, and what it said."""

    status: int
    stdout: str
    stderr: str


def call(*arguments: Any) -> Ended:
    """`labor-jax ARGUMENTS` in this process, whose folder it sees."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = __main__.main([str(argument) for argument in arguments])
    return Ended(status, out.getvalue(), err.getvalue())


MODULE = ("-m", "labor_jax")


def start(*arguments: Any, program: tuple[str, str] = MODULE, **options: Any) -> subprocess.Popen:
    """`python -m labor_jax ARGUMENTS` in a process of its own, that imports this checkout."""
    command = [sys.executable, *program, *map(str, arguments)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path} | options.pop("env", {})
    return subprocess.Popen(command, env=environment, text=True, **{"cwd": ROOT} | options)


def run(*arguments: Any, **options: Any) -> Ended:
    """The same, to its end."""
    pipe = subprocess.PIPE
    with start(*arguments, stdout=pipe, stderr=pipe, **options) as process:
        out, err = process.communicate(timeout=COMPILED)
    return Ended(process.returncode, out, err)


def the_line(ended: Ended) -> str:
    """The one line, the last that one sees, of an error that a user caused."""
    assert ended.status == 2, ended.stderr
    assert not ended.stdout and "Traceback" not in ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, ended.stderr
    assert ended.stderr.splitlines()[-1] == lines[0]
    return lines[0].removeprefix("error: ")
