"""toytown → CamVid with `superpixel_cores`, which is ours and not LabOR's: 40 clicks an image.

    python -m labor_jax.main --config=configs/toytown_camvid_cores.py --workdir=runs/camvid_cores

It differs from toytown_camvid.py only in what is asked; `:frozen`, `:large` and `:quick` are the
same. It asks about superpixels where the segmenter is unsure; predicted classes take turns. One
click labels the half of a superpixel whose colours are most alike. docs/ways_to_ask.md says where
this is better and where it is not. `--config.warmup_from=runs/camvid` uses that run's warm-up.
"""

import pathlib

import ml_collections

from labor_jax.config import check_variant, load


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The default for a CPU, `frozen`, `large` or `quick`."""
    check_variant(variant, "frozen", "large", "quick")
    c = load(f"{pathlib.Path(__file__).with_name('toytown_camvid.py')}:{variant}")
    c.method = "superpixel_cores"
    c.budget.unit = "clicks"
    c.budget.clicks_per_image = 40
    return c
