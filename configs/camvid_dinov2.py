"""Label-efficient learning on CamVid, without a source, on features of DINOv2.

    labor-jax prepare-data --dataset=camvid --manual_dir=CamVid --data_dir=data
    python -m labor_jax.main --config=configs/camvid_dinov2.py --workdir=runs/camvid_dinov2

`weights/dinov2_vits14_pretrain.pth` is the hub's file, see docs/data_and_weights.md; another size
or kind is `--config.model.backbone=dinov2_base_reg` with its own file. The backbone is not trained:
features are made once, a linear layer is fitted to those of the last layer, and ten random points
an image are asked. `--config.model.levels=4` takes the last four layers. `:adapters` trains
low-rank adapters beside the backbone, and `:tuned` all of it, both on augmented images. Scores have
not been measured, for lack of the weights, and the rates of these two are ours. `:quick` is for
tests: all layers, from random weights.
"""

import ml_collections

from labor_jax.config import check_variant, default_config


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Frozen, `adapters`, `tuned` or `quick`."""
    check_variant(variant, "adapters", "tuned", "quick")
    c = default_config()
    c.method = "random"
    c.budget.points_per_image = 10
    c.source.domain = ""
    c.target.domain = c.val.domain = "camvid"
    c.target.split, c.val.split = "train", "val"
    c.warmup_steps, c.stages, c.adapt_steps = 0, 1, 100
    c.input.size = (365, 477)  # 14 k + 1
    c.model.backbone, c.model.output_stride = "dinov2_small", 14
    c.model.head, c.model.levels = "linear", 1
    c.model.weights, c.model.freeze = "weights/dinov2_vits14_pretrain.pth", True
    c.adapt = "none"
    c.optimizer.weight_decay = 2e-2
    c.loss.balance = 0.5
    c.selector.optimizer, c.selector.learning_rate, c.selector.steps = "adam", 1e-5, 30
    c.ppl.radius = c.points.radius = 8
    if variant in ("adapters", "tuned"):
        c.model.freeze, c.model.drop_path = False, 0.1
        c.input.crop, c.input.scale = (253, 337), (0.7, 1.5)
        c.adapt_steps, c.batch_size = 1000, 8
        c.optimizer.name, c.optimizer.weight_decay = "adamw", 1e-2
        c.optimizer.warmup, c.optimizer.average = 50, 0.99
    if variant == "adapters":
        c.model.lora_rank = 8
        c.optimizer.learning_rate, c.optimizer.head_factor = 1e-3, 1.0
    if variant == "tuned":
        c.optimizer.learning_rate, c.optimizer.head_factor = 5e-5, 20.0
        c.optimizer.layer_decay = 0.8
    if variant == "quick":
        c.input.size = (43, 57)
        c.model.weights, c.model.freeze = "", False
        c.optimizer.name, c.optimizer.weight_decay = "adamw", 1e-4
        c.optimizer.layer_decay = 0.9
        c.batch_size = 2
        c.adapt_steps = c.selector.steps = 2
        c.previews = 1
    return c
