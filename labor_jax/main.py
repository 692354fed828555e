"""`python -m labor_jax.main --config=… --workdir=…`: the same as `labor-jax run`."""

import sys

from labor_jax.cli import program
from labor_jax.cli.run import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(program.process(main))
