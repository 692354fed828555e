"""Protocol: from toytown by day to the same town by night.

    labor-jax compare --config=configs/protocols/toytown_night.py --workdir=runs/night

Nothing has to be downloaded, as both domains are drawn here. The source is toytown's sunny town;
the target is this town's streets by lamplight, seen by a camera whose sensor is noisy. The config
is toytown.py:frozen, in three stages at equal clicks, of which a point is one. `:quick` is for
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
    "labor_spl",
    "superpixels_margin",
)


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """What all runs share."""
    check_variant(variant, "quick")
    shared = variant or "frozen"
    c = load(f"{pathlib.Path(__file__).parents[1] / 'toytown.py'}:{shared}")
    for part, split in ((c.target, "train"), (c.val, "val")):
        part.domain = part.domain.replace("toytown", "toytown_night")
        part.split = split
    c.stages = 3
    return c


def get_protocol(variant: str = "") -> Protocol:
    """What is compared."""
    if variant == "quick":
        return Protocol(("random", "typical"), ("3clicks",), seeds=1)
    return Protocol(METHODS, ("5clicks", "10clicks", "20clicks", "40clicks"), seeds=5)
