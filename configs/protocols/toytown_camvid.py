"""Protocol: from toytown's drawn streets to CamVid's, a warm start and a cold one.

    labor-jax prepare-data --dataset=camvid --manual_dir=CamVid --data_dir=data
    labor-jax compare --config=configs/protocols/toytown_camvid.py --workdir=runs/warm
    labor-jax compare --config=configs/protocols/toytown_camvid.py:cold --workdir=runs/cold

The config is toytown_camvid.py:frozen without its teacher, in three stages at equal clicks, of
which a point is one. The default is a warm start: the segmenter has learned toytown's labels before
it asks. `:cold` has no source, so that the first questions come before any label. `:quick` is for
tests.
"""

import pathlib

import ml_collections

from labor_jax.config import Protocol, check_variant, load

METHODS = (
    "random",
    "margin",
    "balanced_margin",
    "ripu_points",
    "labor_ppl",
    "diversity",
    "typical_margin",
    "labor_spl",
    "superpixels_margin",
)


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """What all runs share: of a warm start, of `cold`, or `quick`."""
    check_variant(variant, "cold", "quick")
    shared = "quick" if variant == "quick" else "frozen"
    c = load(f"{pathlib.Path(__file__).parents[1] / 'toytown_camvid.py'}:{shared}")
    c.stages = 3
    c.adapt = "none"
    if variant == "cold":
        c.source.domain = ""
        c.warmup_steps = 0
    return c


def get_protocol(variant: str = "") -> Protocol:
    """What is compared."""
    if variant == "quick":
        return Protocol(("random", "typical"), ("3clicks",), seeds=1)
    return Protocol(METHODS, ("5clicks", "10clicks", "20clicks", "40clicks"), seeds=5)
