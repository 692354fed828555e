"""Hard budgets: what an image may still be asked, and which of its segments fit."""

import numpy as np

from labor_jax.selection.segments import majority, renumbered

__all__ = [
    "cap_segments",
    "in_turns",
    "keep_first",
    "stage_allowance",
]


def stage_allowance(total: int, used: int, stage: int, stages: int) -> int:
    """What an image may still be asked at a stage: an even share, unused shares carried on."""
    return max(0, total * stage // stages - used)


def cap_segments(
    segments: np.ndarray,
    selected: np.ndarray,
    limit: int,
    random: np.random.Generator,
    costs: np.ndarray,
) -> np.ndarray:
    """A sample of a mask's segments that costs at most `limit`, balanced over classes [paper: the
    mask; ours: the sample].

    The class that cost least so far gets its next segment; a segment that does not fit is
    left out. The order is drawn with chances in proportion to size, which is how a uniform sample
    of the mask's pixels would meet the segments: crumbs cost a click each and teach little.

    Args:
      segments: [H, W] int32, 0 = outside, segments from 1.
      selected: [H, W] uint8, the class that the selector sees at each pixel.
      limit: of the costs.
      random: decides the order.
      costs: [N] int, of each segment.
    Returns:
      [H, W] int32, the kept segments numbered from 1.
    """
    if costs.sum() <= limit:
        return segments
    sizes = np.bincount(segments.ravel())[1:]
    owner = majority(segments, selected)
    waiting: dict[int, list[int]] = {}
    # Efraimidis and Spirakis (2006): sorting these keys is a weighted sample without replacement.
    keys = random.random(len(sizes)) ** (1 / sizes)
    for segment in np.argsort(keys, kind="stable"):  # taken from the end
        waiting.setdefault(int(owner[segment]), []).append(int(segment))
    taken = dict.fromkeys(sorted(waiting), 0)
    keep = np.zeros(len(sizes) + 1, np.int32)
    while waiting:
        neediest = min(waiting, key=lambda c: (taken[c], c))
        segment = waiting[neediest].pop()
        if costs[segment] <= limit:
            limit -= costs[segment]
            taken[neediest] += int(costs[segment])
            keep[segment + 1] = 1
        if not waiting[neediest]:
            del waiting[neediest]
    return renumbered(keep[segments] * segments)


def keep_first(pieces: np.ndarray, order: np.ndarray, costs: np.ndarray, limit: int) -> np.ndarray:
    """The first pieces of an order that cost at most `limit`, numbered from 1 in that order.

    A piece that does not fit any more is left out, and smaller ones may follow.

    Args:
      pieces: [H, W] int32, 0 = outside, pieces from 1.
      order: [N] int, the numbers less 1.
      costs: [N] int.
      limit: of the costs.
    """
    number = np.zeros(len(costs) + 1, np.int32)
    kept = 0
    for piece in order:
        if costs[piece] <= limit:
            limit -= costs[piece]
            kept += 1
            number[piece + 1] = kept
    return number[pieces]


def in_turns(order: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """An order in which the owners take turns, each with its own in the order given.

    Args:
      order: [N] int, a permutation.
      owner: [N] int, whose each one is.
    """
    turn = np.zeros(len(order), np.int64)
    for name in np.unique(owner):
        own = order[owner[order] == name]
        turn[own] = np.arange(len(own))
    return order[np.argsort(turn[order], kind="stable")]
