"""A protocol: what a comparison runs, beside the config that its runs share."""

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["KINDS", "Costs", "Protocol", "one_cost"]

KINDS = {
    "points": "point",
    "regions": "region",
    "segments": "segment",
    "superpixels": "superpixel",
}
"""What a strategy can ask, and what one of them is called."""


class Costs(NamedTuple):
    """How long a person is taken to need for one answer.

    Attributes:
      seconds: by kind, a key of `KINDS`.
      source: where these are from: "assumed", or a measurement.
    """

    seconds: Mapping[str, float]
    source: str

    @property
    def told(self) -> str:
        """ "2 s a click, assumed", or the seconds of each kind."""
        if len(set(self.seconds.values())) == 1:
            return f"{self.seconds['points']:g} s a click, {self.source}"
        each = ", ".join(f"{self.seconds[kind]:g} s a {name}" for kind, name in KINDS.items())
        return f"{each}, {self.source}"


def one_cost(seconds: float) -> Costs:
    """The assumption that every answer costs the same."""
    return Costs(dict.fromkeys(KINDS, seconds), "assumed")


class Protocol(NamedTuple):
    """What a comparison runs. A config file with a `get_protocol` gives it with its config.

    Attributes:
      methods: those that ask; the first is the baseline.
      budgets: an image's over all stages, as `--budgets` has them.
      seeds: how many runs of each, with seeds 0, 1, ...
      errors: shares of wrong answers, as `--errors` has them; what asks is run with each.
      costs: what an answer costs; budgets in seconds are divided by it.
    """

    methods: tuple[str, ...]
    budgets: tuple[str, ...]
    seeds: int = 3
    errors: tuple[str, ...] = ("0",)
    costs: Costs = one_cost(2.0)
