"""Compares ways to ask at an equal price: runs what is missing, then writes one page.

    labor-jax compare --config=configs/toytown.py --workdir=runs/compare \\
        --methods=random,labor_ppl,labor_spl --budgets=40points,2.2%,100clicks --seeds=3

A budget is what an image may cost over all stages. source_only, uda and full are run for each seed
besides. A config with a protocol, such as configs/protocols/camvid.py, says what is compared, and
flags change it. DIR gets a folder for each run, such as labor_ppl-40points-seed0, which run,
evaluate and predict take as their own, and compare.html and compare.md. The same command goes on
where it stopped; more methods, budgets, seeds or --errors add what they lack.
"""

from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from labor_jax.cli import program
from labor_jax.config import files
from labor_jax.config.protocol import Protocol, one_cost
from labor_jax.util.errors import UserError


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
        "methods that ask; the first is the baseline (default: the protocol's)",
        flag_values=values,
    )
    flags.DEFINE_list(
        "budgets",
        None,
        "an image's: 40points, 100clicks, 2.2% or 60seconds (default: the protocol's)",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "seeds",
        None,
        "how many runs of each, with seeds 0, 1, ... (default: the protocol's, or 3)",
        1,
        10_000,
        flag_values=values,
    )
    flags.DEFINE_list(
        "errors",
        None,
        "shares of wrong answers; what asks is run with each (default: the protocol's, or 0)",
        flag_values=values,
    )
    flags.DEFINE_float(
        "seconds_per_click",
        None,
        "what a click of any kind is taken to cost (default: the protocol's, or 2)",
        0,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "examples", 3, "images on which the page shows queries", 0, flag_values=values
    )


def _compare(values: flags.FlagValues) -> None:
    from labor_jax.compare import run
    from labor_jax.util import cache

    name = config_flags.get_config_filename(values["config"])
    asked = run.Asked(name, _protocol(name, values), values.examples)
    cache.enable()
    print(f"open {run.run(values.config, values.workdir, asked)}")


def _protocol(name: str, values: flags.FlagValues) -> Protocol:
    """The config's protocol with what the flags say.

    Raises:
      UserError: there is none, and a flag without a default is missing.
    """
    given = {key: getattr(values, key) for key in ("methods", "budgets", "seeds", "errors")}
    given = {key: value for key, value in given.items() if value is not None}
    if values.seconds_per_click is not None:
        program.finite("seconds_per_click", values.seconds_per_click)
        given["costs"] = one_cost(values.seconds_per_click)
    if protocol := files.protocol(name):
        return protocol._replace(**given)
    for key in ("methods", "budgets"):
        if key not in given:
            raise UserError(f"--{key} is missing; give --{key}=…, or a config with a protocol")
    return Protocol(**given)
