"""How every program reads its flags and ends: a mistake is one line and exit status 2."""

import difflib
import functools
from collections.abc import Callable

from absl import app, flags, logging

from labor_jax import errors, stopping


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


@errors.exit_on_user_error
def _parse(positional: tuple[str, ...], argv: list[str]) -> list[str]:
    try:
        rest = flags.FLAGS(argv)
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
        unknown = "unknown key " if isinstance(error, AttributeError | KeyError) else ""
        raise errors.UserError(f"{unknown}{line}") from None
    if lacking := positional[len(rest) - 1 :]:
        raise errors.UserError(f"{lacking[0]} is missing; give {' '.join(positional)}")
    if extra := rest[1 + len(positional) :]:
        raise errors.UserError(f"unexpected {extra[0]!r}; flags are --name=value")
    return rest
