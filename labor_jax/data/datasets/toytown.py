"""Toytown as a TFDS data set: two towns, each split into scenes to train and to validate on."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from labor_jax.data.builders import base
from labor_jax.data.toytown import workers

LOOK_AND_SEED = {
    "source_train": ("source", 0),
    "source_val": ("source", 1),
    "target_train": ("target", 2),
    "target_val": ("target", 3),
}


@dataclasses.dataclass(kw_only=True)
class ToytownConfig(tfds.core.BuilderConfig):
    """How large the scenes are, and how many each split has, in the order of `LOOK_AND_SEED`."""

    width: int
    height: int
    counts: tuple[int, int, int, int] = (400, 50, 200, 100)


class Toytown(base.Builder):
    """Procedural street scenes: `source` is game-like, `target` is another town and camera."""

    VERSION = tfds.core.Version("1.4.0")
    table = "camvid"
    BUILDER_CONFIGS = [  # noqa: RUF012
        ToytownConfig(name="160x120", width=160, height=120),
        ToytownConfig(name="240x180", width=240, height=180),
        ToytownConfig(name="480x360", width=480, height=360),
        ToytownConfig(name="80x60", width=80, height=60, counts=(300, 8, 100, 100)),
        ToytownConfig(name="tiny", width=64, height=48, counts=(24, 8, 12, 8)),
    ]

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[base.Sample]]:
        counts = self.builder_config.counts
        return {
            split: self._generate_examples(split, count)
            for split, count in zip(LOOK_AND_SEED, counts, strict=True)
        }

    def _generate_examples(self, split: str, count: int) -> Iterator[base.Sample]:
        config = self.builder_config
        scenes = workers.render_many(*LOOK_AND_SEED[split], count, config.height, config.width)
        for index, (image, label) in enumerate(base.track(scenes, count, f"drawing {split}")):
            yield self.sample(f"{split}_{index:04d}", base.png(image), label)
