"""Toytown: two towns, each with scenes to train and to validate on, drawn when first used."""

from collections.abc import Iterator
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
    """How large the scenes are, and how many each split has, in the order of `LOOK_AND_SEED`."""

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


def make(size: str, _: str) -> dict[str, Iterator[Sample]]:
    """The scenes of each split."""
    counts = SIZES[size].counts
    return {
        split: scenes(split, count, SIZES[size])
        for split, count in zip(LOOK_AND_SEED, counts, strict=True)
    }


def scenes(split: str, count: int, size: Size) -> Iterator[Sample]:
    """The first `count` scenes of a split."""
    drawn = workers.render_many(*LOOK_AND_SEED[split], count, size.height, size.width)
    for index, (image, label) in enumerate(track(drawn, count, f"drawing {split}")):
        yield sample(f"{split}_{index:04d}", png(image), label)


register(
    DataSet(
        name="toytown",
        version="1.4.0",
        about="Procedural street scenes: `source` is game-like, `target` is another town and "
        "camera.",
        licence="drawn by labor_jax, free to use",
        table="camvid",
        sizes=tuple(SIZES),
        native=tuple((size.height, size.width) for size in SIZES.values()),
        make=make,
    )
)
