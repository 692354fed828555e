"""Small GTA5, SYNTHIA-RAND-CITYSCAPES and Cityscapes in their sites' own layouts and encodings.

Each `make_…` takes maps of train ids [H, W] uint8 (255 = void) that the set's labels shall mean,
writes either what the site ships or what that unpacks into, and returns the maps by split and id.
`mini_sets` makes all three, ready for `prepare_data` and for quick runs.
"""

import io
import json
import pathlib
import zipfile

import cv2
import numpy as np
from PIL import Image

from labor_jax.data import labels
from labor_jax.data.datasets.synthia_rand_cityscapes import RAW as SYNTHIA_RAW

Known = dict[str, dict[str, np.ndarray]]
"""Train ids by split and id."""

PALETTE = np.zeros((256, 3), np.uint8)
PALETTE[list(labels.CITYSCAPES_IDS)] = labels.CITYSCAPES.palette
PALETTE[34] = (0, 0, 142)  # number plates look like cars: colours alone do not tell classes


def mini_sets(root: pathlib.Path, seed: int = 0, archives: bool = True) -> dict[str, Known]:
    """All three below `root`, each in the folder of its name, which is its `manual_dir`.

    GTA5 has 6 pairs, about 96x64, of which one label is of another size than its image; SYNTHIA 6
    of 96x64; Cityscapes 6 to train and 4 to validate on, of 128x64. All 19 classes and void are in
    every map. With `archives`, GTA5 and Cityscapes are zip archives; SYNTHIA's site ships a .rar,
    which has to be unpacked, so it is a folder always.
    Returns:
      the maps by name of the data set, split and id.
    """
    rng = np.random.default_rng(seed)

    def maps(count: int, *sizes: tuple[int, int]) -> list[np.ndarray]:
        return [random_map(rng, *sizes[index % len(sizes)]) for index in range(count)]

    return {
        "gta5": make_gta5(root / "gta5", maps(6, (64, 96), (60, 98)), archives),
        "synthia_rand_cityscapes": make_synthia(
            root / "synthia_rand_cityscapes", maps(6, (64, 96)), False
        ),
        "cityscapes": make_cityscapes(
            root / "cityscapes", maps(6, (64, 128)), maps(4, (64, 128)), archives
        ),
    }


def random_map(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Train ids in blocks, all 19 and void among them: [H, W] uint8, at least 20 by 20."""
    blocks = np.append(rng.permutation(19), [255, *rng.integers(0, 19, 5)]).reshape(5, 5)
    rows = np.arange(height) * 5 // height
    columns = np.arange(width) * 5 // width
    return blocks[rows[:, None], columns].astype(np.uint8)


def make_gta5(root: pathlib.Path, maps: list[np.ndarray], archives: bool) -> Known:
    """Palette PNGs of label ids; the second label is twice as large as its image."""
    known = {f"{index:05d}": map_ for index, map_ in enumerate(maps, 1)}
    parts = {f"{n:02d}_{kind}.zip": {} for n in range(1, 11) for kind in ("images", "labels")}
    for index, (name, map_) in enumerate(known.items()):
        raw = raw_values(map_, labels.CITYSCAPES_RAW)
        if index == 1:
            raw = raw.repeat(2, axis=0).repeat(2, axis=1)
        part = index * 10 // len(known) + 1
        parts[f"{part:02d}_images.zip"][f"images/{name}.png"] = png(photo(map_))
        parts[f"{part:02d}_labels.zip"][f"labels/{name}.png"] = palette_png(raw)
    write(root, parts, archives)
    return {"train": known}


def make_synthia(root: pathlib.Path, maps: list[np.ndarray], archives: bool) -> Known:
    """16-bit PNGs: red the class, green the instance, blue nothing."""
    known = {f"{index:07d}": map_ for index, map_ in enumerate(maps)}
    files = {"RAND_CITYSCAPES/README.txt": b"SYNTHIA"}
    for name, map_ in known.items():
        raw = raw_values(map_, SYNTHIA_RAW)
        instance = np.arange(raw.size, dtype=np.uint16).reshape(raw.shape)
        blue_green_red = np.stack([np.zeros_like(instance), instance, raw.astype(np.uint16)], -1)
        colors = labels.colorize(map_, labels.CITYSCAPES)
        files[f"RAND_CITYSCAPES/RGB/{name}.png"] = png(photo(map_))
        files[f"RAND_CITYSCAPES/GT/LABELS/{name}.png"] = encode(blue_green_red)
        files[f"RAND_CITYSCAPES/GT/COLOR/{name}.png"] = png(colors)
        files[f"RAND_CITYSCAPES/Depth/Depth/{name}.png"] = encode(instance)
    write(root, {"SYNTHIA_RAND_CITYSCAPES.zip": files}, archives)
    return {"train": known}


def make_cityscapes(
    root: pathlib.Path, train: list[np.ndarray], val: list[np.ndarray], archives: bool
) -> Known:
    """Grey PNGs of label ids beside all that is not read; `test` with labels that say nothing."""
    known, images, marks = {}, {"README": b"", "license.txt": b""}, {"README": b""}
    nothing = np.full((64, 128), 255, np.uint8)
    splits = (("train", "aachen", train), ("val", "lindau", val), ("test", "bonn", [nothing]))
    for split, city, maps in splits:
        for index, map_ in enumerate(maps):
            stem = f"{city}_{index:06d}_000019"
            raw = raw_values(map_, labels.CITYSCAPES_RAW)
            beside = f"gtFine/{split}/{city}/{stem}_gtFine"
            images[f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png"] = png(photo(map_))
            marks[f"{beside}_labelIds.png"] = encode(raw)
            marks[f"{beside}_color.png"] = png(PALETTE[raw])
            marks[f"{beside}_instanceIds.png"] = encode(raw.astype(np.uint16) * 1000)
            marks[f"{beside}_polygons.json"] = json.dumps({"objects": []}).encode()
            known.setdefault(split, {})[f"{city}/{stem}"] = map_
    parts = {"leftImg8bit_trainvaltest.zip": images, "gtFine_trainvaltest.zip": marks}
    write(root, parts, archives)
    return {split: known[split] for split in ("train", "val")}


def raw_values(map_: np.ndarray, table: labels.ClassTable) -> np.ndarray:
    """Train ids as a site's values [H, W] uint8; void becomes each of its void values."""
    voids = np.array(table.void_values, np.uint8)
    raw = voids[np.arange(map_.size) % len(voids)].reshape(map_.shape)
    for train_id, value in enumerate(table.values):
        raw[map_ == train_id] = value
    return raw


def photo(map_: np.ndarray) -> np.ndarray:
    """An image [H, W, 3] uint8 from which the classes can be learnt."""
    noise = np.random.default_rng(map_.size).integers(-20, 21, (*map_.shape, 3))
    colors = labels.colorize(map_, labels.CITYSCAPES).astype(int)
    return np.clip(colors + noise, 0, 255).astype(np.uint8)


def png(image: np.ndarray) -> bytes:
    """A PNG of an image [H, W, 3] uint8 RGB."""
    return encode(image[:, :, ::-1])


def encode(pixels: np.ndarray) -> bytes:
    """A PNG of pixels as OpenCV orders them, 8 or 16 bits deep."""
    return cv2.imencode(".png", np.ascontiguousarray(pixels))[1].tobytes()


def palette_png(indices: np.ndarray) -> bytes:
    """A palette PNG of indices [H, W] uint8."""
    image = Image.fromarray(indices, "P")
    image.putpalette(PALETTE.tobytes())
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def write(root: pathlib.Path, parts: dict[str, dict[str, bytes]], archives: bool) -> None:
    """Files by archive and path, as the archives or as what they unpack into."""
    root.mkdir(parents=True, exist_ok=True)
    for archive, files in parts.items():
        if archives:
            with zipfile.ZipFile(root / archive, "w", zipfile.ZIP_DEFLATED) as opened:
                for path, data in files.items():
                    opened.writestr(path, data)
        else:
            for path, data in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(data)
