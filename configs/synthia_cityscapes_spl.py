"""SYNTHIA → Cityscapes with segments, about 2.2 % of the pixels (SPL).

    labor-jax prepare-data --dataset=synthia_rand_cityscapes \\
        --manual_dir=downloads/synthia
    python -m labor_jax.main --config=configs/synthia_cityscapes_spl.py --workdir=runs/synthia_spl

As gta5_cityscapes_spl.py but for the source; it says what else to download and how long it takes.
SYNTHIA has no terrain, truck or train: read the mIoU of 16 and of 13 classes (`mIoU16`, `mIoU13`).
We know of no published figure to expect of the same protocol, 19 classes asked and 16 scored.
`:quick` is for tests.
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
