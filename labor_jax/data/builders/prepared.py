"""Prepares TFDS data sets and reads them by index, without TensorFlow."""

import contextlib
import errno
import functools
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import cv2
import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter

from labor_jax.data import dataset, labels
from labor_jax.data.dataset import DataSet, Sample, decoded
from labor_jax.data.domain import Domain
from labor_jax.data.labels import ClassTable
from labor_jax.util import addresses, bucket, outputs
from labor_jax.util.errors import UserError
from labor_jax.util.lock import one_at_a_time

INFO = "dataset_info.json"
"""The file without which a data set is not complete."""


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes a `DataSet` in TFDS's format; `_builder_of` makes its subclasses.

    `info.metadata` has "ids" and "pixels" by split, which would else need every image to be read.
    """

    data_set: DataSet

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
            description=self.data_set.about,
            features=features,
            homepage=self.data_set.homepage or None,
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(ids={}, pixels={}),
        )

    def _split_generators(self, dl_manager: Any) -> Mapping[str, Iterable[Sample]]:
        manual_dir = str(dl_manager.manual_dir) if self.data_set.download else ""
        size = self.builder_config.name if self.builder_config else ""
        return self.data_set.make(size, manual_dir)

    def _generate_examples(self) -> Iterator[Sample]:
        raise NotImplementedError  # TFDS demands it for its own writer, which ours replaces

    def _generate_splits(self, dl_manager: Any, download_config: Any) -> list[tfds.core.SplitInfo]:
        """Replaces TFDS's method, which beyond 1 GB needs TensorFlow and a split in memory."""
        splits = self._split_generators(dl_manager)
        return [self._write(split, samples) for split, samples in splits.items()]

    def _write(self, split: str, samples: Iterable[Sample]) -> tfds.core.SplitInfo:
        """Streams a split's samples to one file."""
        template = self._get_filename_template(split)
        path = template.sharded_filepath(shard_index=0, num_shards=1)
        ids, num_bytes, pixels = [], 0, np.zeros(256, np.int64)
        # PNG and JPEG are compressed already.
        with contextlib.closing(ArrayRecordWriter(str(path), "group_size:1,uncompressed")) as file:
            for sample in samples:
                example = {"id": sample.id, "image": sample.image, "label": sample.label}
                record = self.info.features.serialize_example(example)
                file.write(record)
                ids.append(sample.id)
                pixels += sample.pixels
                num_bytes += len(record)
        classes = len(labels.TABLES[self.data_set.table])
        self.info.metadata["ids"][split] = ids
        self.info.metadata["pixels"][split] = [*pixels[:classes].tolist(), int(pixels[255])]
        return tfds.core.SplitInfo(
            name=split, shard_lengths=[len(ids)], num_bytes=num_bytes, filename_template=template
        )


@functools.cache
def _builder_of(data_set: DataSet) -> type[Builder]:
    """The builder class of a data set; TFDS describes a data set by attributes of a class."""

    class Prepared(Builder, skip_registration=True):  # type: ignore[call-arg]
        name = data_set.name
        VERSION = tfds.core.Version(data_set.version)
        BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=size) for size in data_set.sizes]  # noqa: RUF012
        MANUAL_DOWNLOAD_INSTRUCTIONS = data_set.download or None

    Prepared.data_set = data_set
    return Prepared


def builder(domain: str, data_dir: str | os.PathLike) -> Builder:
    """The builder of "NAME" or "NAME/SIZE", prepared or not.

    Raises:
      UserError: no such data set.
    """
    data_set, (_, size) = dataset.find(domain), dataset.split_name(domain)
    return _builder_of(data_set)(config=size or None, data_dir=os.path.expanduser(data_dir))


def prepare(domain: str, data_dir: str, manual_dir: str = "") -> Builder:
    """Makes a data set unless it is there. After a kill it starts again from the beginning.

    From a bucket it is copied to this machine's disk once; made here, it is put there as well.

    Args:
      data_dir: a folder, or gs://BUCKET/FOLDER.
    Raises:
      UserError: files to make it from are missing or unfit, others lie where it would be, or the
        bucket cannot be used.
    """
    folder = bucket.data_folder(data_dir)
    if not addresses.in_bucket(data_dir):
        return _prepare(domain, folder, manual_dir)
    target = pathlib.Path(builder(domain, folder).data_dir)
    address = f"{data_dir}/{target.relative_to(folder)}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(target.parent / ".copy.lock"):
        there = bucket.holds(address, INFO)
        if there and not is_complete(target):
            print(f"copying {address} to {target} (once)", file=sys.stderr)
            shutil.rmtree(target, ignore_errors=True)  # a copy that lost a file
            bucket.download(address, target)
        made = _prepare(domain, folder, manual_dir)
        if not there:
            print(f"copying {target} to {address}", file=sys.stderr)
            bucket.upload(target, address, INFO)
    return made


def _prepare(domain: str, data_dir: pathlib.Path, manual_dir: str) -> Builder:
    made = builder(domain, data_dir)
    target = pathlib.Path(made.data_dir)
    if is_complete(target):
        return made
    made.data_set.check(manual_dir)
    outputs.check_apart(target, "--data_dir", [manual_dir] if manual_dir else [])
    if not outputs.is_empty(target):
        raise UserError(
            f"--data_dir: {target} has files, but no prepared data set; move them, or give another "
            f"folder"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(target.parent / ".lock"):
        if is_complete(target):  # by the process that had the lock before
            return builder(domain, data_dir)
        for leftover in target.parent.glob("incomplete.??????_[0-9]*.[0-9]*"):  # TFDS names
            shutil.rmtree(leftover)
        print(f"preparing {domain} in {target} (once)", file=sys.stderr)
        started = time.monotonic()
        tfds.disable_progress_bar()
        config = tfds.download.DownloadConfig(manual_dir=manual_dir or None, try_download_gcs=False)
        # TFDS's own messages are hidden: the lines on stderr say the same.
        with contextlib.redirect_stdout(None), disk_full_as_oserror(target):
            made.download_and_prepare(file_format="array_record", download_config=config)
        print(f"prepared {domain} in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return made


def is_complete(path: pathlib.Path) -> bool:
    """Whether a prepared data set is there: TFDS moves it into place as a whole."""
    return (path / INFO).is_file()


@contextlib.contextmanager
def disk_full_as_oserror(path: pathlib.Path) -> Iterator[None]:
    """Turns the RuntimeError by which array records report a full disk into an OSError."""
    try:
        yield
    except RuntimeError as error:
        if os.strerror(errno.ENOSPC) in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


def load(domain: str, split: str, data_dir: str, manual_dir: str, table: ClassTable) -> Domain:
    """Opens one split, preparing the data set on first use.

    Raises:
      UserError: no such data set or split, or a table of other classes than the data set's.
    """
    own = dataset.find(domain).table
    if table.names != labels.TABLES[own].names:
        raise UserError(
            f"domain {domain!r} has {own}'s {len(labels.TABLES[own])} classes; "
            f"set config.classes.table={own}, or another domain"
        )
    made = prepare(domain, data_dir, manual_dir)
    if split not in made.info.splits:
        raise UserError(
            f"domain {domain!r} has no split {split!r}; choose from {', '.join(made.info.splits)}"
        )
    skip = {"image": tfds.decode.SkipDecoding(), "label": tfds.decode.SkipDecoding()}
    source = made.as_data_source(split, decoders=skip)
    ids = tuple(made.info.metadata["ids"][split])

    def read_image(index: int) -> np.ndarray:
        bgr = decoded(source[index]["image"], cv2.IMREAD_COLOR)
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

    def read_label(index: int) -> np.ndarray:
        return decoded(source[index]["label"], cv2.IMREAD_UNCHANGED)

    files = tuple(pathlib.Path(path) for path in made.info.splits[split].filepaths)
    return Domain(f"{domain} {split}", ids, read_image, read_label, records=files)
