"""The levels of a backbone that is not trained: made once for each image, kept on disk, read back.

A cache is a folder `data_dir/features/KEY` with one file of float16 for each level, [N, h, w, F],
and the checksum of each batch of images. The key is of everything that the levels depend on, so a
cache of other weights, sizes or images is another folder. The checksums are looked at when a cache
is opened: a batch that is missing, cut short or changed is made again. The first level is kept at
the resolution of the second one, to which `ContextPooling` would bring it in any case; an image of
480x360 takes 0.6 MB with EfficientNet-Lite0, and 100,000 of 640x480 take 107 GB.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import shutil
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
from flax.traverse_util import flatten_dict

from labor_jax.data.domain import Domain, Features
from labor_jax.data.transforms import resize_image
from labor_jax.util.errors import UserError
from labor_jax.util.progress import show_progress

__all__ = ["with_features"]

FORMAT = 1
"""Changes when levels or files become others."""

BATCH = 8
"""Images that are made at once. It is always the same ones, so levels made again are the same."""

MODEL_KEYS = ("backbone", "style", "width", "output_stride", "batch_norm", "dtype")
"""The keys of the section `model` on which levels depend."""

Levels = Sequence[np.ndarray]


def with_features(
    domain: Domain,
    make: Callable[[np.ndarray], Levels],
    variables: Any,
    config: ml_collections.ConfigDict,
) -> Domain:
    """The domain with its features, which are made where they are not on disk.

    Args:
      domain: the images.
      make: images [BATCH, H, W, 3] uint8 of `input.size` to their levels [BATCH, h, w, F] float16.
      variables: the backbone's, of which the key is made.
      config: `model`, `input.size`, `data_dir`, `frozen.cache_gb`.
    Raises:
      UserError: the cache would be larger than `frozen.cache_gb` or the free disk.
    """
    if not domain.ids:
        return domain
    folder = pathlib.Path(config.data_dir, "features", _key(domain, variables, config))
    height, width = config.input.size
    shapes = [
        level.shape[1:]
        for level in jax.eval_shape(make, jax.ShapeDtypeStruct((BATCH, height, width, 3), np.uint8))
    ]
    batches = -(-len(domain.ids) // BATCH)
    try:
        levels, sizes, sums = _opened(folder, domain, shapes, config)
        with show_progress(f"features of {domain.name}", 0, len(domain.ids), "image") as progress:
            for batch in range(batches):
                rows = slice(batch * BATCH, min((batch + 1) * BATCH, len(domain.ids)))
                if not sums[batch] or sums[batch] != _checksum(levels, sizes, rows):
                    _make(domain, make, rows, levels, sizes, config)
                    sums[batch] = _checksum(levels, sizes, rows)
                progress.advance(rows.stop)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; the features made so far stay") from None

    def read(index: int) -> tuple[np.ndarray, ...]:
        return tuple(np.array(level[index]) for level in levels)

    return dataclasses.replace(domain, features=Features(read, np.array(sizes)))


def _make(
    domain: Domain,
    make: Callable[[np.ndarray], Levels],
    rows: slice,
    levels: Levels,
    sizes: np.ndarray,
    config: ml_collections.ConfigDict,
) -> None:
    """Makes the levels of a batch; one that is not full is filled up with its last image."""
    images = [domain.read_image(index) for index in range(rows.start, rows.stop)]
    sizes[rows] = [image.shape[:2] for image in images]
    images += images[-1:] * (BATCH - len(images))
    made = make(np.stack([resize_image(image, config.input.size) for image in images]))
    for level, new in zip(levels, made, strict=True):
        level[rows] = np.asarray(new)[: rows.stop - rows.start]


def _opened(
    folder: pathlib.Path,
    domain: Domain,
    shapes: Sequence[tuple[int, ...]],
    config: ml_collections.ConfigDict,
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """The files of a cache, mapped into memory: levels, native sizes and checksums.

    A file that is missing or of another length becomes one of zeros. Its place on the disk is taken
    at once: a disk that is full later could not be told from a fault of memory.
    """
    number = len(domain.ids)
    wanted: list[tuple[str, Any, tuple[int, ...]]] = [
        (f"level_{i}.f16", np.float16, (number, *s)) for i, s in enumerate(shapes)
    ]
    wanted.append(("sizes.i32", np.int32, (number, 2)))
    wanted.append(("checksums.u32", np.uint32, (-(-number // BATCH),)))
    missing = {
        name: length
        for name, kind, shape in wanted
        if (length := int(np.prod(shape)) * np.dtype(kind).itemsize)
        and not ((folder / name).is_file() and (folder / name).stat().st_size == length)
    }
    folder.mkdir(parents=True, exist_ok=True)
    _check_space(folder, sum(missing.values()), config.frozen.cache_gb)
    for name, length in missing.items():
        (folder / name).unlink(missing_ok=True)
        with open(folder / name, "wb") as file:
            file.truncate(length)
            if hasattr(os, "posix_fallocate"):  # not on macOS
                os.posix_fallocate(file.fileno(), 0, length)
    files = [np.memmap(folder / name, kind, "r+", shape=shape) for name, kind, shape in wanted]
    return [*files[:-2]], files[-2], files[-1]


def _check_space(folder: pathlib.Path, needed: int, most: float) -> None:
    free = shutil.disk_usage(folder).free
    told = f"{folder}: features take {needed / 1e9:.2f} GB"
    if needed > most * 1e9:
        raise UserError(f"{told}, but config.frozen.cache_gb is {most:g}; raise it")
    if needed > free:
        raise UserError(f"{told}, but {free / 1e9:.2f} GB are free; give another config.data_dir")


def _checksum(levels: Levels, sizes: np.ndarray, rows: slice) -> int:
    """Of a batch of images; never 0, which stands for none."""
    sum_ = zlib.crc32(np.ascontiguousarray(sizes[rows]).tobytes())
    for level in levels:
        sum_ = zlib.crc32(np.ascontiguousarray(level[rows]).tobytes(), sum_)
    return sum_ or 1


def _key(domain: Domain, variables: Any, config: ml_collections.ConfigDict) -> str:
    """A digest of all that the levels depend on. An image file is told by its size and time."""
    digest = hashlib.sha256()
    about = {
        "format": FORMAT,
        "jax": jax.__version__,
        "model": {name: config.model[name] for name in MODEL_KEYS},
        "size": list(config.input.size),
        "domain": domain.name,
    }
    digest.update(json.dumps(about, sort_keys=True).encode())
    for path, value in sorted(flatten_dict(jax.device_get(variables), sep="/").items()):
        digest.update(path.encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    for index, image in enumerate(domain.ids):
        stat = domain.file(index).stat() if domain.file else None
        told = (image, stat.st_size, stat.st_mtime_ns) if stat else (image,)
        digest.update(repr(told).encode())
    return digest.hexdigest()[:32]
