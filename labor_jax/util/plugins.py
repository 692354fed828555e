"""Modules of a user's own, which register strategies, losses, backbones or data sets."""

import importlib
from collections.abc import Iterable

from labor_jax.util.errors import UserError

__all__ = ["load"]


def load(modules: Iterable[str]) -> None:
    """Imports the modules of `config.plugins`; what they register is known from then on.

    Raises:
      UserError: there is no such module, or it fails, or another one has registered its names.
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except UserError as error:  # what it registers is refused
            raise UserError(f"config.plugins: {name!r}: {error}") from None
        except Exception as error:  # whatever a user's Python may raise
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(
                f"config.plugins: {name!r} cannot be imported ({said}); "
                f"give modules that Python finds, such as a file in this folder without its .py"
            ) from error
