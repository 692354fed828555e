"""Toytown: two towns, each with scenes to train and to validate on, drawn when first used."""

import functools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from labor_jax.data.dataset import DataSet, Sample, png, register, sample, track
from labor_jax.data.toytown import workers

LOOK_AND_SEED = {
    "source_train": ("source", 0),
    "source_val": ("source", 1),
    "target_train": ("target", 2),
    "target_val": ("target", 3),
}


class Size(NamedTuple):
    """How large the scenes are, and how many each split has, in the order of `LOOK_AND_SEED`.

    Other towns have as many as the target.
    """

    width: int
    height: int
    counts: tuple[int, int, int, int] = (400, 50, 200, 100)


SIZES = {
    "160x120": Size(160, 120),
    "240x180": Size(240, 180),
    "480x360": Size(480, 360),
    "80x60": Size(80, 60, (300, 8, 100, 100)),
    "tiny": Size(64, 48, (24, 8, 12, 8)),
}


def make(
    splits: Mapping[str, tuple[str, int]], size: str, _: str = ""
) -> dict[str, Iterator[Sample]]:
    """The scenes of each split.

    Args:
      splits: the look and the seed of each.
      size: a key of `SIZES`.
    """
    counts = SIZES[size].counts[-len(splits) :]
    return {
        split: scenes(split, look, seed, count, SIZES[size])
        for (split, (look, seed)), count in zip(splits.items(), counts, strict=True)
    }


def scenes(split: str, look: str, seed: int, count: int, size: Size) -> Iterator[Sample]:
    """The first `count` scenes of a split."""
    drawn = workers.render_many(look, seed, count, size.height, size.width)
    for index, (image, label) in enumerate(track(drawn, count, f"drawing {split}")):
        yield sample(f"{split}_{index:04d}", png(image), label)


def drawn(name: str, version: str, about: str, splits: Mapping[str, tuple[str, int]]) -> DataSet:
    """A data set of scenes in all sizes; `splits` as in `make`."""
    return DataSet(
        name=name,
        version=version,
        about=about,
        licence="drawn by labor_jax, free to use",
        table="camvid",
        sizes=tuple(SIZES),
        native=tuple((size.height, size.width) for size in SIZES.values()),
        make=functools.partial(make, splits),
    )


register(
    drawn(
        "toytown",
        "1.4.0",
        "Procedural street scenes: `source` is game-like, `target` is another town and camera.",
        LOOK_AND_SEED,
    )
)
