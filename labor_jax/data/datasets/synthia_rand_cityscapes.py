"""SYNTHIA-RAND-CITYSCAPES, from the folder that its archive unpacks into.

The files are `RGB/0000000.png` and `GT/LABELS/0000000.png`. A label is a 16-bit PNG of three
channels: the class, the instance and an empty one. Pillow would keep eight bits, which are all 0.
OpenCV reads all bits, in the order B, G, R.
"""

import dataclasses
from functools import partial

import cv2
import numpy as np

from labor_jax.data.builders import paired
from labor_jax.data.dataset import DataSet, register
from labor_jax.data.labels import CITYSCAPES
from labor_jax.util.errors import UserError

IDS = (3, 4, 2, 21, 5, 7, 15, 9, 6, 16, 1, 10, 17, 8, 18, 19, 20, 12, 11)
"""The label id of each of Cityscapes' train ids in the files; every other id is void."""

RAW = dataclasses.replace(
    CITYSCAPES,
    values=IDS,
    void_values=tuple(sorted(set(range(23)) - set(IDS))),
)
"""Cityscapes' classes by the ids, from 0 to 22, in the files."""


def read_raw(data: bytes, where: str) -> np.ndarray:
    """The classes [H, W] uint16 of a label file's bytes."""
    channels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if channels is None or channels.dtype != np.uint16 or channels.shape[2:] != (3,):
        raise UserError(
            f"{where}: this is not a 16-bit PNG of three channels, as SYNTHIA's labels are; "
            "take it from GT/LABELS of the original archive"
        )
    return channels[:, :, 2]


FILES = paired.PairedFiles(
    name="synthia_rand_cityscapes",
    title="SYNTHIA-RAND-CITYSCAPES",
    download="the folder RAND_CITYSCAPES that SYNTHIA_RAND_CITYSCAPES.rar of "
    "http://synthia-dataset.net/downloads/ unpacks into (or a zip archive of it)",
    raw=RAW,
    layout={"train": ("RGB/*.png", "GT/LABELS/*.png")},
    full={"train": 9400},
    read_raw=read_raw,
)

register(
    DataSet(
        name=FILES.name,
        version="1.0.0",
        about="Scenes of a simulated city (Ros et al., 2016) with Cityscapes' classes, all to "
        "train on.",
        homepage="http://synthia-dataset.net",
        licence="CC BY-NC-SA 3.0, not for commercial use",
        table="cityscapes",
        native=((760, 1280),),
        download=FILES.download,
        check=partial(paired.find, FILES),
        make=partial(paired.make, FILES),
    )
)
