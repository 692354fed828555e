"""Lets people answer in a browser while a model learns from each answer.

    labor-jax live --config=camvid:frozen --workdir=runs/live --config.method=margin

Prints the address to open. The model is fitted again every few answers, and what it is least sure
of is asked next. Ctrl-C ends it at any time: every answer shown as saved is in the run's journal,
the newest model is saved, and the same command goes on. The folder is a run's: evaluate, predict
and export work on it.
"""

from collections.abc import Sequence

from absl import flags

from labor_jax.cli import annotate, program


def main(argv: Sequence[str]) -> int:
    """Serves the page and learns until it is interrupted; returns the exit status."""
    return program.run(argv, __doc__, lambda values: _define(values, argv), _start)


def _define(values: flags.FlagValues, argv: Sequence[str]) -> None:
    program.define_config(values, argv)
    program.define_path(
        values, "workdir", None, "the run's folder; running again goes on", required=True
    )
    annotate.define_server(values)


def _start(values: flags.FlagValues) -> None:
    from labor_jax.live import serving
    from labor_jax.util import cache

    annotate.check_host(values)
    cache.enable()
    serving.serve(
        values.config,
        values.workdir,
        values.host,
        values.port,
        values.annotator,
        values.in_frame,
        values.mode == "verify",
    )
