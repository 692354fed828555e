"""What the sections of a config name: domains, and the table of their classes."""

from typing import Any

from labor_jax.data.domain import Domain
from labor_jax.data.labels import TABLES, ClassTable
from labor_jax.util.errors import UserError

__all__ = ["load", "table_from_config"]


def load(spec: Any, data_dir: str, table: ClassTable) -> Domain:
    """Opens one split of a domain; the first use of a TFDS domain prepares it.

    Args:
      spec: a ConfigDict with `domain`: "toytown/SIZE" (with `split`), one of "camvid", "gta5",
        "synthia_rand_cityscapes" and "cityscapes" (with `split`, and `manual_dir` to prepare it
        from), or "folder" (with `images` and `labels`, "" where there are none).
      data_dir: where prepared data sets are kept.
      table: the classes of the task.
    Raises:
      UserError: an unknown domain or split, missing files, a table that does not fit.
    """
    if spec.domain == "folder":
        from labor_jax.data import folder

        return folder.load(spec.images, spec.labels, table)
    from labor_jax.data.builders import prepared  # TFDS takes half a second to import

    return prepared.load(spec.domain, spec.split, data_dir, spec.get("manual_dir", ""), table)


def table_from_config(classes: Any) -> ClassTable:
    """The table named by `config.classes.table`, or built from names, palette and values.

    Raises:
      UserError: unknown name, or names, palette and values that do not fit.
    """
    if classes.table:
        if classes.table not in TABLES:
            raise UserError(
                f"config.classes.table: unknown table {classes.table!r}; known: {', '.join(TABLES)}"
            )
        return TABLES[classes.table]
    return ClassTable(
        names=tuple(classes.names),
        palette=tuple((int(r), int(g), int(b)) for r, g, b in classes.palette),
        values=tuple(int(v) for v in classes.label_values),
        void_values=tuple(int(v) for v in classes.void_values),
    )
