"""LabOR on your own images: a labelled source folder and a target folder.

    python -m labor_jax.main --config=configs/folder.py --workdir=runs/mine \\
        --config.source.images=game/images --config.source.labels=game/labels \\
        --config.target.images=street/images --config.target.labels=street/labels \\
        --config.val.images=street_val/images --config.val.labels=street_val/labels

A label map is a single-channel PNG beside an image of the same name. Copy this file and put your
classes in. Labels of `val` may be left out (no scores); labels of `target` are read by the
simulated annotator alone: not with `--config.annotator=web`, when people answer, nor with
`--config.method=uda`. docs/your_own_data.md goes through it step by step. `:quick` is for tests.
"""

import ml_collections

from labor_jax.config import check_variant, default_config


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Sizes and steps for one GPU, or `quick`."""
    check_variant(variant, "quick")
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
    if variant == "quick":
        c.input.size = (48, 64)
        c.model.backbone = "resnet18"
        c.model.width = 0.125
        c.batch_size = 2
        c.stages = 1
        c.warmup_steps, c.adapt_steps, c.selector.steps = 2, 2, 2
        c.previews = 1
    return c
