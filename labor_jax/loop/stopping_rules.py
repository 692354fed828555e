"""Rules by which a run stops asking before its last stage [ours]."""

from collections.abc import Sequence
from typing import Any

import ml_collections

from labor_jax.util import rng


def is_held(config: ml_collections.ConfigDict, image: str) -> bool:
    """Whether an image's answers are kept from training, for the rule `stop.plateau`."""
    draw = rng.generator(config.seed, f"held/{image}").random()
    return config.stop.plateau > 0 and draw < config.stop.held


def reason(config: ml_collections.ConfigDict, stages: Sequence[dict[str, Any]]) -> str | None:
    """The reason to stop asking, for people; None if the run goes on.

    Args:
      config: `stop`.
      stages: the rows of `summary.json` so far, with "stage", "mask" and "held_mIoU".
    """
    if stages[-1]["stage"] == config.stages:
        return None  # the budget ends there in any case
    scores = [row["held_mIoU"] for row in stages[-2:] if row.get("held_mIoU") is not None]
    if config.stop.plateau and len(scores) == 2 and scores[1] - scores[0] < config.stop.plateau:
        gain = scores[1] - scores[0]
        return f"{gain:+.1f} mIoU on held answers, less than stop.plateau {config.stop.plateau:g}"
    mask = stages[-1]["mask"]
    if mask and mask["share"] < config.stop.disagreement:
        return (
            f"the heads disagree on {mask['share']:.1%} of the pixels, less than "
            f"stop.disagreement {config.stop.disagreement:.1%}"
        )
    return None
