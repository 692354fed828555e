"""Prepares a data set, or checks folders, and shows what is in it.

labor-jax prepare_data --dataset=toytown/160x120 --data_dir=data
labor-jax prepare_data --dataset=gta5 --manual_dir=~/gta5 --data_dir=data
labor-jax prepare_data --dataset=folder --images=photos --labels=maps --classes=cityscapes
labor-jax prepare_data --config=configs/folder.py --config.source.images=photos ...

The last reads every file of a run's three domains before it trains, with the config's own classes.
Data sets that are not drawn are made from what their sites ship: without --manual_dir it is said
what that is. Interrupted, the same command starts again; a data set that is there is only shown.
"""

import ml_collections
import numpy as np
from absl import flags
from ml_collections import config_flags

from labor_jax.cli import program
from labor_jax.config import checking
from labor_jax.data import folder, labels, loading
from labor_jax.data.checking import Split, checked, table_of_shares
from labor_jax.data.labels import ClassTable
from labor_jax.util import plugins
from labor_jax.util.errors import UserError


def checked_domains(config: ml_collections.ConfigDict) -> tuple[dict[str, Split], ClassTable]:
    """What a run would read, every file of it read once, and its classes.

    Raises:
      UserError: a key of the config is wrong, or a file is missing, broken or does not fit.
    """
    plugins.load(config.plugins)
    checking.check(config)
    table = loading.table_from_config(config.classes)
    domains = {
        name: loading.load(config[name], config.data_dir, table)
        for name in ("source", "target", "val")
    }
    return {name: checked(domain, table) for name, domain in domains.items()}, table


def prepared_splits(values: flags.FlagValues) -> tuple[dict[str, Split], ClassTable]:
    """Every split of a data set, made if it is not there, and its classes.

    Raises:
      UserError: no such data set, or files to make it from are missing or unfit.
    """
    from labor_jax.data.builders import prepared  # TFDS takes half a second to import

    made = prepared.prepare(values.dataset, values.data_dir, values.manual_dir)
    ids, pixels = made.info.metadata["ids"], made.info.metadata["pixels"]
    splits = {name: Split(len(ids[name]), np.array(pixels[name])) for name in made.info.splits}
    return splits, labels.TABLES[made.table]


def main() -> None:
    """Prepares or checks, then prints counts and shares."""
    values = flags.FLAGS
    if bool(values.dataset) == bool(values.config):
        raise UserError("--dataset, --config: give one of the two")
    if values.classes not in labels.TABLES:
        raise UserError(
            f"--classes: unknown table {values.classes!r}; known: {', '.join(labels.TABLES)}"
        )
    if values.config:
        splits, table = checked_domains(values.config)
    elif values.dataset == "folder":
        table = labels.TABLES[values.classes]
        splits = {"folder": checked(folder.load(values.images, values.labels, table), table)}
    else:
        splits, table = prepared_splits(values)
    print(table_of_shares(splits, table))
    source = splits.get("source")
    if source and source.pixels is not None and not source.pixels[:-1].all():
        absent = [n for n, count in zip(table.names, source.pixels, strict=False) if not count]
        print(f"warning: source has no pixel of {', '.join(absent)}, to learn it from")


if __name__ == "__main__":
    flags.DEFINE_string(
        "dataset",
        None,
        "toytown/SIZE, camvid, gta5, synthia_rand_cityscapes, cityscapes or folder",
    )
    config_flags.DEFINE_config_file("config", None, "check what the run of this config would read")
    flags.DEFINE_string("data_dir", "data", "where prepared data sets are kept")
    flags.DEFINE_string("manual_dir", "", "the folder with what the data set's site ships")
    flags.DEFINE_string("images", "", "folder: the images")
    flags.DEFINE_string("labels", "", "folder: the label maps, if there are any")
    flags.DEFINE_string("classes", "camvid", "folder: the class table of the label maps")
    program.run(main)
