"""A domain from two folders: images, and label maps of the same relative names."""

import functools
import pathlib
from collections.abc import Collection, Set

import numpy as np

from labor_jax.data.domain import Domain, Headers
from labor_jax.data.image_files import (
    FIRST,
    LABEL_SUFFIXES,
    SUFFIXES,
    TURNED,
    TURNED_ALIKE,
    image_frame,
    label_is_turned,
    read_image_file,
    read_label_file,
)
from labor_jax.data.labels import ClassTable
from labor_jax.util.errors import UserError
from labor_jax.util.folders import below
from labor_jax.util.names import Names
from labor_jax.util.tally import Tally

__all__ = ["LICENCE", "Pair", "by_id", "load", "one", "pairs", "report_missing"]


LICENCE = "your own, as those who gave them allow"
"""The licence of the images, for exported segmenters."""

Pair = tuple[str, pathlib.Path, pathlib.Path | None]


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
    tally = Tally("image")
    found = pairs(pathlib.Path(images), pathlib.Path(labels) if labels else None, tally, only)
    tally.take(len(found))
    return _domain(f"folder {images}", found, table, tally)


def one(image: pathlib.Path) -> Domain:
    """A domain of one image. The file's content is checked when it is read."""
    return _domain(str(image), [(image.stem, image, None)], None, None)


def _domain(name: str, found: list[Pair], table: ClassTable | None, tally: Tally | None) -> Domain:
    """The domain of some images; they have all labels, which a table then describes, or none."""
    frame = functools.cache(lambda index: image_frame(found[index][1], str(found[index][1])))

    def read_image(index: int) -> np.ndarray:
        return read_image_file(found[index][1])

    def read_label(index: int) -> np.ndarray:
        path = found[index][2]
        assert path is not None and table is not None
        return read_label_file(path, table, frame(index))

    def headers(index: int) -> Headers:
        changes = [FIRST] if frame(index).several else []
        if frame(index).orientation != 1:
            changes.append(TURNED)
            path = found[index][2]
            if path and label_is_turned(path, str(path), frame(index)):
                changes.append(TURNED_ALIKE)
        return Headers(frame(index).size, tuple(changes))

    return Domain(
        name,
        ids=tuple(key for key, _, _ in found),
        read_image=read_image,
        read_label=read_label if all(label for _, _, label in found) else None,
        file=lambda index: found[index][1],
        headers=headers,
        tally=tally,
    )


def pairs(
    images: pathlib.Path,
    labels: pathlib.Path | None,
    tally: Tally,
    only: Collection[str] | None = None,
) -> list[Pair]:
    """(id, image, label) of every image, sorted by id; the id is the path without its suffix.

    A label that is no image's namesake is that image's whose name it has but for known endings.

    Args:
      tally: counts the files that are left out, and the labels of other names.
      only: as of `load`.
    """
    found = by_id(images, SUFFIXES, tally)
    if labels is None:
        return [(name, path, None) for name, path in _only(found, only).items()]
    marked = _named_like(found, by_id(labels, LABEL_SUFFIXES, tally), tally)
    found, marked = _only(found, only), _only(marked, only)
    images_alone, labels_alone = found.keys() - marked.keys(), marked.keys() - found.keys()
    report_missing(images_alone, "image", images, "label", labels, labels_alone)
    report_missing(labels_alone, "label", labels, "image", images)
    return [(name, path, marked[name]) for name, path in found.items()]


def _named_like(
    images: dict[str, pathlib.Path], labels: dict[str, pathlib.Path], tally: Tally
) -> dict[str, pathlib.Path]:
    """The labels by the ids of their images, where one label alone fits an image without one."""
    lone = sorted(labels.keys() - images.keys())
    names = Names(sorted(images.keys() - labels.keys()))
    fits: dict[str, list[str]] = {}
    for label in lone:
        if (image := names.find(label).id) is not None:
            fits.setdefault(image, []).append(label)
    own = {of[0]: image for image, of in fits.items() if len(of) == 1}
    for label, image in own.items():
        told = f"{label} is the label of {image}"
        tally.change("paired", "label", "of another name than its image", told)
    return {own.get(label, label): path for label, path in labels.items()}


def _only(found: dict[str, pathlib.Path], names: Collection[str] | None) -> dict[str, pathlib.Path]:
    return found if names is None else {name: found[name] for name in found if name in names}


def by_id(root: pathlib.Path, suffixes: tuple[str, ...], tally: Tally) -> dict[str, pathlib.Path]:
    """Every file below `root` with one of the suffixes, by its id, sorted.

    Raises:
      UserError: there is no such folder or file, or two files have one id.
    """
    kinds = ", ".join(suffixes)
    if not root.is_dir():
        raise UserError(f"{root}: there is no such folder; give one with {kinds} files")
    here = Tally("file")
    files: dict[str, pathlib.Path] = {}
    for name, path in below(root, here).items():
        if path.suffix.lower() not in suffixes:
            what = f"{path.suffix} file" if path.suffix else "file without suffix"
            here.leave_out(what, f"ending in none of {kinds}", name)
            continue
        key = name.removesuffix(path.suffix)
        if key in files:
            raise UserError(f"{path}: {files[key].name} has the same name; rename one of the two")
        files[key] = path
    if not files:
        why = "; JPEG would change a label map's numbers" if suffixes == LABEL_SUFFIXES else ""
        there = f" ({here.total().partition('; ')[2]})" if here.left_out else ""
        raise UserError(
            f"{root}: no files that end in {kinds}{there}; give a folder that has some{why}"
        )
    tally.merge(here)
    return dict(sorted(files.items()))


def report_missing(
    names: Set[str],
    one: str,
    here: pathlib.Path,
    other: str,
    there: pathlib.Path,
    lone: Set[str] = frozenset(),
) -> None:
    """Raises UserError if `names` of `here` have no partner in `there`, where `lone` have none."""
    if not names:
        return
    first = ", ".join(sorted(names)[:3]) + (", …" if len(names) > 3 else "")
    many = len(names) > 1
    partner = there / min(names)
    if one == "image" and partner.parent.is_dir():
        lossy = sorted(path for path in partner.parent.iterdir() if path.stem == partner.name)
        if lossy:
            raise UserError(
                f"{lossy[0]}: a label map must be PNG, JPEG would change it; save it as PNG"
            )
    near = Names(sorted(lone)).near(min(names))
    shown = f" (nearest to {min(names)} there: {', '.join(near)})" if near else ""
    raise UserError(
        f"{here}: {len(names)} {one}{'s' * many} without {other} ({first}); "
        f"add the {other}{'s' * many} to {there}{shown} or remove the {one}{'s' * many}"
    )
