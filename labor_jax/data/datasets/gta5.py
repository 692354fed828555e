"""GTA5 as a TFDS data set, from its twenty zip archives or the two folders that they unpack into.

`images/00001.png` and `labels/00001.png`. A label is a palette PNG: its indices are Cityscapes'
label ids. Images are of several sizes, and some labels of another size than their image.
"""

import tensorflow_datasets as tfds

from labor_jax.data.builders.paired import PairedBuilder
from labor_jax.data.labels import CITYSCAPES_RAW


class Gta5(PairedBuilder):
    """Frames of a video game (Richter et al., Playing for Data, 2016), all to train on."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "01_images.zip to 10_images.zip and 01_labels.zip to 10_labels.zip of "
        "https://download.visinf.tu-darmstadt.de/data/from_games/ (or the folders images and "
        "labels that they unpack into)"
    )
    title = "GTA5"
    table = "cityscapes"
    homepage = "https://download.visinf.tu-darmstadt.de/data/from_games/"
    raw = CITYSCAPES_RAW
    layout = {"train": ("images/*.png", "labels/*.png")}  # noqa: RUF012
    shipped = (
        tuple(f"{part:02d}_images.zip" for part in range(1, 11)),
        tuple(f"{part:02d}_labels.zip" for part in range(1, 11)),
    )
    full = {"train": 24966}  # noqa: RUF012
