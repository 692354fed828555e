"""Opens the domains and the class table that a config names."""

from typing import Any

from labor_jax.data import dataset, folder
from labor_jax.data.domain import Domain
from labor_jax.data.labels import TABLES, ClassTable
from labor_jax.util.errors import UserError

__all__ = ["domains", "is_known", "licence", "load", "table_from_config", "tables"]


def domains() -> tuple[str, ...]:
    """The values that `domain` can have: the data sets, and "folder"."""
    return (*dataset.names(), "folder")


def is_known(domain: str) -> bool:
    """Whether there is a domain of this name; a size in it is not checked. "" is that of none."""
    if not domain:
        return True
    name = dataset.split_name(domain)[0]
    return any(name == dataset.split_name(known)[0] for known in domains())


def licence(domain: str) -> str:
    """The licence of a domain's images, in words.

    Raises:
      UserError: no such domain.
    """
    return folder.LICENCE if domain == "folder" else dataset.find(domain).licence


def tables() -> dict[str, ClassTable]:
    """The tables that `classes.table` can name, with those that data sets register."""
    dataset.names()  # so that they are registered
    return TABLES


def load(spec: Any, data_dir: str, table: ClassTable) -> Domain:
    """Opens one split of a domain; the first use of a TFDS domain prepares it.

    Args:
      spec: a ConfigDict with `domain`: one of `domains()`. With "folder" go `images` and `labels`,
        "" where there are none; with any other `split`, and `manual_dir` to prepare it from. An
        empty `domain` has no images.
      data_dir: where prepared data sets are kept.
      table: the classes of the task.
    Raises:
      UserError: the domain or split is unknown, files are missing, or the table does not fit.
    """
    if not spec.domain:
        return Domain.none()
    if spec.domain == "folder":
        return folder.load(spec.images, spec.labels, table)
    from labor_jax.data.builders import prepared  # it imports TFDS

    return prepared.load(spec.domain, spec.split, data_dir, spec.get("manual_dir", ""), table)


def table_from_config(classes: Any) -> ClassTable:
    """The table named by `config.classes.table`, or built from names, palette and values.

    Raises:
      UserError: the name is unknown, or names, palette and values do not fit together.
    """
    if classes.table:
        known = tables()
        if classes.table not in known:
            raise UserError(
                f"config.classes.table: unknown table {classes.table!r}; known: {', '.join(known)}"
            )
        return known[classes.table]
    return ClassTable(
        names=tuple(classes.names),
        palette=tuple((int(r), int(g), int(b)) for r, g, b in classes.palette),
        values=tuple(int(v) for v in classes.label_values),
        void_values=tuple(int(v) for v in classes.void_values),
    )
