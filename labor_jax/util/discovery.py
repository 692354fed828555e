"""Importing all modules of a package, so that what they define is registered."""

import importlib
import pkgutil


def import_all(package: str) -> None:
    """Imports the modules that lie directly in a package, in alphabetical order.

    Args:
      package: its full name, such as "labor_jax.models"; it is imported first.
    """
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        importlib.import_module(f"{package}.{module.name}")
