"""Runs LabOR on two drawn towns: nothing to download; --quick takes seconds.

    labor-jax demo
    labor-jax demo --quick --config.method=labor_ppl

It is `labor-jax run` with --config=toytown:frozen and --workdir=runs/toytown where these are not
given; with --quick, with toytown:quick and runs/toytown-quick.
"""

from collections.abc import Sequence

from absl import flags

from labor_jax.cli import program, run


def main(argv: Sequence[str]) -> int:
    """Runs the demo; returns the exit status."""
    argv = with_defaults(argv)

    def define(values: flags.FlagValues) -> None:
        flags.DEFINE_bool("quick", False, "a run of seconds", flag_values=values)
        run.define(values, argv)

    return program.run(argv, __doc__, define, run.start)


def with_defaults(argv: Sequence[str]) -> list[str]:
    """The demo's arguments, with its config and its folder before them if they have none."""
    quick = "--quick" in argv
    ours = {
        "--config": "toytown:quick" if quick else "toytown:frozen",
        "--workdir": "runs/toytown-quick" if quick else "runs/toytown",
    }
    given = {argument.partition("=")[0] for argument in argv}
    return [f"{name}={value}" for name, value in ours.items() if name not in given] + list(argv)
