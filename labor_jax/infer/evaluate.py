"""Scores a run's segmenter on a labelled split.

labor-jax evaluate --workdir=runs/toytown --split=val
labor-jax evaluate --workdir=runs/toytown --scales=0.75,1,1.25 --flip
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

import ml_collections
import numpy as np
from absl import flags

from labor_jax.cli import program
from labor_jax.data.domain import Domain
from labor_jax.data.labels import ClassTable
from labor_jax.infer import metrics, restore
from labor_jax.infer.batches import inference_batches
from labor_jax.util import errors, hosts
from labor_jax.util.progress import show_progress

__all__ = [
    "Predict",
    "confusions",
    "evaluate",
]


Predict = Callable[[np.ndarray, tuple[int, int]], np.ndarray]


def evaluate(
    predict: Predict,
    domain: Domain,
    table: ClassTable,
    config: ml_collections.ConfigDict,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """mIoU and IoU of each class, in percent, at the labels' own resolution.

    Each process counts on its share of the images; all get the same scores.

    Args:
      predict: (images [B, h, w, 3] uint8, (H, W)) -> [B, H, W] uint8 train ids.
      domain: without labels, every score is None.
      advance: is told how many images of its share are done, after each.
    Returns:
      {"mIoU": float | None, "per_class_iou": {name: float | None}, "subsets": {name: float |
      None}}; a class that occurs in neither truth nor prediction is None. Subsets are the table's,
      such as "mIoU16": the mean over exactly these classes of the same predictions.
    """
    if domain.read_label is None:
        subsets = dict.fromkeys(name for name, _ in table.subsets)
        return {"mIoU": None, "per_class_iou": dict.fromkeys(table.names), "subsets": subsets}
    mine = domain.take(hosts.share(len(domain.ids)))
    counted = np.zeros((len(table), len(table)), np.int64)
    for done, of_image in enumerate(confusions(predict, mine, table, config), start=1):
        counted += of_image
        advance(done)
    confusion = hosts.total(counted)
    ious = metrics.per_class_iou(confusion)
    return {
        "mIoU": _rounded(metrics.mean_of(ious)),
        "per_class_iou": {
            n: _rounded(iou) for n, iou in zip(table.names, ious.tolist(), strict=True)
        },
        "subsets": {n: _rounded(metrics.mean_of(ious[list(ids)])) for n, ids in table.subsets},
    }


def confusions(
    predict: Predict, domain: Domain, table: ClassTable, config: ml_collections.ConfigDict
) -> Iterator[np.ndarray]:
    """The confusion [C, C] int64 of each image of a labelled domain, in order; as `evaluate`."""
    read_label = domain.read_label
    assert read_label is not None
    for indices, size, images in inference_batches(
        domain, restore.views(config)[-1], config.eval_batch_size
    ):
        for index, predicted in zip(indices, predict(images, size), strict=True):
            yield metrics.confusion(predicted, read_label(index), len(table))


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)


def main() -> None:
    """Prints the scores of a run."""
    if os.path.isfile(flags.FLAGS.workdir):
        raise errors.UserError("--workdir: a file names no images to score on; give the run's DIR")
    run = restore.from_flags()
    split = flags.FLAGS.split
    domain = run.load_domain({"val": "val", "train": "target", "source": "source"}[split])
    if domain.read_label is None:
        raise errors.UserError(f"--split={split}: {domain.name} has no labels to score with")
    with show_progress("evaluate", 0, len(domain.ids), "image") as progress:
        scores = evaluate(run.predict, domain, run.table, run.config, progress.advance)
    print(
        f"{flags.FLAGS.workdir} after {run.step} steps on {domain.name}, {len(domain.ids)} images"
    )
    means = {"mIoU": scores["mIoU"]} | scores["subsets"]
    for name, score in (scores["per_class_iou"] | means).items():
        print(f"  {name:<14} {'  n/a' if score is None else f'{score:5.1f}'}")


if __name__ == "__main__":
    restore.define_flags()
    flags.DEFINE_enum("split", "val", ["val", "train", "source"], "val, target train, or source")
    program.run(main)
