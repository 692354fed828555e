"""The paper's experiment: GTA5 → Cityscapes with segments, about 2.2 % of the pixels (SPL).

    labor-jax prepare-data --dataset=gta5 --manual_dir=downloads/gta5
    labor-jax prepare-data --dataset=cityscapes --manual_dir=downloads/cityscapes
    python -m labor_jax.main --config=configs/gta5_cityscapes_spl.py --workdir=runs/gta5_spl

`prepare-data` says what to download. The backbone starts from torchvision's ResNet-101 on ImageNet,
https://download.pytorch.org/models/resnet101-63fe2227.pth, as weights/resnet101.pth.

The expected mIoU is the paper's: 66.6 (SPL), 66.7 with every label, 36.6 from the source alone. The
paper gives no schedule, so it is ours: 40,000 steps of warm-up with RIPU's batch, then three stages
with 2,000 steps of the selector and 10,000 of adaptation each. These are for one device with two
images of either domain. On more devices a batch is larger, and steps and learning rates follow from
it (docs/accelerators.md); how well that learns was not measured.

The time was not measured, as there was no accelerator. XLA counts 13.4 TFLOP for a step of
adaptation and 6.1 for a step of the selector, 973,000 in all. In hours this is 270 divided by the
TFLOP/s that a device sustains, so 2.7 hours at 100. Full size is not for CPUs. `:quick` is for
tests: the same networks on small images, one step of each kind, a minute on a CPU core.
"""

import ml_collections

from labor_jax.config import check_variant, default_config


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Full size, or `quick`."""
    check_variant(variant, "quick")
    c = default_config()
    c.method = "labor_spl"
    c.classes.table = "cityscapes"
    c.source.domain, c.source.split = "gta5", "train"
    c.target.domain, c.target.split = "cityscapes", "train"
    c.val.domain, c.val.split = "cityscapes", "val"
    c.input.size = (512, 1024)
    c.input.source_size = (720, 1280)
    c.model.backbone = "resnet101"
    c.model.batch_norm = "frozen"
    c.model.weights = "weights/resnet101.pth"
    c.batch_size = c.images_a_device = 2
    c.warmup_steps, c.adapt_steps, c.selector.steps = 40_000, 10_000, 2_000
    c.spl.cell = 32
    c.ppl.radius = 16
    c.eval_batch_size = 2
    c.checkpoint_every, c.log_every = 1000, 50
    if variant == "quick":
        c.input.size = (32, 64)
        c.input.source_size = (48, 80)
        c.model.weights, c.model.batch_norm = "", "sync"  # frozen needs trained weights
        c.stages = 1
        c.warmup_steps, c.adapt_steps, c.selector.steps = 1, 1, 1
        c.log_every = 1
        c.previews = 1
    return c
