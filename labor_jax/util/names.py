"""Which of our images a name in another program's file stands for.

Tools lengthen paths ("/data/upload/3/1a2b3c4d-a.png"), shorten them ("a.png") and add endings
("a_gtFine_labelIds.png"). A name is compared with the ids from the right, folder by folder, and
stands for an id only if it fits no other.
"""

import difflib
import re
import unicodedata
import urllib.parse
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

FOLDERS = frozenset(
    {
        "annotations",
        "data",
        "default",
        "image",
        "images",
        "img",
        "imgs",
        "jpegimages",
        "label",
        "labels",
        "mask",
        "masks",
        "segmentationclass",
        "upload",
        "uploads",
    }
)
"""Folders that tools put in front of a path, in lower case."""

SUFFIX = re.compile(r"\.(png|jpe?g|jfif|webp|bmp|tiff?|gif|json|xml|txt)$", re.IGNORECASE)

UPLOADED = (
    re.compile(r"^[0-9a-f]{8}-"),  # Label Studio
    re.compile(r"[_.-](png|jpe?g|webp|bmp|tiff?)\.rf\.[0-9A-Za-z]{20,32}$"),  # Roboflow
)
"""What tools add to the name of an uploaded file, whose folders they drop."""

UNDONE = (
    *UPLOADED,
    re.compile(r"_(gtFine|gtCoarse)_(labelIds|labelTrainIds)$"),  # Cityscapes
    re.compile(r"_(label_?)?(train_?)?ids?$", re.IGNORECASE),  # BDD100K: _train_id
    re.compile(r"_(labels?|masks?|seg|segmentation|gt|annotations?|L)$"),  # CamVid: _L
    re.compile(r"_(leftImg8bit|image|img|rgb)$"),  # of images
    SUFFIX,
)
"""What tools and data sets put before and behind a file's name."""


class Found(NamedTuple):
    """What a name stands for.

    Attributes:
      id: the one that it fits; None where there is none, or several.
      how: "same", "path" (its folders are more or fewer) or "renamed" (a known prefix or ending was
        undone).
      several: the ids that it fits, where these are several.
    """

    id: str | None
    how: str
    several: tuple[str, ...] = ()


class Names:
    """The ids of images, to find names in.

    An id is a path with "/" and without suffix.

    Attributes:
      ids: all of them, in the order given.
    """

    def __init__(self, ids: Iterable[str], folders: Collection[str] = ()) -> None:
        """Indexes the ids.

        Args:
          folders: names of folders that may stand in front of an id, besides `FOLDERS`.
        """
        self.ids = list(ids)
        self._folders = FOLDERS | {folder.lower() for folder in folders}
        self._by_name: dict[str, list[tuple[list[str], str]]] = {}
        self._by_core: dict[str, list[tuple[list[str], str]]] = {}
        for key in self.ids:
            *above, name = _plain(key).split("/")
            self._by_name.setdefault(name, []).append((above, key))
            for core in {text.casefold() for text in (*_undone(name), _uploaded(name))}:
                self._by_core.setdefault(core, []).append((above, key))

    def find(self, name: str) -> Found:
        """The id that a name, a path or an address, stands for."""
        for path, anywhere in _paths(name):
            *above, last = path
            stem = SUFFIX.sub("", last)
            for how, tries, index in (
                ("same", [last, stem], self._by_name),
                ("renamed", list(_undone(last)), self._by_name),
                ("renamed", [text.casefold() for text in _undone(last)], self._by_core),
            ):
                if how == "renamed" and any(pattern.search(stem) for pattern in UPLOADED):
                    above = []
                fits = {
                    key: folders
                    for tried in tries
                    for folders, key in index.get(tried, [])
                    if self._fits(above, folders, last, anywhere)
                }
                if found := _best(fits, above):
                    if len(found) > 1:
                        return Found(None, how, tuple(sorted(found)))
                    whole = how == "same" and fits[found[0]] == above
                    return Found(found[0], "same" if whole else how.replace("same", "path"))
        return Found(None, "same")

    def _fits(self, above: list[str], folders: list[str], last: str, anywhere: bool) -> bool:
        """Whether a path's folders and an id's are the same, from the right."""
        common = min(len(above), len(folders))
        if above[len(above) - common :] != folders[len(folders) - common :]:
            return False
        more = above[: len(above) - common]
        if more[:1] == ["upload"] and more[1:2] and more[1].isdigit():  # a project of Label Studio
            more = more[2:]
        return anywhere or all(
            folder.lower() in self._folders or last.startswith(f"{folder}_") for folder in more
        )

    def near(self, name: str, most: int = 3) -> list[str]:
        """The ids that are spelled most like a name, the most similar first."""
        path = "/".join(next(_paths(name))[0])
        stem = SUFFIX.sub("", path)
        last = stem.rpartition("/")[2]
        found = difflib.get_close_matches(stem, self.ids, most, 0.6)
        same = [key for _, key in self._by_core.get(last.casefold(), [])]
        return list(dict.fromkeys([*same, *found]))[:most]


def _best(fits: dict[str, list[str]], above: list[str]) -> list[str]:
    """The ids that a path fits best: that with its own folders, or those left after that.

    Where several ids are ends of the path, the longest of them is what the path says.
    """
    same = [key for key, folders in fits.items() if folders == above]
    if same:
        return same
    inside = [key for key, folders in fits.items() if len(folders) < len(above)]
    longest = max((len(fits[key]) for key in inside), default=0)
    return [key for key in fits if key not in inside or len(fits[key]) == longest]


def _paths(name: str) -> Iterator[tuple[list[str], bool]]:
    """A name's parts, as it stands and as an address; and whether it begins somewhere unknown."""
    name = name.strip()
    asked = re.search(r"[?&]d=([^&#]*)", name)  # a local file of Label Studio
    address = re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name)
    texts = [name]
    if asked:
        texts = [asked[1]]
    elif address:
        texts = [re.split(r"[?#]", name)[0][address.end() :]]
    if (decoded := urllib.parse.unquote(texts[0])) != texts[0]:
        texts = [decoded, *texts] if asked or address else [*texts, decoded]
    anywhere = bool(asked or address or re.match(r"[/\\]|[A-Za-z]:[/\\]|\.\.[/\\]", name))
    for text in texts:
        parts = [p for p in re.split(r"[/\\]", _plain(text)) if p not in ("", ".", "..")]
        yield parts or [""], anywhere


def _plain(text: str) -> str:
    """A text whose accented letters are one character each: file systems differ in this."""
    return unicodedata.normalize("NFC", text)


def _undone(name: str) -> Iterator[str]:
    """A file's name with its known prefixes and endings undone, the fewest first."""
    queue = [name]
    for known in queue:
        yield known
        shorter = [pattern.sub("", known) for pattern in UNDONE]
        queue += [text for text in dict.fromkeys(shorter) if text and text not in queue]


def _uploaded(name: str) -> str:
    """A name as an upload to Label Studio spells it [cited: Django, get_valid_filename]."""
    return re.sub(r"(?u)[^-\w.]", "", name.strip().replace(" ", "_"))
