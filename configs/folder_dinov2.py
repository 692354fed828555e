"""Your own images without a source, on features of DINOv2.

    python -m labor_jax.main --config=configs/folder_dinov2.py --workdir=runs/mine \\
        --config.target.images=street/images --config.target.labels=street/labels \\
        --config.val.images=street_val/images --config.val.labels=street_val/labels

Copy this file and replace the classes by yours. Labels of `target` are needed by the simulated
annotator alone: with `--config.annotator=web` people answer. The hub's file is
`weights/dinov2_vits14_pretrain.pth`, see docs/data_and_weights.md. The backbone is not trained:
features are made once, and a linear layer is fitted to the answers after each of three stages. The
first stage asks random points, the others those about which the layer is least sure. `:quick` is
for tests: all layers, from random weights.
"""

import ml_collections

from labor_jax.config import check_variant, default_config


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Frozen, or `quick`."""
    check_variant(variant, "quick")
    c = default_config()
    c.method = "margin"
    c.budget.points_per_image = 15
    c.source.domain = ""
    c.target.domain = c.val.domain = "folder"
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
    c.warmup_steps, c.stages, c.adapt_steps = 0, 3, 100
    c.input.size = (365, 645)  # 14 k + 1
    c.model.backbone, c.model.output_stride = "dinov2_small", 14
    c.model.head, c.model.levels = "linear", 1
    c.model.weights, c.model.freeze = "weights/dinov2_vits14_pretrain.pth", True
    c.adapt = "none"
    c.optimizer.weight_decay = 2e-2
    c.loss.balance = 0.5
    c.points.radius = 8
    if variant == "quick":
        c.input.size = (43, 57)
        c.model.weights, c.model.freeze = "", False
        c.optimizer.name, c.optimizer.weight_decay = "adamw", 1e-4
        c.optimizer.layer_decay = 0.9
        c.batch_size = 2
        c.stages, c.adapt_steps = 1, 2
        c.previews = 1
    return c
