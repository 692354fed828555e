"""What registries share: importing the modules that register, and keeping names apart."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any

from labor_jax.util.errors import UserError


def import_all(package: str) -> None:
    """Imports the modules that lie directly in a package, in alphabetical order.

    Args:
      package: its full name, such as "labor_jax.models"; it is imported first.
    """
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")


def keep_apart(
    kind: str, name: str, first: Callable[..., Any] | None, second: Callable[..., Any]
) -> None:
    """Refuses a name that another module has registered; the same module may do it again.

    Args:
      kind: what is registered, for the message.
      first: a function of what has the name already; None where nothing has.
      second: the same function of what would get it.
    Raises:
      UserError: the functions are of two modules.
    """
    if first is None:
        return
    modules = [getattr(f, "func", f).__module__ for f in (first, second)]  # partials have none
    if modules[0] != modules[1]:
        raise UserError(
            f"{kind} {name!r} is registered by {' and by '.join(modules)}; rename one of the two"
        )
