"""AdaptSegNet as its code was released (multi-level, GTA5 → Cityscapes), quirks and all.

    python -m labor_jax.main --config=configs/adaptsegnet.py --workdir=runs/adaptsegnet

Output-space adversarial learning without a target label, LabOR's warm-up in its original form. Of
each head two of four branches count; batch statistics of one image normalise, scale and bias stay;
some tensors take a multiple of the learning rate. docs/method.md lists each of these switches
beside its sane default. Expected mIoU, that paper's: 42.4. Hours, not timed: 279 by the TFLOP/s
that a device sustains, as gta5_cityscapes_spl.py counts them.
The weights are that code's, https://github.com/wasidennis/AdaptSegNet (DeepLab_resnet_pretrained_
init-f81d91e8.pth), as weights/adaptsegnet_init.pth. `:quick` is for tests.

IAST's warm-up instead: --config.adversarial.kind=ls --config.adversarial.main=0.05
--config.adversarial.aux=0 --config.optimizer.name=adam --config.optimizer.learning_rate=2e-5
"""

import pathlib

import ml_collections

from labor_jax.config import check_variant, load


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Full size, or `quick`."""
    check_variant(variant, "quick")
    c = load(f"{pathlib.Path(__file__).with_name('gta5_cityscapes_spl.py')}:{variant}")
    c.method = "uda"
    c.input.scale, c.input.flip, c.input.jitter = (1.0, 1.0), False, 0.0
    c.model.style = "caffe"
    c.model.dilations = (6, 12)
    c.model.batch_norm = "adaptsegnet"
    c.optimizer.block_factor = 3.0
    c.optimizer.projection_factor = 4.0
    c.optimizer.decay_steps = 250_000
    c.batch_size = 1
    c.stages = 0
    if not variant:
        c.warmup_steps = 150_000
        c.model.weights = "weights/adaptsegnet_init.pth"
    return c
