"""Cityscapes as a TFDS data set, from its two zip archives or the folders that they unpack into.

`leftImg8bit/{train,val}/CITY/CITY_000000_000019_leftImg8bit.png` and
`gtFine/{train,val}/CITY/CITY_000000_000019_gtFine_labelIds.png`. The labels of `test` are not
published: `labor-jax predict` reads its images from their folder.
"""

import pathlib

import tensorflow_datasets as tfds

from labor_jax.data.builders.paired import PairedBuilder
from labor_jax.data.labels import CITYSCAPES_RAW


class Cityscapes(PairedBuilder):
    """Street scenes of fifty cities (Cordts et al., 2016), finely labelled."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of "
        "https://www.cityscapes-dataset.com/downloads/, where one has to register (or the folders "
        "leftImg8bit and gtFine that they unpack into)"
    )
    title = "Cityscapes"
    table = "cityscapes"
    homepage = "https://www.cityscapes-dataset.com"
    raw = CITYSCAPES_RAW
    layout = {  # noqa: RUF012
        split: (
            f"leftImg8bit/{split}/*/*_leftImg8bit.png",
            f"gtFine/{split}/*/*_gtFine_labelIds.png",
        )
        for split in ("train", "val")
    }
    shipped = (("leftImg8bit_trainvaltest.zip",), ("gtFine_trainvaltest.zip",))
    full = {"train": 2975, "val": 500}  # noqa: RUF012

    @staticmethod
    def to_id(path: pathlib.PurePath) -> str:
        """CITY/CITY_000000_000019, as the names of a submission have it."""
        stem = path.stem.removesuffix("_leftImg8bit").removesuffix("_gtFine_labelIds")
        return f"{path.parent.name}/{stem}"
