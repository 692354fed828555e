"""GTA5, from its twenty zip archives or the two folders that they unpack into.

`images/00001.png` and `labels/00001.png`. A label is a palette PNG: its indices are Cityscapes'
label ids. Images are of several sizes, and some labels of another size than their image.
"""

from functools import partial

from labor_jax.data.builders import paired
from labor_jax.data.dataset import DataSet, register
from labor_jax.data.labels import CITYSCAPES_RAW

FILES = paired.PairedFiles(
    name="gta5",
    title="GTA5",
    download="01_images.zip to 10_images.zip and 01_labels.zip to 10_labels.zip of "
    "https://download.visinf.tu-darmstadt.de/data/from_games/ (or the folders images and "
    "labels that they unpack into)",
    raw=CITYSCAPES_RAW,
    layout={"train": ("images/*.png", "labels/*.png")},
    shipped=(
        tuple(f"{part:02d}_images.zip" for part in range(1, 11)),
        tuple(f"{part:02d}_labels.zip" for part in range(1, 11)),
    ),
    full={"train": 24966},
)

register(
    DataSet(
        name=FILES.name,
        version="1.0.0",
        about="Frames of a video game (Richter et al., Playing for Data, 2016), all to train on.",
        homepage="https://download.visinf.tu-darmstadt.de/data/from_games/",
        licence="for research and education only",
        table="cityscapes",
        native=((1052, 1914),),
        download=FILES.download,
        check=partial(paired.find, FILES),
        make=partial(paired.make, FILES),
    )
)
