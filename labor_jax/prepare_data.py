"""Prepares a data set, or checks a folder, and shows what is in it.

python -m labor_jax.prepare_data --dataset=toytown/160x120 --data_dir=data
python -m labor_jax.prepare_data --dataset=gta5 --manual_dir=~/gta5 --data_dir=data
python -m labor_jax.prepare_data --dataset=folder --images=photos --labels=maps --classes=cityscapes

Data sets that are not drawn are made from what their sites ship: without --manual_dir it is said
what that is. Interrupted, the same command starts again; a data set that is there is only shown.
"""

from typing import NamedTuple

import numpy as np
from absl import flags

from labor_jax import cli
from labor_jax.data import folder, labels
from labor_jax.data.domain import Domain
from labor_jax.errors import UserError


class Split(NamedTuple):
    """What is shown of a split: how many images, and its pixels of each class, void last."""

    images: int
    pixels: np.ndarray | None


def class_counts(domain: Domain, num_classes: int) -> np.ndarray:
    """Pixels of each class over a labelled split, void last: [num_classes + 1] int64."""
    read = domain.read_label
    assert read is not None  # a labelled one
    every = (labels.count(read(k), num_classes) for k in range(len(domain.ids)))
    return sum(every, np.zeros(num_classes + 1, np.int64))


def table_of_shares(splits: dict[str, Split], table: labels.ClassTable) -> str:
    """Images a split and percent of pixels a class, as text."""
    shares = {
        name: 100 * split.pixels / max(split.pixels.sum(), 1)
        for name, split in splits.items()
        if split.pixels is not None
    }
    width = max(13, *(len(name) + 2 for name in splits))
    rows = [("", *splits), ("images", *(str(split.images) for split in splits.values()))]
    for k, name in enumerate([*table.names, "void"] if shares else []):
        rows.append((name, *(f"{shares[split][k]:.2f} %" for split in shares)))
    return "\n".join(row[0].ljust(16) + "".join(f"{v:>{width}}" for v in row[1:]) for row in rows)


def checked_folder(images: str, marks: str, table: labels.ClassTable) -> Split:
    """A folder of which every file was read.

    Raises:
      UserError: a file is missing, broken or does not fit.
    """
    domain = folder.load(images, marks, table)
    folder.check(domain)
    return Split(len(domain.ids), class_counts(domain, len(table)) if domain.read_label else None)


def prepared_splits(values: flags.FlagValues) -> tuple[dict[str, Split], labels.ClassTable]:
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
    if values.classes not in labels.TABLES:
        raise UserError(
            f"--classes: unknown table {values.classes!r}; known: {', '.join(labels.TABLES)}"
        )
    if values.dataset == "folder":
        table = labels.TABLES[values.classes]
        splits = {"folder": checked_folder(values.images, values.labels, table)}
    else:
        splits, table = prepared_splits(values)
    print(table_of_shares(splits, table))


if __name__ == "__main__":
    flags.DEFINE_string(
        "dataset",
        None,
        "toytown/SIZE, camvid, gta5, synthia_rand_cityscapes, cityscapes or folder",
        required=True,
    )
    flags.DEFINE_string("data_dir", "data", "where prepared data sets are kept")
    flags.DEFINE_string("manual_dir", "", "the folder with what the data set's site ships")
    flags.DEFINE_string("images", "", "folder: the images")
    flags.DEFINE_string("labels", "", "folder: the label maps, if there are any")
    flags.DEFINE_string("classes", "camvid", "folder: the class table of the label maps")
    cli.run(main)
