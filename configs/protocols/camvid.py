"""Protocol: label-efficient learning on CamVid, train to val, from no label and no warm-up.

    labor-jax prepare-data --dataset=camvid --manual_dir=CamVid --data_dir=data
    labor-jax compare --config=configs/protocols/camvid.py --workdir=runs/camvid_clicks
    labor-jax compare --config=configs/protocols/camvid.py:seconds --workdir=runs/camvid_seconds
    labor-jax compare --config=configs/protocols/camvid.py:noisy --workdir=runs/camvid_noisy

The config is camvid.py:frozen: linear layers on features that are made once. It is a cold start:
three stages, and before the first one nothing is known but the images. The default compares at
equal clicks, of which a point is one. `:seconds` compares at equal time of a person, who needs
longer for a piece than for a point. `:noisy` has an annotator with 0, 5, 10 and 20 % of wrong
answers, four times as many of them next to another class as elsewhere, and then that class.
`:quick` is for tests.
"""

import pathlib

import ml_collections

from labor_jax.config import Costs, Protocol, check_variant, load

POINTS = (
    "random",
    "margin",
    "entropy",
    "pixelpick",
    "balanced_margin",
    "ripu_points",
    "labor_ppl",
    "diversity",
    "typical_margin",
)
PIECES = ("ripu_regions", "labor_spl", "superpixels_margin", "superpixel_cores")


def get_config(variant: str = "") -> ml_collections.ConfigDict:
    """What all runs share; `seconds` and `noisy` differ in what is compared."""
    check_variant(variant, "seconds", "noisy", "quick")
    shared = "quick" if variant == "quick" else "frozen"
    c = load(f"{pathlib.Path(__file__).parents[1] / 'camvid.py'}:{shared}")
    c.stages = 3
    return c


def get_protocol(variant: str = "") -> Protocol:
    """What is compared: the default at equal clicks, `seconds`, `noisy` or `quick`."""
    if variant == "quick":
        return Protocol(("random", "typical"), ("3clicks",), seeds=1)
    if variant == "noisy":
        methods = ("random", "margin", "balanced_margin", "labor_ppl", "superpixels_margin")
        return Protocol(methods, ("20clicks",), seeds=5, errors=("0", "0.05", "0.1", "0.2"))
    if variant == "seconds":
        # A piece has to be seen as a whole, and a segment's outline is new each time.
        seconds = {"points": 2.0, "regions": 2.5, "superpixels": 3.0, "segments": 3.5}
        costs = Costs(seconds, "assumed")
        return Protocol((*POINTS, *PIECES), ("20seconds", "40seconds", "80seconds"), 5, costs=costs)
    return Protocol((*POINTS, *PIECES), ("5clicks", "10clicks", "20clicks", "40clicks"), seeds=5)
