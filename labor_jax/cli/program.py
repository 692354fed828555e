"""How every program reads its flags and ends: a mistake is one line and exit status 2."""

import difflib
import functools
import re
from collections.abc import Callable

from absl import app, flags, logging
from ml_collections import config_flags

from labor_jax.config import files
from labor_jax.util import errors, stopping

flags.disclaim_key_flags()  # --help of a program tells what is defined here on its behalf


def run(main: Callable[..., None], positional: tuple[str, ...] = ()) -> None:
    """Parses the flags, then runs `main`; users' errors and signals end in one line.

    positional: the names of the arguments that `main` takes and that have no flag.
    """

    def quietly(argv: list[str]) -> None:
        # Orbax and TFDS tell of every file, and log the traceback of whatever they raise.
        logging.set_verbosity(logging.FATAL)
        with stopping.in_time():
            errors.exit_on_user_error(main)(*argv[1:])

    app.run(quietly, flags_parser=functools.partial(_parse, positional))


def define_config(default: str | None = None) -> flags.FlagHolder:
    """--config, whose keys --config.KEY change; needed where there is no default."""
    found = default and files.find(default)
    holder = config_flags.DEFINE_config_file("config", found, "NAME, or PATH.py, [:VARIANT]")
    if not default:
        flags.mark_flag_as_required("config")
    return holder


def _config_found(argv: list[str]) -> list[str]:
    """The arguments with --config's file as `files.find` finds it.

    It is loaded here, too: ml_collections tells of a mistake in it by a traceback.
    """
    if "config" not in flags.FLAGS:
        return argv
    found = []
    for before, argument in zip(["", *argv], argv, strict=False):
        name, equals, value = argument.partition("=")
        if before in ("--config", "-config"):
            files.load(argument)
            argument = files.find(argument)
        elif name in ("--config", "-config") and equals:
            files.load(value)
            argument = f"{name}={files.find(value)}"
        found.append(argument)
    return found


@errors.exit_on_user_error
def _parse(positional: tuple[str, ...], argv: list[str]) -> list[str]:
    try:
        rest = flags.FLAGS(_config_found(argv))
    except flags.UnrecognizedFlagError as error:
        near = difflib.get_close_matches(error.flagname, list(flags.FLAGS), 1)
        hint = f"did you mean --{near[0]}?" if near else "--help lists those there are"
        raise errors.UserError(f"unknown flag --{error.flagname}; {hint}") from None
    except (flags.Error, AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        # ml_collections raises the last five for a key or value that does not fit the config.
        detail = error  # an error may be another's only argument, whose text would be quoted
        while isinstance(detail, Exception) and detail.args:
            detail = detail.args[0]
        text = str(detail).splitlines()
        line = "; ".join(line.strip() for line in text if line.strip())
        if lacks := re.search(r"Flag --(\w+) must have a value other than None", line):
            raise errors.UserError(f"--{lacks[1]} is missing; give --{lacks[1]}=…") from None
        unknown = "unknown key " if isinstance(error, AttributeError | KeyError) else ""
        line = re.sub(r'Did you mean "(\w+)" instead of "\w+"\?', r"did you mean '\1'?", line)
        raise errors.UserError(f"{unknown}{line}") from None
    if lacking := positional[len(rest) - 1 :]:
        raise errors.UserError(f"{lacking[0]} is missing; give {' '.join(positional)}")
    if extra := rest[1 + len(positional) :]:
        raise errors.UserError(f"unexpected {extra[0]!r}; flags are --name=value")
    return rest


def size(name: str, text: str | None) -> tuple[int, int] | None:
    """(height, width) of a flag's HEIGHTxWIDTH. Raises UserError if it is something else."""
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) for part in parts):
        raise errors.UserError(f"--{name}: {text!r} is no size; give HEIGHTxWIDTH, such as 360x480")
    return int(parts[0]), int(parts[1])
