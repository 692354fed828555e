"""How every command reads its flags and ends: a mistake is one line and exit status 2.

A command's `main(argv)` defines its flags in the call, in an `absl.flags.FlagValues` of its own, so
that it can be called any number of times in one process. `process` is for what a process has only
once: signals and logging.
"""

import difflib
import faulthandler
import inspect
import math
import re
import sys
import textwrap
import warnings
from collections.abc import Callable, Sequence

from absl import flags, logging
from ml_collections import config_flags

from labor_jax.config import files, schema
from labor_jax.util import addresses, errors, malloc, stopping


def process(main: Callable[[Sequence[str]], int]) -> int:
    """Calls a `main(argv)` as the only one of this process; returns its exit status.

    A signal ends it in one line and in time. Where it failed, or is one of several, it waits
    `stopping.LEAVE` at most for the other processes of its run, which may go on.
    """
    faulthandler.enable()
    malloc.keep_freed()
    warnings.filterwarnings("ignore", module="PIL")  # it is told what cannot be read
    # Orbax and TFDS log every file, and the traceback of whatever they raise.
    logging.use_absl_handler()
    logging.set_verbosity(logging.FATAL)
    with stopping.in_time():
        status = errors.exit_status(lambda: main(sys.argv[1:]))
    if status:
        stopping.end_in_time(status)
    return status


def run(
    argv: Sequence[str],
    doc: str | None,
    define: Callable[[flags.FlagValues], None],
    do: Callable[..., int | None],
    positional: tuple[str, ...] = (),
) -> int:
    """Parses a command's flags and does what they ask for; or prints its help.

    Args:
      argv: what follows the command's name.
      doc: the command's docstring, its help.
      define: defines the flags.
      do: is called with their values, then with the positional arguments; it may return a status.
      positional: the names of the arguments that have no flag.
    Returns:
      The exit status: 0, what `do` returned, or that of the error or signal that was told.
    """

    def parse_and_do() -> int | None:
        values = flags.FlagValues()
        if {"--help", "-help", "-h"} & set(argv):
            define(values)
            print(describe(doc or "", values))
            return 0
        return do(values, *_parse(argv, values, define, positional))

    return errors.exit_status(parse_and_do)


def describe(doc: str, values: flags.FlagValues) -> str:
    """A command's help: its docstring, then its flags, in the order in which they are defined."""
    lines = [inspect.cleandoc(doc), "", "Flags:", ""]
    for name in values:
        flag = values[name]
        told = f"{flag.help} (default: {flag.default})" if flag.default else flag.help
        shown = f"--[no]{name}" if flag.boolean else f"--{name}"
        indent = " " * 24
        first = f"  {shown:<21} " if len(shown) <= 21 else f"  {shown}\n{indent}"
        lines.append(first + textwrap.fill(told, 76, subsequent_indent=indent))
    return "\n".join(lines)


class _Path(flags.ArgumentParser):
    """Parses a flag that is a path of this machine; an optional one may be empty."""

    def __init__(self, name: str, required: bool, bucket: bool) -> None:
        self._name, self._required, self._bucket = name, required, bucket

    def parse(self, argument: str) -> str:
        if not argument and not self._required:
            return argument
        if self._bucket and addresses.in_bucket(argument):
            return addresses.bucket_folder(argument, f"--{self._name}")
        return addresses.local(argument, f"--{self._name}")


def define_path(
    values: flags.FlagValues,
    name: str,
    default: str | None,
    about: str,
    required: bool = False,
    bucket: bool = False,
) -> None:
    """Defines a flag whose value is a path: `~` is home, and addresses are refused.

    Args:
      bucket: whether gs://BUCKET/FOLDER may be given as well.
    """
    parser = _Path(name, required, bucket)
    serializer: flags.ArgumentSerializer[str] = flags.ArgumentSerializer()
    flags.DEFINE(parser, name, default, about, values, serializer=serializer, required=required)


def define_config(
    values: flags.FlagValues, argv: Sequence[str], default: str | None = None, required: bool = True
) -> None:
    """Defines --config, whose keys --config.KEY=VALUE change.

    Args:
      argv: the command's arguments, in which ml_collections looks for such keys.
      default: the config where none is given.
      required: where there is no default, whether one must be given.
    """
    config_flags.DEFINE_config_file(
        "config",
        default and files.find(default),
        "NAME or PATH.py, with :VARIANT behind it if it has some; --config.KEY=VALUE changes a key",
        flag_values=values,
        sys_argv=_config_first(argv),
    )
    if required and not default:
        flags.mark_flag_as_required("config", values)


def _config_first(argv: Sequence[str]) -> list[str]:
    """The arguments with the last --config alone, and before all others.

    ml_collections wants it before the keys that it has, and would define the keys of each.
    """
    config, rest, left = [], [], list(argv)
    while left:
        name, equals, value = left.pop(0).partition("=")
        if name not in ("--config", "-config"):
            rest.append(f"{name}{equals}{value}")
        elif equals or left:
            config = [f"--config={value if equals else left.pop(0)}"]
        else:
            rest.append(name)  # without a value, as absl will say
    return config + rest


def _config_found(argv: Sequence[str], values: flags.FlagValues) -> list[str]:
    """The arguments with --config's file as `files.find` finds it.

    It is loaded here, too: ml_collections tells of a mistake in it by a traceback.
    """
    if "config" not in values:
        return list(argv)
    arguments = _config_first(argv)
    name, equals, value = arguments[0].partition("=") if arguments else ("", "", "")
    if name == "--config" and equals:
        files.load(value)
        arguments[0] = f"--config={files.find(value)}"
    return arguments


def _parse(
    argv: Sequence[str],
    values: flags.FlagValues,
    define: Callable[[flags.FlagValues], None],
    positional: tuple[str, ...],
) -> list[str]:
    """Defines and parses the flags; returns the positional arguments.

    Raises:
      UserError: the arguments are wrong.
    """
    try:
        define(values)  # parses a default config, which --config.KEY may not fit
        rest = values(["labor-jax", *_config_found(argv, values)])[1:]
    except flags.UnrecognizedFlagError as error:
        near = difflib.get_close_matches(error.flagname, list(values), 1, 0.7)
        hint = f"did you mean --{near[0]}?" if near else "--help lists those there are"
        raise errors.UserError(f"unknown flag --{error.flagname}; {hint}") from None
    except errors.UserError:
        raise
    except Exception as error:
        # ml_collections and Python's parser raise whatever a key or value leads to.
        raise errors.UserError(_plainly(error, argv)) from None
    if lacking := [name for n, name in enumerate(positional) if not "".join(rest[n : n + 1])]:
        raise errors.UserError(
            f"{lacking[0]} is missing; give {' '.join(positional)}, as --help tells"
        )
    if extra := rest[len(positional) :]:
        raise errors.UserError(f"unexpected {extra[0]!r}; flags are --name=value")
    return rest


PLAIN = (
    (r".*Flag --(\w+) must have a value other than None.*", r"--\1 is missing; give --\1=…"),
    (r"Missing value for flag --(\S+)", r"--\1 has no value; give --\1=…"),
    (r"invalid literal for int\(\) with base 10: (.*)", r"\1 is no whole number"),
    (r"could not convert string to float: (.*)", r"\1 is no number"),
    (r"\('Non-boolean argument to boolean flag', (.*)\)", r"\1 is neither true nor false"),
    (r'Did you mean "(\w+)" instead of "\w+"\?', r"did you mean '\1'?"),
)
"""What absl and ml_collections say of a mistake, and how it is told here."""


def _plainly(error: Exception, argv: Sequence[str]) -> str:
    """A mistake that absl or ml_collections found in a command's arguments, in one line."""
    detail: object = error  # an error may be another's only argument, whose text would be quoted
    while isinstance(detail, Exception) and detail.args:
        detail = detail.args[0]
    line = "; ".join(line.strip() for line in str(detail).splitlines() if line.strip())
    for theirs, ours in PLAIN:
        line = re.sub(theirs, ours, line)
    if not isinstance(error, AttributeError | KeyError):
        return line
    found = re.fullmatch(r"[\"']?(\w+)[\"']?", line)
    return f"unknown key {line}{_where(found[1], argv) if found else ''}"


def _where(name: str, argv: Sequence[str]) -> str:
    """Where a part of a key that there is not was given, and the key that is spelled most alike."""
    for argument in argv:
        key = argument.partition("=")[0].removeprefix("-").removeprefix("-config.")
        if name in key.split("."):
            near = difflib.get_close_matches(key, list(schema.settings()), 1, 0.7)
            hint = f"did you mean config.{near[0]}?" if near else "docs/settings.md lists all keys"
            return f" in --config.{key}; {hint}"
    return ""


def size(name: str, text: str | None) -> tuple[int, int] | None:
    """(height, width) of a flag's HEIGHTxWIDTH. Raises UserError if it is something else."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(re.fullmatch("[0-9]{1,5}", part) and int(part) for part in parts):
        raise errors.UserError(f"--{name}: {text!r} is no size; give HEIGHTxWIDTH, such as 360x480")
    return int(parts[0]), int(parts[1])


def finite(name: str, value: float) -> None:
    """Raises UserError unless a flag's number is finite; absl's bounds let nan pass."""
    if not math.isfinite(value):
        raise errors.UserError(f"--{name}: {value} is not finite; give a number")
