"""Runs LabOR, or resumes it.

python -m labor_jax.main --config=configs/toytown.py --workdir=runs/toytown
python -m labor_jax.main --config=configs/toytown.py:quick --workdir=runs/q --config.seed=1
"""

from absl import flags

from labor_jax.cli import program


def main() -> None:
    """Runs the config in the workdir and prints its table."""
    # After the flags: a mistyped one is told at once.
    from labor_jax.loop import schedule
    from labor_jax.report import summary
    from labor_jax.util import cache, hosts

    hosts.start(flags.FLAGS.distributed)
    cache.enable()
    values = schedule.run(_CONFIG.value, flags.FLAGS.workdir)
    if hosts.first():
        print(summary.table(values, flags.FLAGS.workdir))


if __name__ == "__main__":
    _CONFIG = program.define_config()
    flags.DEFINE_string("workdir", None, "the run's folder; running again goes on", required=True)
    flags.DEFINE_bool("distributed", None, "join the other processes of this run")
    program.run(main)
