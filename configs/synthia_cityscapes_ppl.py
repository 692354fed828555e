"""SYNTHIA → Cityscapes with 40 points an image (PPL).

    python -m labor_jax.main --config=configs/synthia_cityscapes_ppl.py --workdir=runs/synthia_ppl

It differs from synthia_cityscapes_spl.py only in what is asked. `:quick` is for tests.
"""

import pathlib

import ml_collections

from labor_jax.config import check_variant, load


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Full size, or `quick`."""
    check_variant(variant, "quick")
    c = load(f"{pathlib.Path(__file__).with_name('synthia_cityscapes_spl.py')}:{variant}")
    c.method = "labor_ppl"
    return c
