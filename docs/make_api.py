"""Builds the API reference from the docstrings: `make docs`, or

python docs/make_api.py build/api
"""

import importlib
import pathlib
import pkgutil
import sys
import types
import warnings

import jax
import pdoc

import labor_jax


def packages() -> list[types.ModuleType]:
    """The packages inside labor_jax."""
    found = pkgutil.walk_packages(labor_jax.__path__, "labor_jax.")
    return [importlib.import_module(module.name) for module in found if module.ispkg]


def main(out: pathlib.Path) -> None:
    """Writes a page for each module of labor_jax, and a search index."""
    for name in labor_jax.__all__:
        setattr(labor_jax, name, getattr(labor_jax, name))  # pdoc looks without asking for them
    for package in [labor_jax, *packages()]:
        if hasattr(package, "__all__"):  # would hide the modules inside
            inside = {module.name for module in pkgutil.iter_modules(package.__path__)}
            package.__all__ = sorted({*package.__all__, *inside})
    jax.Array.__module__, jax.Array.__qualname__ = "jax", "Array"  # as users import it
    # An annotation of TensorFlow Datasets' that only its own type checker can read.
    warnings.filterwarnings("ignore", message="Error parsing type annotation")
    pdoc.render.configure(docformat="google", footer_text=f"labor_jax {labor_jax.__version__}")
    pdoc.pdoc("labor_jax", output_directory=out)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
