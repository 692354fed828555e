"""What every builder shares: samples, how they are written to disk, and progress."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
import rich.console
import rich.progress
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter

from labor_jax.data import labels


class Sample(NamedTuple):
    """One example as it is stored.

    Attributes:
      id: unique in its split, safe as a relative path without suffix.
      image: the bytes of a PNG or JPEG.
      label: the bytes of a PNG of train ids.
      pixels: [num_classes + 1] int64 pixels of each class, void last.
    """

    id: str
    image: bytes
    label: bytes
    pixels: np.ndarray


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """A data set of images and train ids; `_generate_examples` yields its samples in order.

    `info.metadata` has what would else cost reading everything: "ids" and "pixels" by split.

    Attributes:
      table: the name of its classes in `labels.TABLES`.
      homepage: where it is described, "" for none.
    """

    table: str
    homepage = ""

    def check(self, manual_dir: str) -> None:
        """Raises UserError if files to make it from are missing or unfit."""

    def sample(self, name: str, image: bytes, label: np.ndarray) -> Sample:
        """A sample of an image as it is stored upstream and its train ids [H, W] uint8."""
        num_classes = len(labels.TABLES[self.table])
        return Sample(name, image, png(label), labels.count(label, num_classes))

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "id": tfds.features.Text(),
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            features=features,
            homepage=self.homepage or None,
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(ids={}, pixels={}),
        )

    def _generate_splits(self, dl_manager: Any, download_config: Any) -> list[tfds.core.SplitInfo]:
        """In place of TFDS's, which beyond 1 GB needs TensorFlow and a split's size in memory."""
        splits = self._split_generators(dl_manager)
        return [self._write(split, samples) for split, samples in splits.items()]

    def _write(self, split: str, samples: Iterator[Sample]) -> tfds.core.SplitInfo:
        """Streams a split's samples to one file."""
        template = self._get_filename_template(split)
        path = template.sharded_filepath(shard_index=0, num_shards=1)
        ids, num_bytes = [], 0
        pixels = np.zeros(len(labels.TABLES[self.table]) + 1, np.int64)
        # PNG and JPEG are compressed already.
        with contextlib.closing(ArrayRecordWriter(str(path), "group_size:1,uncompressed")) as file:
            for sample in samples:
                example = {"id": sample.id, "image": sample.image, "label": sample.label}
                record = self.info.features.serialize_example(example)
                file.write(record)
                ids.append(sample.id)
                pixels += sample.pixels
                num_bytes += len(record)
        self.info.metadata["ids"][split] = ids
        self.info.metadata["pixels"][split] = pixels.tolist()
        return tfds.core.SplitInfo(
            name=split, shard_lengths=[len(ids)], num_bytes=num_bytes, filename_template=template
        )


def png(pixels: np.ndarray) -> bytes:
    """Lossless bytes of an image [H, W, 3] uint8 RGB or a label [H, W] uint8."""
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", pixels)[1].tobytes()


def decoded(data: bytes, flags: int) -> np.ndarray:
    """The pixels of what `png` made, or of another image; `flags` and channels are OpenCV's."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise ValueError("no whole image")
    return pixels


def track(items: Iterable, total: int, what: str) -> Iterator:
    """The items, with how many are done and the time left on a terminal's stderr."""
    console = rich.console.Console(stderr=True)
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as progress:
        yield from progress.track(items, total, description=what)
