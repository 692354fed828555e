"""The scores of a segmenter on labelled images: mIoU and the IoU of each class."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ml_collections
import numpy as np

from labor_jax.data.domain import Domain
from labor_jax.data.labels import ClassTable
from labor_jax.infer import metrics, restore
from labor_jax.infer.batches import Batch, Infer, inferred
from labor_jax.util import hosts

__all__ = [
    "confusions",
    "evaluate",
]


def evaluate(
    predict: Infer,
    domain: Domain,
    table: ClassTable,
    config: ml_collections.ConfigDict,
    advance: Callable[[int], None] = lambda _: None,
    keep: Callable[[np.ndarray], None] = lambda _: None,
) -> dict[str, Any]:
    """mIoU and IoU of each class, in percent, at the labels' own resolution.

    Each process predicts its share of the images. All processes return the same scores.

    Args:
      predict: gives train ids.
      domain: the images; if they have no labels, every score is None.
      advance: called after each image with how many images of this process's share are done.
      keep: called with the confusion matrix [C, C] int64 of each of these images, in order.
    Returns:
      {"mIoU": float | None, "per_class_iou": {name: float | None}, "subsets": {name: float |
      None}}. The IoU of a class that occurs in neither truth nor prediction is None. The subsets
      are the table's, such as "mIoU16": the mean over these classes of the same predictions.
    """
    if domain.read_label is None:
        subsets = dict.fromkeys(name for name, _ in table.subsets)
        return {"mIoU": None, "per_class_iou": dict.fromkeys(table.names), "subsets": subsets}
    mine = domain.take(hosts.share(len(domain.ids)))
    counted = np.zeros((len(table), len(table)), np.int64)
    for done, of_image in enumerate(confusions(predict, mine, table, config), start=1):
        counted += of_image
        keep(of_image)
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
    predict: Infer, domain: Domain, table: ClassTable, config: ml_collections.ConfigDict
) -> Iterator[np.ndarray]:
    """The confusion matrix [C, C] int64 of each image of a labelled domain, in order.

    The arguments are those of `evaluate`.
    """
    read_label = domain.read_label
    assert read_label is not None

    def of_batch(batch: Batch) -> Sequence[np.ndarray]:
        return predict(batch.images, batch.canvas, batch.natives)

    size = restore.views(config)[-1]
    for index, predicted in inferred(domain, size, config.eval_batch_size, of_batch):
        yield metrics.confusion(predicted, read_label(index), len(table))


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)
