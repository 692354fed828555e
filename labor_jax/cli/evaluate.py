"""Scores a run's segmenter on a labelled split.

    labor-jax evaluate --workdir=runs/toytown --split=val
    labor-jax evaluate --workdir=runs/toytown --scales=0.75,1,1.25 --flip

Prints the IoU of each class and the mIoU, in percent, at the labels' own resolution.
"""

import os
import sys
from collections.abc import Sequence

from absl import flags

from labor_jax.cli import program, segmenter
from labor_jax.util import errors

DOMAINS = {"val": "val", "train": "target", "source": "source"}
"""The key of the config's domain for each split."""


def main(argv: Sequence[str]) -> int:
    """Prints the scores of a run; returns the exit status."""

    def define(values: flags.FlagValues) -> None:
        segmenter.define(values)
        told = "val, the target's images, or source"
        flags.DEFINE_enum("split", "val", list(DOMAINS), told, flag_values=values)

    return program.run(argv, __doc__, define, _evaluate)


def _evaluate(values: flags.FlagValues) -> None:
    from labor_jax.infer.evaluate import evaluate
    from labor_jax.util.progress import show_progress

    if os.path.isfile(values.workdir):
        raise errors.UserError("--workdir: a file names no images to score on; give the run's DIR")
    run = segmenter.restore(values)
    domain = run.load_domain(DOMAINS[values.split])
    if not domain.ids:
        raise errors.UserError(f"--split={values.split}: this run has no {values.split}; give val")
    if domain.read_label is None:
        raise errors.UserError(f"--split={values.split}: {domain.name} has no labels to score with")
    with show_progress("evaluate", 0, len(domain.ids), "image") as progress:
        scores = evaluate(run.predict, domain, run.table, run.config, progress.advance)
    for line in domain.tally.told() if domain.tally else ():
        print(line, file=sys.stderr)
    print(f"{values.workdir} after {run.step} steps on {domain.name}, {len(domain.ids)} images")
    means = {"mIoU": scores["mIoU"]} | scores["subsets"]
    for name, score in (scores["per_class_iou"] | means).items():
        print(f"  {name:<14} {'  n/a' if score is None else f'{score:5.1f}'}")
