"""The levels of a backbone that is not trained: made once for each image, kept on disk, read back.

A cache is a folder `data_dir/features/KEY` with one file of float16 for each level, [N, h, w, F],
and the checksum of each batch of images. The key is of everything that the levels depend on, so a
cache of other weights, sizes or images is another folder. The checksums are looked at when a cache
is opened, which reads it once: 0.2 s for a GB that is in memory, else as fast as the disk is. A
batch that is missing, cut short or changed is made again. The first level is kept at the resolution
of the second one, to which `ContextPooling` would bring it in any case; an image of 480x360 takes
0.6 MB with EfficientNet-Lite0, and 100,000 of 640x480 take 107 GB.

Files are written by the process that holds the cache's lock, and never through memory that maps
them: there a full disk would be a fault that ends the process. Runs that start at once wait for the
first one and find its features.
"""

import dataclasses
import hashlib
import json
import pathlib
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
from flax.traverse_util import flatten_dict

from labor_jax.data.domain import Domain, Features
from labor_jax.data.transforms import resize_image
from labor_jax.util import bucket
from labor_jax.util.errors import FULL, UserError
from labor_jax.util.lock import one_at_a_time
from labor_jax.util.progress import Progress, show_progress

__all__ = ["with_features"]

FORMAT = 2
"""Changes when levels or files become others."""

BATCH = 8
"""Images that are made at once. It is always the same ones, so levels made again are the same."""

MODEL_KEYS = ("backbone", "style", "width", "output_stride", "levels", "batch_norm", "dtype")
"""The keys of the section `model` on which levels depend."""

Make = Callable[[np.ndarray], Sequence[np.ndarray]]
"""Images [BATCH, H, W, 3] uint8 of `input.size` -> their levels, [BATCH, h, w, F] float16 each."""


class _File(NamedTuple):
    """A file of a cache: an array of `kind` and `shape`, a row an image or a batch of them."""

    path: pathlib.Path
    kind: Any
    shape: tuple[int, ...]

    @property
    def row(self) -> int:
        """Bytes."""
        return int(np.prod(self.shape[1:])) * np.dtype(self.kind).itemsize

    @property
    def length(self) -> int:
        """Bytes."""
        return self.shape[0] * self.row

    def is_whole(self) -> bool:
        return self.path.is_file() and self.path.stat().st_size == self.length

    def taken(self) -> int:
        """Bytes of the disk that it has already; a file has holes where nothing was written."""
        stat = self.path.stat() if self.path.is_file() else None
        return min(self.length, stat.st_blocks * 512) if stat else 0

    def resize(self) -> None:
        """Makes the file, or cuts or extends it; what it has stays, and is checked."""
        with open(self.path, "ab") as file:
            file.truncate(self.length)

    def mapped(self) -> np.ndarray:
        return np.memmap(self.path, self.kind, "r", shape=self.shape)

    def write(self, first: int, rows: np.ndarray) -> None:
        with open(self.path, "r+b") as file:
            file.seek(first * self.row)
            file.write(np.ascontiguousarray(rows, self.kind).tobytes())


class _Cache(NamedTuple):
    """The files of a domain's features."""

    levels: list[_File]
    sizes: _File
    checksums: _File

    @property
    def folder(self) -> pathlib.Path:
        return self.sizes.path.parent

    @property
    def files(self) -> list[_File]:
        return [*self.levels, self.sizes, self.checksums]


def with_features(
    domains: Mapping[str, Domain], make: Make, variables: Any, config: ml_collections.ConfigDict
) -> dict[str, Domain]:
    """The domains with their features, which are made where they are not on disk.

    Args:
      domains: the images, by any name. One without images stays as it is.
      variables: the backbone's, of which the keys are made.
      config: `model`, `input.size`, `data_dir`, `frozen.cache_gb`.
    Raises:
      UserError: the caches would be larger than `frozen.cache_gb` or the free disk, which is told
        before any feature is made; or the disk became full.
    """
    root = bucket.data_folder(config.data_dir) / "features"
    images = jax.ShapeDtypeStruct((BATCH, *config.input.size, 3), np.uint8)
    shapes = [level.shape[1:] for level in jax.eval_shape(make, images)]
    caches = {
        name: _cache(root / _key(domain, variables, config), len(domain.ids), shapes)
        for name, domain in domains.items()
        if domain.ids
    }
    _check_space(root, caches.values(), config.frozen.cache_gb)
    return {
        name: _with_features(domain, caches[name], make, config) if domain.ids else domain
        for name, domain in domains.items()
    }


def _cache(folder: pathlib.Path, number: int, shapes: Sequence[tuple[int, ...]]) -> _Cache:
    return _Cache(
        [_File(folder / f"level_{i}.f16", np.float16, (number, *s)) for i, s in enumerate(shapes)],
        _File(folder / "sizes.i32", np.int32, (number, 2)),
        _File(folder / "checksums.u32", np.uint32, (-(-number // BATCH),)),
    )


def _check_space(root: pathlib.Path, caches: Iterable[_Cache], most: float) -> None:
    files = {file for cache in caches for file in cache.files}
    root.mkdir(parents=True, exist_ok=True)
    whole, there = sum(file.length for file in files), sum(file.taken() for file in files)
    free = shutil.disk_usage(root).free
    told = f"the run's features take {whole / 1e9:.2f} GB"
    if whole > most * 1e9:
        raise UserError(
            f"config.frozen.cache_gb: {told}, {free / 1e9:.2f} GB of {root} are free, but it is "
            f"{most:g}; raise it"
        )
    if whole - there > free:
        raise UserError(
            f"{root}: {told}, {there / 1e9:.2f} GB of which are there, but {free / 1e9:.2f} GB are "
            f"free; free some, or give another config.data_dir"
        )


def _with_features(
    domain: Domain, cache: _Cache, make: Make, config: ml_collections.ConfigDict
) -> Domain:
    with show_progress(f"features of {domain.name}", 0, len(domain.ids), "image") as progress:
        bad = _bad(cache, range(cache.checksums.shape[0]), progress)
        if bad:
            try:
                cache.folder.mkdir(parents=True, exist_ok=True)
                with one_at_a_time(cache.folder / ".lock"):
                    _make(domain, cache, bad, make, config, progress)
            except OSError as error:
                if error.errno not in FULL:
                    raise
                raise UserError(
                    f"{cache.folder}: {error.strerror}; the features made so far stay: free some "
                    f"space and run the same command again"
                ) from None
    levels = [file.mapped() for file in cache.levels]

    def read(index: int) -> tuple[np.ndarray, ...]:
        return tuple(np.array(level[index]) for level in levels)

    return dataclasses.replace(domain, features=Features(read, np.array(cache.sizes.mapped())))


def _make(
    domain: Domain,
    cache: _Cache,
    bad: Sequence[int],
    make: Make,
    config: ml_collections.ConfigDict,
    progress: Progress,
) -> None:
    """Makes the batches that are still bad, now that no other process writes.

    A batch that is not full is filled up with its last image.
    """
    for file in cache.files:
        if not file.is_whole():
            file.resize()
    for batch in _bad(cache, bad, progress):
        rows = _rows(cache, batch)
        images = [domain.read_image(index) for index in range(rows.start, rows.stop)]
        sizes = np.array([image.shape[:2] for image in images], np.int32)
        images += images[-1:] * (BATCH - len(images))
        made = make(np.stack([resize_image(image, config.input.size) for image in images]))
        levels = [np.asarray(level)[: len(sizes)] for level in made]
        for file, part in zip(cache.files, [*levels, sizes], strict=False):
            file.write(rows.start, part)
        cache.checksums.write(batch, np.array([_checksum([*levels, sizes])]))
        progress.advance(progress.step + len(sizes))


def _bad(cache: _Cache, batches: Sequence[int], progress: Progress) -> list[int]:
    """Those of some batches that are not on disk as they were made; the others are done."""
    if not all(file.is_whole() for file in cache.files):
        return list(batches)
    *arrays, checksums = [file.mapped() for file in cache.files]
    bad = []
    for batch in batches:
        rows = _rows(cache, batch)
        known = checksums[batch]
        if known and known == _checksum([array[rows] for array in arrays]):
            progress.advance(progress.step + rows.stop - rows.start)
        else:
            bad.append(batch)
    return bad


def _rows(cache: _Cache, batch: int) -> slice:
    return slice(batch * BATCH, min((batch + 1) * BATCH, cache.sizes.shape[0]))


def _checksum(arrays: Sequence[np.ndarray]) -> int:
    """Of a batch's levels and sizes; never 0, which stands for none."""
    checksum = 0
    for array in arrays:
        checksum = zlib.crc32(np.ascontiguousarray(array).tobytes(), checksum)
    return checksum or 1


def _key(domain: Domain, variables: Any, config: ml_collections.ConfigDict) -> str:
    """A digest of all that the levels depend on. A file of images is told by its size and time."""
    digest = hashlib.sha256()
    about = {
        "format": FORMAT,
        "jax": jax.__version__,
        "model": {name: config.model[name] for name in MODEL_KEYS},
        "size": list(config.input.size),
        "domain": domain.name,
        "ids": domain.ids,
    }
    digest.update(json.dumps(about, sort_keys=True).encode())
    for path, value in sorted(flatten_dict(jax.device_get(variables), sep="/").items()):
        digest.update(path.encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    own = map(domain.file, range(len(domain.ids))) if domain.file else ()
    for file in (*domain.records, *own):
        stat = file.stat()
        digest.update(f"{stat.st_size} {stat.st_mtime_ns};".encode())
    return digest.hexdigest()[:32]
