"""Builds the API reference from the docstrings: `make docs`, or

python docs/make_api.py build/api
"""

import pathlib
import sys
import warnings

import jax
import pdoc


def main(out: pathlib.Path) -> None:
    """Writes a page for each module of labor_jax, and a search index."""
    jax.Array.__module__, jax.Array.__qualname__ = "jax", "Array"  # as users import it
    # An annotation of TensorFlow Datasets' that only its own type checker can read.
    warnings.filterwarnings("ignore", message="Error parsing type annotation")
    pdoc.render.configure(docformat="google", footer_text="labor_jax", show_source=True)
    pdoc.pdoc("labor_jax", output_directory=out)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
