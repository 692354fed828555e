"""Ours, not LabOR's: toytown → CamVid by `superpixel_cores`, forty clicks an image.

    python -m labor_jax.main --config=configs/toytown_camvid_cores.py --workdir=runs/camvid_cores

As toytown_camvid.py, `:large` and `:quick` too, but for what is asked: of superpixels where the
segmenter is unsure, classes in turn, the half whose colours are most alike, one click each.
docs/ways_to_ask.md says what it gains and where it does not. `--config.warmup_from=runs/camvid`
shares that run's warm-up.
"""

import pathlib

import ml_collections

from labor_jax.config import check_variant, load


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """The default for a CPU, `large` or `quick`."""
    check_variant(variant, "quick", "large")
    c = load(f"{pathlib.Path(__file__).with_name('toytown_camvid.py')}:{variant}")
    c.method = "superpixel_cores"
    c.budget.unit = "clicks"
    c.budget.clicks_per_image = 40
    return c
