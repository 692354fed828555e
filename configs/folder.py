"""LabOR on your own images: a labelled source folder and a target folder.

    python -m labor_jax.main --config=configs/folder.py --workdir=runs/mine \\
        --config.source.images=game/images --config.source.labels=game/labels \\
        --config.target.images=street/images --config.target.labels=street/labels \\
        --config.val.images=street_val/images --config.val.labels=street_val/labels

A label map is a single-channel PNG with the name of its image. Copy this file and replace the
classes by yours. Without labels of `val` there are no scores. Only the simulated annotator reads
labels of `target`, so they are not needed if people answer (`--config.annotator=web`) or with
`--config.method=uda`. docs/your_own_data.md explains each step. `:frozen` is the one to begin with,
on any machine: EfficientNet-Lite0 comes with pip, and linear layers are fitted to its features. The
default trains all layers of a ResNet-50, on a GPU. `:quick` is for tests.
"""

import ml_collections

from labor_jax.config import check_variant, default_config


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Sizes and steps for one GPU, `frozen` for any machine, or `quick`."""
    check_variant(variant, "frozen", "quick")
    c = default_config()
    c.method = "labor_ppl"
    c.source.domain = c.target.domain = c.val.domain = "folder"
    c.classes.table = ""
    c.classes.names = ("road", "building", "vegetation", "sky", "person", "car")
    c.classes.palette = (
        (128, 64, 128),
        (70, 70, 70),
        (107, 142, 35),
        (70, 130, 180),
        (220, 20, 60),
        (0, 0, 142),
    )
    c.classes.label_values = (0, 1, 2, 3, 4, 5)  # what the label maps hold for each
    c.classes.void_values = (6,)
    c.input.size = (360, 640)
    c.model.backbone = "resnet50"
    c.batch_size = 4
    c.warmup_steps, c.adapt_steps, c.selector.steps = 5000, 2000, 500
    c.optimizer.learning_rate = 2.5e-3
    c.checkpoint_every = 500
    if variant == "frozen":
        c.input.size = (720, 1280)
        c.model.backbone, c.model.style = "efficientnet_lite0", "efficientnet"
        c.model.weights = "imagenet"
        c.model.freeze, c.model.head, c.model.output_stride = True, "linear", 32
        c.adapt = "none"
        c.warmup_steps, c.adapt_steps, c.selector.steps = 100, 100, 30
        c.optimizer.weight_decay = 2e-2
        c.loss.balance = 0.5
        c.selector.optimizer = "adam"
        c.selector.learning_rate = 1e-5
    if variant == "quick":
        c.input.size = (48, 64)
        c.model.backbone = "resnet18"
        c.model.width = 0.125
        c.batch_size = 2
        c.stages = 1
        c.warmup_steps, c.adapt_steps, c.selector.steps = 2, 2, 2
        c.previews = 1
    return c
