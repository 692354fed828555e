"""Runs LabOR, or resumes it.

    python -m labor_jax.main --config=configs/toytown.py --workdir=runs/toytown
    labor-jax run --config=toytown:quick --workdir=runs/q --config.seed=1

Both are the same. The same command goes on where a run stopped.
"""

from collections.abc import Sequence

from absl import flags

from labor_jax.cli import program


def main(argv: Sequence[str]) -> int:
    """Runs the config in the workdir and prints its table; returns the exit status."""
    return program.run(argv, __doc__, lambda values: define(values, argv), start)


def define(values: flags.FlagValues, argv: Sequence[str]) -> None:
    """Defines the flags of a run."""
    program.define_config(values, argv)
    program.define_path(
        values,
        "workdir",
        None,
        "the run's folder, or gs://BUCKET/FOLDER; running again goes on",
        required=True,
        bucket=True,
    )
    flags.DEFINE_bool(
        "distributed", None, "join the other processes of this run", flag_values=values
    )


def start(values: flags.FlagValues) -> None:
    """Runs what the flags say."""
    # After the flags: a mistyped one is told at once.
    from labor_jax.loop import schedule
    from labor_jax.report import summary
    from labor_jax.util import addresses, bucket, cache, hosts

    hosts.start(values.distributed)
    cache.enable()
    with hosts.losses_told():
        result = schedule.run(values.config, values.workdir)
    if hosts.first():
        workdir = values.workdir
        if addresses.in_bucket(workdir):
            workdir = bucket.working_folder(workdir)  # a browser opens no object of a bucket
        print(summary.table(result, workdir))
