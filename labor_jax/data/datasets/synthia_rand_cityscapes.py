"""SYNTHIA-RAND-CITYSCAPES as a TFDS data set, from the folder that its archive unpacks into.

`RGB/0000000.png` and `GT/LABELS/0000000.png`. A label is a 16-bit PNG of three channels: class,
instance and nothing. Pillow makes eight bits of it, which are all 0; OpenCV reads it as B, G, R.
"""

import cv2
import numpy as np
import tensorflow_datasets as tfds

from labor_jax.data.builders.paired import PairedBuilder
from labor_jax.data.labels import SYNTHIA_RAW
from labor_jax.util.errors import UserError


class SynthiaRandCityscapes(PairedBuilder):
    """Scenes of a simulated city (Ros et al., 2016) with Cityscapes' classes, all to train on."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "the folder RAND_CITYSCAPES that SYNTHIA_RAND_CITYSCAPES.rar of "
        "http://synthia-dataset.net/downloads/ unpacks into (or a zip archive of it)"
    )
    title = "SYNTHIA-RAND-CITYSCAPES"
    table = "cityscapes"
    homepage = "http://synthia-dataset.net"
    raw = SYNTHIA_RAW
    layout = {"train": ("RGB/*.png", "GT/LABELS/*.png")}  # noqa: RUF012
    full = {"train": 9400}  # noqa: RUF012

    @staticmethod
    def read_raw(data: bytes, where: str) -> np.ndarray:
        """The classes [H, W] uint16 of a label file's bytes."""
        channels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if channels is None or channels.dtype != np.uint16 or channels.shape[2:] != (3,):
            raise UserError(
                f"{where}: a label of SYNTHIA is a 16-bit PNG of three channels and this is none; "
                "take it from GT/LABELS of the original archive"
            )
        return channels[:, :, 2]
