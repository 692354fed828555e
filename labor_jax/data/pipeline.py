"""The input pipeline. The batch of a step is a function of (seed, step).

A resumed run therefore needs no saved position. Grain shuffles, augments and batches by index, and
each process computes its own rows of a batch.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import grain
import jax
import ml_collections
import numpy as np

from labor_jax.data import rare_classes, transforms
from labor_jax.data.domain import Domain
from labor_jax.data.labels import IGNORE
from labor_jax.util import rng

__all__ = [
    "ReadLabel",
    "batches",
    "read_ahead",
]


ReadLabel = Callable[[int], np.ndarray | None]
"""The label map [H, W] uint8 of an image by index; None where it has no label."""

LARGEST_ROW = 2**62
"""More rows than any run has."""


def _stream(
    domain: Domain,
    read_label: ReadLabel | None,
    config: ml_collections.ConfigDict,
    name: str,
    last: int,
) -> grain.MapDataset:
    """This process's rows of the first `last` batches.

    Each batch is {"image": [B, H, W, 3] uint8, "label": [B, H, W] uint8}; a label is 255 where
    there is none. Where the domain has features, a tuple of levels takes the images' place, nothing
    is varied, and there are no labels: what learns from labels is fitted as a whole, not by steps.
    Each cell of the features then counts as a pixel.
    """

    size = transforms.full_size(config.input, name)
    keep_colours = transforms.keeps_colours(config, name)

    def view(index: int, random: np.random.Generator) -> dict[str, Any]:
        if domain.features is not None:
            levels = domain.features.read(index)
            return {"image": levels, "label": np.full(levels[0].shape[:2], IGNORE, np.uint8)}
        label = read_label(index) if read_label else None
        image = domain.read_image(index)
        if label is None:
            label = np.full(image.shape[:2], IGNORE, np.uint8)
        return transforms.augment(random, image, label, config.input, size, keep_colours)

    views = _order(domain, config, name).random_map(view)
    share = config.batch_size // jax.process_count()

    def mine(index: int) -> dict[str, np.ndarray]:
        """This process's row: the one that its devices would get if there were one process."""
        batch, row = divmod(index, share)
        return views[batch * config.batch_size + jax.process_index() * share + row]

    return grain.MapDataset.range(last * share).map(mine).batch(share)


def _order(domain: Domain, config: ml_collections.ConfigDict, name: str) -> grain.MapDataset:
    """The images of all rows, by index: shuffled anew each epoch, or drawn for rare classes."""
    seed = rng.integer(config.seed, name)
    if name == "source" and config.input.rare_classes:
        assert domain.pixels is not None, "`rare_classes.counted` has counted them"
        drawn = rare_classes.image_of_row(domain.pixels, config.input.rare_classes, config.seed)
        return grain.MapDataset.range(LARGEST_ROW).map(drawn).seed(seed)
    return (
        grain.MapDataset.range(len(domain.ids))
        .seed(seed)
        .shuffle()
        .repeat()
        # Keeps all. Grain derives the seed of each stage from the stage before it, so leaving
        # this one out would change every augmentation.
        .slice(slice(0, None))
    )


def read_ahead(config: ml_collections.ConfigDict) -> int:
    """How many batches of a domain are made before a step has asked for them, if it has so many."""
    return 2 * config.input.threads


@contextlib.contextmanager
def batches(
    source: Domain,
    target: Domain,
    read_target_label: ReadLabel | None,
    config: ml_collections.ConfigDict,
    first: int,
    last: int,
) -> Iterator[Iterator[dict[str, dict[str, np.ndarray]]]]:
    """The batches of steps `first` to `last`, prefetched by threads.

    Args:
      source: the labelled domain; without images, batches have no "source". It has `pixels` where
        `config.input.rare_classes` is not 0.
      target: the unlabelled domain; if it has labels, they are not read.
      read_target_label: the labels that annotators gave for the target; None before there are any.
    Yields:
      An iterator of {"source", "target"}: {"image": [B, H, W, 3] uint8, "label": [B, H, W] uint8};
      with a teacher the target also has "inside", see `transforms.augment`.
    """
    options = grain.ReadOptions(
        num_threads=config.input.threads, prefetch_buffer_size=read_ahead(config)
    )
    streams = {"target": _stream(target, read_target_label, config, "target", last)}
    if source.ids:
        of_source = _stream(source, source.read_label, config, "source", last)
        streams = {"source": of_source} | streams
    with contextlib.ExitStack() as stack:
        iterators = []
        for stream in streams.values():
            iterators.append(iter(stream[first:last].to_iter_dataset(options)))
            stack.callback(iterators[-1].close)
        yield (dict(zip(streams, rows, strict=True)) for rows in zip(*iterators, strict=True))
