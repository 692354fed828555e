"""Prepares a data set, or checks folders, and shows what is in it.

    labor-jax prepare-data --dataset=toytown/160x120 --data_dir=data
    labor-jax prepare-data --dataset=gta5 --manual_dir=~/gta5 --data_dir=data
    labor-jax prepare-data --dataset=folder --images=photos --labels=maps --classes=cityscapes
    labor-jax prepare-data --config=configs/folder.py --config.source.images=photos ...

The last reads every file of a run's three domains before it trains, with the config's own classes.
Data sets that are not drawn are made from what their sites ship: without --manual_dir it is said
what that is. Interrupted, the same command starts again; a data set that is there is only shown.
All files are read: those that cannot be used are told with their fault and counted at the end.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import ml_collections
from absl import flags

from labor_jax.cli import program
from labor_jax.util.errors import UserError
from labor_jax.util.tally import counted

if TYPE_CHECKING:
    from labor_jax.data.checking import Split
    from labor_jax.data.labels import ClassTable


def main(argv: Sequence[str]) -> int:
    """Prepares or checks, then prints counts and shares; returns the exit status."""

    def define(values: flags.FlagValues) -> None:
        program.define_config(values, argv, required=False)
        _define(values)

    return program.run(argv, __doc__, define, _prepare)


def _define(values: flags.FlagValues) -> None:
    flags.DEFINE_string(
        "dataset",
        None,
        "a data set by name, such as toytown/160x120, or folder; an unknown name lists all",
        flag_values=values,
    )
    about = "where prepared data sets are kept, also gs://BUCKET/FOLDER"
    program.define_path(values, "data_dir", "data", about, bucket=True)
    program.define_path(values, "manual_dir", "", "the folder with what the data set's site ships")
    program.define_path(values, "images", "", "folder: the images")
    program.define_path(values, "labels", "", "folder: the label maps, if there are any")
    flags.DEFINE_string(
        "classes", "camvid", "folder: the class table of the label maps", flag_values=values
    )


def _prepare(values: flags.FlagValues) -> None:
    from labor_jax.data import checking, folder, loading

    if bool(values.dataset) == bool(values.config):
        raise UserError("--dataset, --config: give one of the two")
    if values.classes not in (tables := loading.tables()):
        raise UserError(f"--classes: unknown table {values.classes!r}; known: {', '.join(tables)}")
    if values.config:
        splits, table = _domains_of(values.config)
    elif values.dataset == "folder":
        if not values.images:
            raise UserError("--images is missing; give --images=…")
        table = tables[values.classes]
        images = folder.load(values.images, values.labels, table)
        splits = {"folder": checking.checked(images, table)}
    else:
        splits, table = _prepared(values.dataset, values.data_dir, values.manual_dir)
    broken = [told for split in splits.values() for told in split.broken]
    print(checking.table_of_shares(splits, table), file=sys.stderr if broken else sys.stdout)
    source = splits.get("source")
    if source and source.pixels is not None and not source.pixels[:-1].all():
        absent = [n for n, count in zip(table.names, source.pixels, strict=False) if not count]
        print(f"warning: source has no pixel of {', '.join(absent)}, to learn it from")
    for name, split in splits.items():
        for line in split.told:
            print(f"{name}: {line}", file=sys.stderr)
    if len(broken) > 1:
        raise UserError(f"{counted(len(broken), 'image')} cannot be used; the first: {broken[0]}")
    if broken:
        raise UserError(broken[0])


def _domains_of(config: ml_collections.ConfigDict) -> "tuple[dict[str, Split], ClassTable]":
    """What a run would read, every file of it read once, and its classes.

    Raises:
      UserError: a key of the config is wrong, or a file is missing, broken or does not fit.
    """
    from labor_jax.config.checking import check
    from labor_jax.config.places import localized
    from labor_jax.data import checking, loading
    from labor_jax.util import plugins

    plugins.load(config.plugins)
    config = localized(config)
    check(config)
    table = loading.table_from_config(config.classes)
    domains = {
        name: loading.load(config[name], config.data_dir, table)
        for name in ("source", "target", "val")
        if config[name].domain
    }
    return {name: checking.checked(images, table) for name, images in domains.items()}, table


def _prepared(
    dataset: str, data_dir: str, manual_dir: str
) -> "tuple[dict[str, Split], ClassTable]":
    """Every split of a data set, made if it is not there, and its classes.

    Raises:
      UserError: no such data set, or files to make it from are missing or unfit.
    """
    import numpy as np

    from labor_jax.data import loading
    from labor_jax.data.builders import prepared
    from labor_jax.data.checking import Split

    made = prepared.prepare(dataset, data_dir, manual_dir)
    ids, pixels = made.info.metadata["ids"], made.info.metadata["pixels"]
    splits = {name: Split(len(ids[name]), np.array(pixels[name])) for name in made.info.splits}
    return splits, loading.tables()[made.data_set.table]
