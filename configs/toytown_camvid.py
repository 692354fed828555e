"""LabOR from toytown to real streets: CamVid at half size, MobileNetV2 from ImageNet.

    labor-jax prepare-data --dataset=camvid --manual_dir=CamVid --data_dir=data
    python -m labor_jax.main --config=configs/toytown_camvid.py --workdir=runs/camvid

`CamVid` is the folder of the public SegNet tutorial (train, trainannot, val, valannot). The
backbone's weights are read from weights/mobilenet_v2_imagenet.npz; an empty
`--config.model.weights=` trains from scratch. A method takes about ten minutes on two CPU cores.
`:large` is the full 480x360 at output stride 8, for an accelerator; `:quick` is for tests.
"""

import ml_collections

from labor_jax.config import check_variant, default_config


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The default for a CPU, `large` or `quick`."""
    check_variant(variant, "quick", "large")
    c = default_config()
    c.method = "labor_spl"
    c.source.domain = "toytown/240x180"
    c.target.domain = c.val.domain = "camvid"
    c.target.split, c.val.split = "train", "val"
    c.input.size = (180, 240)
    c.model.backbone = "mobilenet_v2"
    c.model.style = "tensorflow"
    c.model.batch_norm = "folded"
    c.model.output_stride = 16
    c.model.weights = "weights/mobilenet_v2_imagenet.npz"
    c.batch_size = 4
    c.warmup_steps, c.adapt_steps = 300, 100
    c.optimizer.name = "adam"
    c.optimizer.learning_rate = 1e-4
    c.optimizer.weight_decay = 0.0
    c.selector.optimizer = "adam"
    c.selector.learning_rate = 1e-5
    c.selector.head_factor = 3.0
    c.selector.steps = 30
    c.adversarial.aux = 0.0
    c.adversarial.width = 16
    c.spl.cell = 8
    c.ppl.points_per_class = 2
    c.ppl.radius = 8
    if variant == "large":
        c.source.domain = "toytown/480x360"
        c.input.size = (360, 480)
        c.model.output_stride = 8
        c.batch_size = 8
        c.warmup_steps, c.adapt_steps, c.selector.steps = 1000, 500, 200
        c.adversarial.width = 64
    if variant == "quick":
        c.source.domain = "toytown/tiny"
        c.input.size = (48, 64)
        c.model.width = 0.25
        c.model.weights = ""
        c.batch_size = 2
        c.stages = 1
        c.warmup_steps, c.adapt_steps, c.selector.steps = 2, 2, 2
        c.previews = 1
    return c
