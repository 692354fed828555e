"""Cityscapes, from its two zip archives or the folders that they unpack into.

`leftImg8bit/{train,val}/CITY/CITY_000000_000019_leftImg8bit.png` and
`gtFine/{train,val}/CITY/CITY_000000_000019_gtFine_labelIds.png`. The labels of `test` are not
published: `labor-jax predict` reads its images from their folder.
"""

import pathlib
from functools import partial

from labor_jax.data.builders import paired
from labor_jax.data.dataset import DataSet, register
from labor_jax.data.labels import CITYSCAPES_RAW


def to_id(path: pathlib.PurePath) -> str:
    """CITY/CITY_000000_000019, as the names of a submission have it."""
    stem = path.stem.removesuffix("_leftImg8bit").removesuffix("_gtFine_labelIds")
    return f"{path.parent.name}/{stem}"


FILES = paired.PairedFiles(
    name="cityscapes",
    title="Cityscapes",
    download="leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of "
    "https://www.cityscapes-dataset.com/downloads/, where one has to register (or the folders "
    "leftImg8bit and gtFine that they unpack into)",
    raw=CITYSCAPES_RAW,
    layout={
        split: (
            f"leftImg8bit/{split}/*/*_leftImg8bit.png",
            f"gtFine/{split}/*/*_gtFine_labelIds.png",
        )
        for split in ("train", "val")
    },
    shipped=(("leftImg8bit_trainvaltest.zip",), ("gtFine_trainvaltest.zip",)),
    full={"train": 2975, "val": 500},
    to_id=to_id,
)

register(
    DataSet(
        name=FILES.name,
        version="1.0.0",
        about="Street scenes of fifty cities (Cordts et al., 2016), finely labelled.",
        homepage="https://www.cityscapes-dataset.com",
        licence="its own licence, not for commercial use",
        table="cityscapes",
        native=((1024, 2048),),
        download=FILES.download,
        check=partial(paired.find, FILES),
        make=partial(paired.make, FILES),
    )
)
