"""Class tables: names, colours, and how raw label values become train ids."""

import dataclasses
import hashlib
import json

import numpy as np

from labor_jax.util.errors import UserError

__all__ = [
    "CAMVID",
    "CITYSCAPES",
    "CITYSCAPES_IDS",
    "CITYSCAPES_RAW",
    "IGNORE",
    "TABLES",
    "ClassTable",
    "add_table",
    "colorize",
    "count",
    "encode",
    "label_ids",
]


IGNORE = 255
"""The train id of void pixels and of pixels that nobody labelled."""


@dataclasses.dataclass(frozen=True)
class ClassTable:
    """The classes of a task; a class's train id is its position.

    Attributes:
      names: one a class.
      palette: one RGB colour a class.
      values: the raw value of each class in the label files; its position by default.
      void_values: raw values that mean "no class"; 255 always does.
      subsets: by a score's name, the train ids of fewer classes that are also scored.
    """

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    values: tuple[int, ...] = ()
    void_values: tuple[int, ...] = ()
    subsets: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", self.values or tuple(range(len(self.names))))
        if not 2 <= len(self.names) <= 254:
            raise UserError(f"config.classes: {len(self.names)} names; give from 2 to 254")
        if not len(self.names) == len(self.palette) == len(self.values):
            raise UserError(
                f"config.classes: {len(self.names)} names, {len(self.palette)} colours in palette "
                f"and {len(self.values)} values; give as many of each"
            )
        if len(set(self.names)) < len(self.names) or len(set(self.values)) < len(self.values):
            raise UserError("config.classes: a name or a value stands twice; make each unique")
        if IGNORE in self.values:
            free = next(n for n in range(IGNORE) if n not in {*self.values, *self.void_values})
            raise UserError(
                f"config.classes.label_values: {IGNORE} always means void, so it cannot be "
                f"{self.names[self.values.index(IGNORE)]!r}; save the label maps with another "
                f"number there, such as {free}, and give that"
            )
        if both := sorted(set(self.values) & set(self.void_values)):
            named = ", ".join(repr(self.names[self.values.index(value)]) for value in both)
            raise UserError(
                f"config.classes.void_values: {', '.join(map(str, both))} is of {named}, too; "
                f"leave it out here, or give the class another number in label_values"
            )

    def __len__(self) -> int:
        return len(self.names)

    def digest(self) -> str:
        """A short hash of the names in order; answers have it, so that none is read as another."""
        return hashlib.sha256(json.dumps(self.names).encode()).hexdigest()[:12]


CAMVID = ClassTable(
    names=(
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ),
    palette=(
        (70, 130, 180),
        (70, 70, 70),
        (153, 153, 153),
        (128, 64, 128),
        (244, 35, 232),
        (107, 142, 35),
        (220, 220, 0),
        (190, 153, 153),
        (0, 0, 142),
        (220, 20, 60),
        (119, 11, 32),
    ),
    void_values=(11,),
)

CITYSCAPES = ClassTable(
    names=(
        "road",
        "sidewalk",
        "building",
        "wall",
        "fence",
        "pole",
        "traffic light",
        "traffic sign",
        "vegetation",
        "terrain",
        "sky",
        "person",
        "rider",
        "car",
        "truck",
        "bus",
        "train",
        "motorcycle",
        "bicycle",
    ),
    palette=(
        (128, 64, 128),
        (244, 35, 232),
        (70, 70, 70),
        (102, 102, 156),
        (190, 153, 153),
        (153, 153, 153),
        (250, 170, 30),
        (220, 220, 0),
        (107, 142, 35),
        (152, 251, 152),
        (70, 130, 180),
        (220, 20, 60),
        (255, 0, 0),
        (0, 0, 142),
        (0, 0, 70),
        (0, 60, 100),
        (0, 80, 100),
        (0, 0, 230),
        (119, 11, 32),
    ),
    # Without the classes that SYNTHIA lacks, and without those that papers leave out besides
    # [cited: AdaptSegNet].
    subsets=(
        ("mIoU16", tuple(k for k in range(19) if k not in (9, 14, 16))),
        ("mIoU13", tuple(k for k in range(19) if k not in (3, 4, 5, 9, 14, 16))),
    ),
)

CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The label id of each train id in the files of Cityscapes and GTA5; every other id is void."""

CITYSCAPES_RAW = dataclasses.replace(
    CITYSCAPES,
    values=CITYSCAPES_IDS,
    void_values=tuple(sorted(set(range(35)) - set(CITYSCAPES_IDS))),
)
"""Cityscapes' classes by the ids, from 0 to 34, in its files and GTA5's."""

TABLES = {"camvid": CAMVID, "cityscapes": CITYSCAPES}
"""The class tables by the names that `config.classes.table` can have; `add_table` adds to them."""


def add_table(name: str, table: ClassTable) -> ClassTable:
    """Makes a class table known by a name, for a data set that has classes of its own.

    Raises:
      UserError: the name is another table's.
    """
    if TABLES.setdefault(name, table) != table:
        raise UserError(f"class table {name!r} is there already, with other classes; rename it")
    return table


def encode(
    raw: np.ndarray,
    table: ClassTable,
    where: str,
    mend: str = "",
) -> np.ndarray:
    """Converts raw label values to train ids.

    Args:
      raw: [H, W] uint8 or uint16.
      table: the classes.
      where: the file, for the message.
      mend: what to do about a value outside the table, for the message; "": what a config can.
    Returns:
      [H, W] uint8 train ids, 255 where void.
    Raises:
      UserError: a value is neither a class nor void.
    """
    lookup = np.full(65536, -1, np.int16)
    lookup[list(table.values)] = np.arange(len(table))
    lookup[[IGNORE, *table.void_values]] = IGNORE
    encoded = lookup[raw]
    if encoded.min(initial=0) < 0:
        stray = np.unique(raw[encoded < 0])[:5].tolist()
        mend = mend or _mend(table)
        values, them = ", ".join(map(str, stray)), len(stray) > 1
        raise UserError(
            f"{where}: label value{'s' * them} {values} {'are' if them else 'is'} not in the class "
            f"table; {mend.replace('add it', 'add them') if them else mend}"
        )
    return encoded.astype(np.uint8)


def _mend(table: ClassTable) -> str:
    """What a config can do about a number that its class table does not have."""
    add = "add it to config.classes.label_values or config.classes.void_values"
    if table in TABLES.values():
        return f'{add}, with config.classes.table="" and names and palette of your own'
    return add


def label_ids(label: np.ndarray, table: ClassTable) -> np.ndarray:
    """Converts train ids [H, W] uint8 without void to a label file's numbers; reverses `encode`.

    Returns:
      [H, W] uint8, or uint16 where a number is above 255; Cityscapes' are its label ids.
    """
    values = CITYSCAPES_IDS if table == CITYSCAPES else table.values
    return np.array(values, np.uint8 if max(values) < 256 else np.uint16)[label]


def count(label: np.ndarray, num_classes: int) -> np.ndarray:
    """Pixels of each class in train ids [H, W] uint8, void last: [num_classes + 1] int64."""
    counts = np.bincount(label.ravel(), minlength=256)
    return np.append(counts[:num_classes], counts[IGNORE])


def colorize(label: np.ndarray, table: ClassTable) -> np.ndarray:
    """Train ids [H, W] uint8 to colours [H, W, 3] uint8; void is black."""
    colors = np.zeros((256, 3), np.uint8)
    colors[: len(table)] = table.palette
    return np.take(colors, label, axis=0)  # four times as fast as indexing
