"""GTA5 → Cityscapes on frozen features of DINOv2: a linear layer, and LabOR's points (PPL).

    labor-jax prepare-data --dataset=gta5 --manual_dir=downloads/gta5
    labor-jax prepare-data --dataset=cityscapes --manual_dir=downloads/cityscapes
    python -m labor_jax.main --config=configs/gta5_cityscapes_dinov2.py --workdir=runs/gta5_dinov2

`prepare-data` says what to download; `weights/dinov2_vits14_pretrain.pth` is the hub's file, see
docs/data_and_weights.md. The features of both sets, made once, take 59 GB. No score has been
measured, for lack of the weights and an accelerator. `:quick` is for tests: all layers, from random
weights, on small images.
"""

import ml_collections

from labor_jax.config import check_variant, default_config


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Frozen, or `quick`."""
    check_variant(variant, "quick")
    c = default_config()
    c.method = "labor_ppl"
    c.classes.table = "cityscapes"
    c.source.domain, c.source.split = "gta5", "train"
    c.target.domain, c.target.split = "cityscapes", "train"
    c.val.domain, c.val.split = "cityscapes", "val"
    c.warmup_steps, c.stages, c.adapt_steps = 100, 3, 100
    c.input.size = (505, 1009)  # 14 k + 1
    c.model.backbone, c.model.output_stride = "dinov2_small", 14
    c.model.head, c.model.levels = "linear", 1
    c.model.weights, c.model.freeze = "weights/dinov2_vits14_pretrain.pth", True
    c.adapt = "none"
    c.optimizer.weight_decay = 2e-2
    c.loss.balance = 0.5
    c.selector.optimizer, c.selector.learning_rate, c.selector.steps = "adam", 1e-5, 500
    c.ppl.radius = 16
    c.eval_batch_size = 2
    if variant == "quick":
        c.input.size = (43, 85)
        c.model.weights, c.model.freeze = "", False
        c.optimizer.name, c.optimizer.weight_decay = "adamw", 1e-4
        c.optimizer.layer_decay = 0.9
        c.batch_size = 2
        c.stages = 1
        c.warmup_steps, c.adapt_steps, c.selector.steps = 1, 1, 1
        c.log_every = 1
        c.previews = 1
    return c
