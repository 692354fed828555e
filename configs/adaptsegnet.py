"""AdaptSegNet as its code was released (multi-level, GTA5 → Cityscapes), with its quirks.

    python -m labor_jax.main --config=configs/adaptsegnet.py --workdir=runs/adaptsegnet

This is output-space adversarial learning without target labels, the original form of LabOR's
warm-up. The released code differs from common practice: each head uses two of its four branches;
batch norm uses the statistics of one image, and its scale and bias are not trained; some tensors
learn at a multiple of the learning rate. docs/method.md lists the key of each difference with its
usual default. The expected mIoU is that paper's: 42.4. The time was not measured. In hours it is
279 divided by the TFLOP/s that a device sustains, counted as in gta5_cityscapes_spl.py.
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
