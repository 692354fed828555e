"""Label-efficient learning on CamVid, without a source: EfficientNet-Lite0 from ImageNet weights.

    labor-jax prepare-data --dataset=camvid --manual_dir=CamVid --data_dir=data
    python -m labor_jax.main --config=configs/camvid.py --workdir=runs/camvid_full

`CamVid` is the folder of the public SegNet tutorial (train, trainannot, val, valannot). The
backbone's weights come with pip. `:frozen` is the one to begin with: it trains no backbone, its
features are made once, a linear layer is fitted to them in seconds, and ten random points an image
are asked. `:tuned` trains all layers from there, with the answers of that run (see docs/method.md):

    python -m labor_jax.main --config=configs/camvid.py:frozen --workdir=runs/frozen
    labor-jax export --workdir=runs/frozen --format=safetensors --out=runs/frozen.safetensors
    python -m labor_jax.main --config=configs/camvid.py:tuned --workdir=runs/tuned

The default trains all layers for 1,200 steps, 30 to 40 minutes on one CPU core, with every pixel
labelled (`--config.method=full`). README.md has the scores. Other methods ask instead, such as
`--config.method=margin`, forty points an image in all; few answers are better used by `:frozen`.
`:large` is the default for an accelerator, 40,000 steps, and has not been measured; `:quick` is for
tests.
"""

import ml_collections

from labor_jax.config import check_variant, default_config


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The default for a CPU, `frozen`, `tuned`, `large` or `quick`."""
    check_variant(variant, "frozen", "tuned", "large", "quick")
    c = default_config()
    c.method = "full"
    c.source.domain = ""
    c.target.domain = c.val.domain = "camvid"
    c.target.split, c.val.split = "train", "val"
    c.warmup_steps, c.stages, c.adapt_steps = 0, 1, 1200
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
    c.batch_size = 8
    c.adapt = "none"
    c.optimizer.name = "adamw"
    c.optimizer.learning_rate = 5e-4
    c.optimizer.head_factor = 5.0
    c.optimizer.weight_decay = 1e-4
    c.optimizer.warmup = 50
    c.optimizer.average = 0.99
    c.loss.balance = 0.5
    c.selector.optimizer = "adam"
    c.selector.learning_rate = 1e-5
    c.selector.steps = 30
    c.ppl.radius = c.points.radius = 8
    if variant in ("frozen", "tuned"):
        # Twice the images' size: at stride 8 a pole is then more than a cell wide.
        c.input.size = (720, 960)
        c.model.head, c.model.output_stride = "linear", 32
    if variant == "frozen":
        c.method = "random"
        c.budget.points_per_image = 10
        c.adapt_steps = 100
        c.model.freeze = True
        c.optimizer.average, c.optimizer.weight_decay = 0.0, 2e-2
    if variant == "tuned":
        c.annotator, c.replay = "replay", "runs/frozen"
        c.model.weights = "runs/frozen.safetensors"
        c.model.batch_norm = "frozen"  # two images are too few for statistics
        c.input.crop, c.input.scale = (), (0.8, 1.25)
        c.batch_size = 2
        c.adapt_steps = 200
        c.optimizer.learning_rate = 1e-4
        c.optimizer.head_factor = 2.0
    if variant == "large":
        c.adapt_steps = 40_000
        c.input.crop = (360, 480)
        c.input.scale = (0.5, 2.0)
        c.model.output_stride = 8
        c.batch_size = 16
        c.optimizer.warmup = 1500
        c.optimizer.average = 0.999
        c.checkpoint_every = 1000
    if variant == "quick":
        c.input.size, c.input.crop = (48, 64), (48, 64)
        c.model.backbone, c.model.style, c.model.weights = "resnet18", "pytorch", ""
        c.model.width, c.model.dilations = 0.125, (1, 2)
        c.batch_size = 2
        c.adapt_steps = c.selector.steps = 2
        c.optimizer.warmup = 0
        c.previews = 1
    return c
