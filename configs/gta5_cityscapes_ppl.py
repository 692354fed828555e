"""The paper's experiment: GTA5 → Cityscapes with 40 points an image (PPL).

    python -m labor_jax.main --config=configs/gta5_cityscapes_ppl.py --workdir=runs/gta5_ppl

It differs from gta5_cityscapes_spl.py only in what is asked. That file says what to download and
how long it takes. `--config.warmup_from=runs/gta5_spl` uses that run's warm-up. The expected mIoU
is the paper's: 63.5. `:quick` is for tests.
"""

import pathlib

import ml_collections

from labor_jax.config import check_variant, load


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Full size, or `quick`."""
    check_variant(variant, "quick")
    c = load(f"{pathlib.Path(__file__).with_name('gta5_cityscapes_spl.py')}:{variant}")
    c.method = "labor_ppl"
    return c
