"""Compares ways to ask at an equal price: runs what is missing, then writes one page.

    labor-jax compare --config=configs/toytown.py --workdir=runs/compare \\
        --methods=random,labor_ppl,labor_spl --budgets=40points,2.2%,100clicks --seeds=3

A budget is what an image may cost over all stages. source_only, uda and full are run for each seed
besides. DIR gets a folder for each run, such as labor_ppl-40points-seed0, which run, evaluate and
predict take as their own, and compare.html and compare.md. The same command goes on where it
stopped; more methods, budgets, seeds or --errors add what they lack.
"""

from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from labor_jax.cli import program


def main(argv: Sequence[str]) -> int:
    """Runs the cells and says where the page is; returns the exit status."""

    def define(values: flags.FlagValues) -> None:
        program.define_config(values, argv)
        _define(values)

    return program.run(argv, __doc__, define, _compare)


def _define(values: flags.FlagValues) -> None:
    program.define_path(values, "workdir", None, "the folder of all runs", required=True)
    flags.DEFINE_list(
        "methods",
        None,
        "methods that ask; the first is the baseline",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_list(
        "budgets",
        None,
        "an image's: 40points, 100clicks or 2.2%",
        required=True,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "seeds", 3, "how many runs of each, with seeds 0, 1, ...", 1, 10_000, flag_values=values
    )
    flags.DEFINE_list(
        "errors", ["0"], "shares of wrong answers; what asks is run with each", flag_values=values
    )
    flags.DEFINE_float(
        "seconds_per_click", 2.0, "what a click is taken to cost", 0, flag_values=values
    )
    flags.DEFINE_integer(
        "examples", 3, "images on which the page shows queries", 0, flag_values=values
    )


def _compare(values: flags.FlagValues) -> None:
    from labor_jax.compare import run
    from labor_jax.util import cache

    program.finite("seconds_per_click", values.seconds_per_click)
    cache.enable()
    page = run.run(
        values.config,
        values.workdir,
        run.Asked(
            name=config_flags.get_config_filename(values["config"]),
            methods=values.methods,
            budgets=values.budgets,
            seeds=values.seeds,
            errors=values.errors,
            seconds_per_click=values.seconds_per_click,
            examples=values.examples,
        ),
    )
    print(f"open {page}")
