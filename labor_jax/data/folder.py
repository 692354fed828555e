"""A domain from two folders: images, and label maps of the same relative names."""

import functools
import pathlib
from collections.abc import Collection, Set

import numpy as np

from labor_jax.data.domain import Domain
from labor_jax.data.image_files import (
    LABEL_SUFFIXES,
    SUFFIXES,
    image_size,
    read_image_file,
    read_label_file,
)
from labor_jax.data.labels import ClassTable
from labor_jax.util.errors import UserError

__all__ = ["LICENCE", "Pair", "by_id", "load", "one", "pairs", "report_missing"]


LICENCE = "your own, as those who gave them allow"
"""The licence of the images, for exported segmenters."""


def load(
    images: str, labels: str, table: ClassTable, only: Collection[str] | None = None
) -> Domain:
    """The images below a folder, with the label maps below another, or "" for none.

    Names and pairs are checked here. A file's content is checked when it is read.

    Args:
      only: the ids of the images that are looked at; None for all.
    Raises:
      UserError: a folder is missing or empty, or an image has no label, or the reverse.
    """
    if not images:
        raise UserError(
            "domain 'folder': images is empty; give config.source.images, config.target.images and "
            "config.val.images (without labelled images to score on, the target's once more)"
        )
    found = pairs(pathlib.Path(images), pathlib.Path(labels) if labels else None, only)
    size = functools.cache(lambda index: image_size(found[index][1]))

    def read_image(index: int) -> np.ndarray:
        return read_image_file(found[index][1])

    def read_label(index: int) -> np.ndarray:
        path = found[index][2]
        assert path is not None  # `labels` was given
        return read_label_file(path, table, size(index))

    ids = tuple(name for name, _, _ in found)
    return Domain(
        f"folder {images}",
        ids,
        read_image,
        read_label if labels else None,
        file=lambda index: found[index][1],
    )


def one(image: pathlib.Path) -> Domain:
    """A domain of one image. The file's content is checked when it is read."""
    return Domain(str(image), (image.stem,), lambda _: read_image_file(image), None)


Pair = tuple[str, pathlib.Path, pathlib.Path | None]


def pairs(
    images: pathlib.Path, labels: pathlib.Path | None, only: Collection[str] | None = None
) -> list[Pair]:
    """(id, image, label) of every image, sorted by id; the id is the path without its suffix.

    Args:
      only: as of `load`.
    """
    found = _only(by_id(images, SUFFIXES), only)
    if labels is None:
        return [(name, path, None) for name, path in found.items()]
    marked = _only(by_id(labels, LABEL_SUFFIXES), only)
    report_missing(found.keys() - marked.keys(), "image", images, "label", labels)
    report_missing(marked.keys() - found.keys(), "label", labels, "image", images)
    return [(name, path, marked[name]) for name, path in found.items()]


def _only(found: dict[str, pathlib.Path], names: Collection[str] | None) -> dict[str, pathlib.Path]:
    return found if names is None else {name: found[name] for name in found if name in names}


def by_id(root: pathlib.Path, suffixes: tuple[str, ...]) -> dict[str, pathlib.Path]:
    """Every file below `root` with one of the suffixes, by its id, sorted."""
    kinds = ", ".join(suffixes)
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder; give one with {kinds} files")
    files: dict[str, pathlib.Path] = {}
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() not in suffixes or path.name.startswith(".") or path.is_dir():
            continue
        name = path.relative_to(root).with_suffix("").as_posix()
        if name in files:
            raise UserError(f"{path}: {files[name].name} has the same name; rename one of the two")
        files[name] = path
    if not files:
        why = "; JPEG would change a label map's numbers" if suffixes == LABEL_SUFFIXES else ""
        raise UserError(f"{root}: no files that end in {kinds}; give a folder that has some{why}")
    return dict(sorted(files.items()))


def report_missing(
    names: Set[str], one: str, here: pathlib.Path, other: str, there: pathlib.Path
) -> None:
    """Raises UserError if `names` of `here` have no partner in `there`."""
    if not names:
        return
    first = ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")
    many = len(names) > 1
    near = sorted(there.glob(f"{min(names)}.*"))
    if near and one == "image":
        raise UserError(f"{near[0]}: a label map must be PNG, JPEG would change it; save it as PNG")
    raise UserError(
        f"{here}: {len(names)} {one}{'s' * many} without {other} ({first}); "
        f"add the {other}{'s' * many} to {there} or remove the {one}{'s' * many}"
    )
