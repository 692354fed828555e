"""LabOR on toytown: from a clean drawn town to a rainy one seen by a poor camera.

    python -m labor_jax.main --config=configs/toytown.py --workdir=runs/scratch
    python -m labor_jax.main --config=configs/toytown.py:frozen --workdir=runs/toytown

Nothing has to be downloaded, as both domains are drawn here. The default trains all layers of a
narrow ResNet-18 from random weights, with discriminators. `:frozen` is what `make demo` runs: the
backbone's weights come with pip, and linear classifiers are fitted to its features. `:dinov2` is
the same on features of DINOv2, whose file docs/data_and_weights.md names; it has not been measured.
`:small` is the default for comparisons of many runs, half a minute each. `:quick` takes seconds and
is for tests.
"""

import ml_collections

from labor_jax.config import check_variant, default_config


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The default from scratch, `frozen`, `dinov2`, `small` or `quick`."""
    check_variant(variant, "frozen", "dinov2", "small", "quick")
    c = default_config()
    c.method = "labor_spl"
    for part in (c.source, c.target, c.val):
        part.domain = "toytown/160x120"
    c.input.size = (120, 160)
    c.model.width = 0.25
    c.batch_size = 4
    c.warmup_steps, c.adapt_steps, c.selector.steps = 400, 150, 30
    c.optimizer.name = "adam"
    c.optimizer.learning_rate = 2e-3
    c.optimizer.head_factor = 1.0
    c.optimizer.weight_decay = 0.0
    c.selector.optimizer = "adam"
    c.selector.learning_rate = 1e-5
    c.selector.head_factor = 10.0
    c.adversarial.aux = 0.0
    c.adversarial.width = 16
    c.ppl.points_per_class = 2
    c.budget.max_fraction = 0.05
    if variant in ("frozen", "dinov2"):
        for part in (c.source, c.target, c.val):
            part.domain = "toytown/240x180"
        # Three times the images' size: at stride 8 a pole is then more than a cell wide.
        c.input.size = (540, 720)
        c.model.backbone, c.model.style = "efficientnet_lite0", "efficientnet"
        c.model.width = 1.0
        c.model.weights = "imagenet"
        c.model.freeze, c.model.head, c.model.output_stride = True, "linear", 32
        c.adapt = "none"
        c.warmup_steps = c.adapt_steps = 100
        c.optimizer.weight_decay = 2e-2
        c.loss.balance = 0.5
        c.frozen.pixels = 400
        c.budget.max_fraction = 0.022
    if variant == "dinov2":
        c.input.size = (547, 729)  # 14 k + 1
        c.model.backbone, c.model.style = "dinov2_small", "pytorch"
        c.model.output_stride, c.model.levels = 14, 1
        c.model.weights = "weights/dinov2_vits14_pretrain.pth"
    if variant == "small":
        for part in (c.source, c.target, c.val):
            part.domain = "toytown/80x60"
        c.input.size = (60, 80)
        c.warmup_steps, c.adapt_steps = 300, 100
        c.ppl.radius = c.points.radius = 2
        c.spl.cell = c.superpixels.cell = 8
        c.eval_batch_size = 20
        c.previews = 3
    if variant == "quick":
        for part in (c.source, c.target, c.val):
            part.domain = "toytown/tiny"
        c.input.size = (48, 64)
        c.model.width = 0.125
        c.eval_batch_size = 4
        c.stages = 2
        c.warmup_steps, c.adapt_steps, c.selector.steps = 6, 4, 4
        c.checkpoint_every = 3
        c.log_every = 2
        c.previews = 2
    return c
