"""Toytown as a TFDS data set: two towns, each split into scenes to train and to validate on."""

import concurrent.futures
import dataclasses
import functools
import multiprocessing
import os
from collections.abc import Iterator

import tensorflow_datasets as tfds

from labor_jax.data import toytown
from labor_jax.data.builders import base

LOOK_AND_SEED = {
    "source_train": ("source", 0),
    "source_val": ("source", 1),
    "target_train": ("target", 2),
    "target_val": ("target", 3),
}

WORTH_PROCESSES = 100
"""Scenes from which on starting processes pays."""


@dataclasses.dataclass(kw_only=True)
class ToytownConfig(tfds.core.BuilderConfig):
    """How large the scenes are, and how many each split has, in the order of `LOOK_AND_SEED`."""

    width: int
    height: int
    counts: tuple[int, int, int, int] = (400, 50, 200, 100)


class Toytown(tfds.core.GeneratorBasedBuilder):
    """Procedural street scenes: `source` is game-like, `target` is another town and camera."""

    VERSION = tfds.core.Version("1.2.0")
    BUILDER_CONFIGS = [  # noqa: RUF012
        ToytownConfig(name="160x120", width=160, height=120),
        ToytownConfig(name="240x180", width=240, height=180),
        ToytownConfig(name="480x360", width=480, height=360),
        ToytownConfig(name="tiny", width=64, height=48, counts=(24, 8, 12, 8)),
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(builder=self, features=base.features(), disable_shuffling=True)

    def _split_generators(self, dl_manager) -> dict[str, Iterator]:
        counts = self.builder_config.counts
        return {
            split: self._generate_examples(split, count)
            for split, count in zip(LOOK_AND_SEED, counts, strict=True)
        }

    def _generate_examples(self, split: str, count: int) -> Iterator[tuple[int, dict]]:
        config = self.builder_config
        scenes = render_all(*LOOK_AND_SEED[split], count, config.height, config.width)
        for index, (image, label) in enumerate(base.track(scenes, count, f"drawing {split}")):
            yield index, {"id": f"{split}_{index:04d}", "image": image, "label": label}


def render_png(look: str, seed: int, height: int, width: int, index: int) -> tuple[bytes, bytes]:
    """Image and label of one scene as PNG bytes."""
    image, label = toytown.render(look, seed, index, height, width)
    return base.png(image), base.png(label)


def render_all(
    look: str, seed: int, count: int, height: int, width: int
) -> Iterator[tuple[bytes, bytes]]:
    """Every scene in order, drawn by all cores where processes can be started."""
    draw = functools.partial(render_png, look, seed, height, width)
    done = 0
    if count >= WORTH_PROCESSES:
        try:
            # Spawned, because forking a process in which JAX runs threads can hang.
            with concurrent.futures.ProcessPoolExecutor(
                os.cpu_count(), multiprocessing.get_context("spawn")
            ) as pool:
                for scene in pool.map(draw, range(count), chunksize=8):
                    yield scene
                    done += 1
        except (concurrent.futures.process.BrokenProcessPool, OSError, AssertionError):
            pass  # no processes here (inside a worker, a sandbox): go on alone, where it stopped
    yield from map(draw, range(done, count))
