"""Prepares a data set, or checks a folder, and shows what is in it.

python -m labor_jax.prepare_data --dataset=toytown/160x120 --data_dir=data
python -m labor_jax.prepare_data --dataset=camvid --manual_dir=~/CamVid --data_dir=data
python -m labor_jax.prepare_data --dataset=folder --images=photos --labels=maps --classes=cityscapes
"""

import numpy as np
from absl import flags

from labor_jax import cli
from labor_jax.data import folder, labels
from labor_jax.data.domain import Domain
from labor_jax.errors import UserError


def class_counts(domain: Domain, num_classes: int) -> np.ndarray:
    """Pixels of each class over a labelled split, void last: [num_classes + 1] int64."""
    counts = np.zeros(256, np.int64)
    for index in range(len(domain.ids)):
        counts += np.bincount(domain.read_label(index).ravel(), minlength=256)
    return np.append(counts[:num_classes], counts[labels.IGNORE])


def table_of_shares(domains: dict[str, Domain], table: labels.ClassTable) -> str:
    """Images a split and percent of pixels a class, as text."""
    shares = {}
    for split, domain in domains.items():
        if domain.read_label is not None:
            counts = class_counts(domain, len(table))
            shares[split] = 100 * counts / max(counts.sum(), 1)
    width = max(13, *(len(split) + 2 for split in domains))
    rows = [("", *domains), ("images", *(str(len(d.ids)) for d in domains.values()))]
    for k, name in enumerate([*table.names, "void"] if shares else []):
        rows.append((name, *(f"{shares[split][k]:.2f} %" for split in shares)))
    return "\n".join(row[0].ljust(16) + "".join(f"{v:>{width}}" for v in row[1:]) for row in rows)


def open_all(values: flags.FlagValues, table: labels.ClassTable) -> dict[str, Domain]:
    """Every split of what the flags name, prepared and checked."""
    if values.dataset == "folder":
        domain = folder.load(values.images, values.labels, table)
        folder.check(domain)
        return {"folder": domain}
    from labor_jax.data.builders import prepared  # TFDS takes half a second to import

    made = prepared.prepare(values.dataset, values.data_dir, values.manual_dir)
    return {
        split: prepared.load(values.dataset, split, values.data_dir, values.manual_dir, table)
        for split in made.info.splits
    }


def main() -> None:
    """Prepares or checks, then prints counts and shares."""
    values = flags.FLAGS
    if values.classes not in labels.TABLES:
        raise UserError(
            f"--classes: unknown table {values.classes!r}; known: {', '.join(labels.TABLES)}"
        )
    table = labels.TABLES[values.classes]
    print(table_of_shares(open_all(values, table), table))


if __name__ == "__main__":
    flags.DEFINE_string("dataset", None, "toytown/SIZE, camvid or folder", required=True)
    flags.DEFINE_string("data_dir", "data", "where prepared data sets are kept")
    flags.DEFINE_string("manual_dir", "", "camvid: the folder that has train, trainannot, val, …")
    flags.DEFINE_string("images", "", "folder: the images")
    flags.DEFINE_string("labels", "", "folder: the label maps, if there are any")
    flags.DEFINE_string("classes", "camvid", "folder: the class table of the label maps")
    cli.run(main)
