"""Preparing TFDS data sets and reading them by index, without TensorFlow."""

import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Iterator

import cv2
import numpy as np
import tensorflow_datasets as tfds

from labor_jax.data.builders.base import Builder, decoded
from labor_jax.data.datasets.camvid import Camvid
from labor_jax.data.datasets.cityscapes import Cityscapes
from labor_jax.data.datasets.gta5 import Gta5
from labor_jax.data.datasets.synthia_rand_cityscapes import SynthiaRandCityscapes
from labor_jax.data.datasets.toytown import Toytown
from labor_jax.data.domain import Domain
from labor_jax.data.labels import TABLES, ClassTable
from labor_jax.util.errors import UserError

BUILDERS: dict[str, type[Builder]] = {
    "toytown": Toytown,
    "camvid": Camvid,
    "gta5": Gta5,
    "synthia_rand_cityscapes": SynthiaRandCityscapes,
    "cityscapes": Cityscapes,
}


def builder(domain: str, data_dir: str) -> Builder:
    """The builder of "NAME" or "NAME/CONFIG", prepared or not.

    Raises:
      UserError: no such data set.
    """
    name, _, config = domain.partition("/")
    if name not in BUILDERS or config not in ("", *BUILDERS[name].builder_configs):
        known = [
            f"{key}/{size}" if size else key
            for key, cls in BUILDERS.items()
            for size in cls.builder_configs or [""]
        ]
        raise UserError(f"domain {domain!r} is unknown; choose one of {', '.join(known)}, folder")
    return BUILDERS[name](config=config or None, data_dir=os.path.expanduser(data_dir))


def prepare(domain: str, data_dir: str, manual_dir: str = "") -> Builder:
    """Makes a data set unless it is there; killed half-way, it starts again.

    Raises:
      UserError: files to make it from are missing or unfit.
    """
    made = builder(domain, data_dir)
    target = pathlib.Path(made.data_dir)
    if is_complete(target):
        return made
    made.check(manual_dir)
    target.parent.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(target.parent / ".lock"):
        if is_complete(target):  # by the process that had the lock before
            return builder(domain, data_dir)
        for leftover in target.parent.glob("*incomplete*"):
            shutil.rmtree(leftover)
        print(f"preparing {domain} in {target} (once)", file=sys.stderr)
        started = time.monotonic()
        tfds.disable_progress_bar()
        config = tfds.download.DownloadConfig(manual_dir=manual_dir or None, try_download_gcs=False)
        # TFDS announces what we say better.
        with contextlib.redirect_stdout(None), disk_full_as_oserror(target):
            made.download_and_prepare(file_format="array_record", download_config=config)
        print(f"prepared {domain} in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return made


def is_complete(path: pathlib.Path) -> bool:
    """Whether a prepared data set is there: TFDS moves it into place as a whole."""
    return (path / "dataset_info.json").is_file()


@contextlib.contextmanager
def disk_full_as_oserror(path: pathlib.Path) -> Iterator[None]:
    """Array records tell of a full disk by a RuntimeError; make it the usual one."""
    try:
        yield
    except RuntimeError as error:
        if os.strerror(errno.ENOSPC) in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise


@contextlib.contextmanager
def one_at_a_time(path: pathlib.Path) -> Iterator[None]:
    """Holds a lock that the system lets go when the process dies."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def load(domain: str, split: str, data_dir: str, manual_dir: str, table: ClassTable) -> Domain:
    """Opens one split, preparing the data set on first use.

    Raises:
      UserError: no such data set or split, or a table of other classes than the data set's.
    """
    own = builder(domain, data_dir).table
    if table.names != TABLES[own].names:
        raise UserError(
            f"domain {domain!r} has {own}'s {len(TABLES[own])} classes; "
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

    return Domain(f"{domain} {split}", ids, read_image, read_label)
