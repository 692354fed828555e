"""Hard budgets: what an image may still be asked, and which of its segments that pays for.

Costs and limits are in the budget's unit, which is points, pixels or clicks.
"""

import numpy as np

from labor_jax.selection.segments import majority, renumbered

__all__ = [
    "cap_segments",
    "keep_first",
    "round_robin",
    "stage_allowance",
]


def stage_allowance(total: int, used: int, stage: int, stages: int) -> int:
    """What may be asked at a stage: its even share of the total, and what earlier stages left.

    Args:
      total: of all stages.
      used: by the stages before this one.
      stage: from 1.
      stages: how many there are.
    """
    return max(0, total * stage // stages - used)


def cap_segments(
    segments: np.ndarray,
    classes: np.ndarray,
    limit: int,
    random: np.random.Generator,
    costs: np.ndarray,
) -> np.ndarray:
    """A random sample of segments that costs at most `limit`, balanced over classes [ours].

    The sample grows by a segment at a time, of the class that has cost least so far. A segment that
    does not fit is left out. The chance to be the next of its class is proportional to a segment's
    size, as if pixels of the mask were drawn uniformly and each brought its segment. With equal
    chances most clicks would go to tiny segments, which teach little.

    Args:
      segments: [H, W] int32, 0 = outside, segments from 1 to N.
      classes: [H, W] uint8, the class that the selector predicts; a segment is of its majority's.
      limit: the most that the sample may cost.
      random: draws the order.
      costs: [N] int, of each segment.
    Returns:
      [H, W] int32, 0 = outside, the sample's segments from 1.
    """
    if costs.sum() <= limit:
        return segments
    sizes = np.bincount(segments.ravel())[1:]
    owner = majority(segments, classes)
    waiting: dict[int, list[int]] = {}
    # Efraimidis and Spirakis (2006): sorting these keys is a weighted sample without replacement.
    keys = random.random(len(sizes)) ** (1 / sizes)
    for segment in np.argsort(keys, kind="stable"):  # taken from the end
        waiting.setdefault(int(owner[segment]), []).append(int(segment))
    spent = dict.fromkeys(sorted(waiting), 0)
    keep = np.zeros(len(sizes) + 1, np.int32)
    while waiting:
        neediest = min(waiting, key=lambda c: (spent[c], c))
        segment = waiting[neediest].pop()
        if costs[segment] <= limit:
            limit -= costs[segment]
            spent[neediest] += int(costs[segment])
            keep[segment + 1] = 1
        if not waiting[neediest]:
            del waiting[neediest]
    return renumbered(keep[segments] * segments)


def keep_first(
    segments: np.ndarray, order: np.ndarray, costs: np.ndarray, limit: int
) -> np.ndarray:
    """The segments that fit into `limit`, taken greedily in an order.

    A segment that costs more than what is left is passed over; cheaper ones after it may still fit.

    Args:
      segments: [H, W] int32, 0 = outside, segments from 1 to N.
      order: [n] int, n ≤ N, the segments' numbers less 1, the first to be taken first.
      costs: [N] int, of each segment.
      limit: the most that the kept ones may cost.
    Returns:
      [H, W] int32, 0 = outside, the kept segments from 1 in that order.
    """
    number = np.zeros(len(costs) + 1, np.int32)
    kept = 0
    for segment in order:
        if costs[segment] <= limit:
            limit -= costs[segment]
            kept += 1
            number[segment + 1] = kept
    return number[segments]


def round_robin(order: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """An order in which owners take turns; each owner's items stay in the order given.

    Args:
      order: [N] int, a permutation of the items 0 to N - 1.
      owner: [N] int, of each item.
    Returns:
      [N] int: every owner's first item, then every owner's second, and so on. Within a round owners
      come as their items stand in `order`.
    """
    turn = np.zeros(len(order), np.int64)
    for name in np.unique(owner):
        own = order[owner[order] == name]
        turn[own] = np.arange(len(own))
    return order[np.argsort(turn[order], kind="stable")]
