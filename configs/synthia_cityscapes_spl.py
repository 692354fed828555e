"""SYNTHIA → Cityscapes with segments, about 2.2 % of the pixels (SPL).

    labor-jax prepare-data --dataset=synthia_rand_cityscapes \\
        --manual_dir=downloads/synthia
    python -m labor_jax.main --config=configs/synthia_cityscapes_spl.py --workdir=runs/synthia_spl

It differs from gta5_cityscapes_spl.py only in the source. That file says what else to download and
how long it takes. SYNTHIA has no terrain, truck or train, so the scores to read are the mIoU of 16
and of 13 classes (`mIoU16`, `mIoU13`). We know of no published figure for this protocol, in which
19 classes are asked and 16 are scored. `:quick` is for tests.
"""

import pathlib

import ml_collections

from labor_jax.config import check_variant, load


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """Full size, or `quick`."""
    check_variant(variant, "quick")
    c = load(f"{pathlib.Path(__file__).with_name('gta5_cityscapes_spl.py')}:{variant}")
    c.source.domain = "synthia_rand_cityscapes"
    return c
