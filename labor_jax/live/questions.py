"""What is asked next: a pure function of what was asked so far, the newest classifier and config.

An image is asked about in one sitting of a few points. Images that were asked about less often come
first, and among those the ones that the method finds most urgent. Some images, drawn by their
number in the order of asking, get random points whose answers are kept from the fit: they are a
fair sample of the pool's pixels, whatever the method asks.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

import jax
import ml_collections
import numpy as np

from labor_jax.annotation import queries as q
from labor_jax.annotation import trust
from labor_jax.data.domain import Domain
from labor_jax.infer.batches import Batch, canvases, inferred, native_sizes, placed
from labor_jax.selection import strategies
from labor_jax.util import rng
from labor_jax.util.errors import UserError

__all__ = ["Proposal", "check", "next_query", "propose", "sittings"]

STAGE = 1
"""All that is asked live is one stage."""

Asked = Mapping[str, Sequence[q.Query]]
"""The queries so far by image; images without one may be missing."""

Infer = Callable[..., dict[str, np.ndarray]]
"""(levels, taken [B, H, W] bool, keys [B, 2] uint32, (H, W), natives) -> the result of
`steps.query`; see `asking.ask`."""


class Proposal(NamedTuple):
    """Points that a classifier would have answered next.

    Attributes:
      image: its id.
      points: (row, column) of each.
      sittings: how often the image was asked about when they were chosen.
      model: the version of the classifier that chose them.
    """

    image: str
    points: list[tuple[int, int]]
    sittings: int
    model: int


def check(config: ml_collections.ConfigDict) -> None:
    """Checks that a method can ask live.

    Raises:
      UserError: it cannot, or the config is not that of a frozen backbone without a source.
    """
    ways = [
        name
        for name in strategies.names()
        if strategies.find(name).asks == "points" and not strategies.needs_selector(name)
    ]
    if not config.model.freeze:
        raise UserError(
            "config.model.freeze: False; a live run fits a linear head to frozen features: give a "
            "config such as camvid:frozen"
        )
    trust.weights(config.trust)
    if config.source.domain:
        raise UserError("config.source.domain: a live run learns from answers alone; give ''")
    if config.adapt != "none":
        raise UserError(
            f"config.adapt: {config.adapt!r}; a live run learns from answers alone: give none"
        )
    if config.method not in ways:
        raise UserError(
            f"config.method: {config.method!r} does not ask points by one network; a live run "
            f"knows {', '.join(ways)}"
        )


def sittings(asked: Asked, image: str) -> int:
    """How often an image was asked about, not counting points that people chose."""
    return sum(query.get("origin") != q.VOLUNTEERED for query in asked.get(image, ()))


def propose(
    asked: Asked, model: int, domain: Domain, infer: Infer, config: ml_collections.ConfigDict
) -> list[Proposal]:
    """What the newest classifier would ask, the most urgent first.

    Args:
      asked: the queries so far.
      model: the classifier's version.
      domain: the target's images, with features.
      infer: applies the classifier and the method's strategy.
      config: `method`, `live`, `seed`, `eval_batch_size`, `input.size`.
    """
    order = sorted(range(len(domain.ids)), key=lambda i: _turn(asked, domain.ids[i], config))
    looked = sorted(order[: config.live.pool])
    found: list[tuple[tuple[float, ...], Proposal]] = []
    some = domain.take(looked)

    def look(batch: Batch) -> list[tuple[np.ndarray, np.ndarray]]:
        names = [some.ids[index] for index in batch.indices]
        keys = [
            rng.key(config.seed, f"live/{n}", len(asked.get(n, ())))  # other noise at each sitting
            for n in names
        ]
        taken = [
            placed(_taken(asked, name, size), batch.canvas)
            for name, size in zip(names, batch.sizes, strict=True)
        ]
        out = infer(
            batch.images,
            batch.filled(taken),
            batch.filled([jax.random.key_data(key) for key in keys]),
            batch.canvas,
            batch.natives,
        )
        rows = zip(out["points"], out["scores"], out["found"], strict=True)
        return [(points[there], scores[there]) for points, scores, there in rows]

    fits = canvases(native_sizes(domain))  # the same ones whichever images are looked at
    answers = inferred(some, config.input.size, config.eval_batch_size, look, fits)
    for index, (points, scores) in answers:
        if len(points):
            name = some.ids[index]
            times, places = sittings(asked, name), [(int(y), int(x)) for y, x in points]
            urgency = float(scores.mean())
            found.append(((times, -urgency), Proposal(name, places, times, model)))
    return [proposal for _, proposal in sorted(found, key=lambda pair: pair[0])]


def next_query(
    asked: Asked,
    busy: Set[str],
    proposals: Sequence[Proposal],
    domain: Domain,
    size_of: Callable[[str], tuple[int, int]],
    config: ml_collections.ConfigDict,
) -> q.Query | None:
    """The next query; None where the budget is spent or all images are busy.

    Args:
      asked: the queries so far.
      busy: images that are not to be asked about now.
      proposals: the newest ones; () where no classifier was fitted yet: random points are asked.
      domain: the target's images.
      size_of: an image's id -> (H, W) of its label.
      config: `live`, `budget.points_per_image`, `seed`.
    """
    before = [x for own in asked.values() for x in own if x.get("origin") != q.VOLUNTEERED]
    left = config.budget.points_per_image * len(domain.ids) - sum(len(x["points"]) for x in before)
    free = [image for image in domain.ids if image not in busy]
    number = min(config.live.points, left)
    if number <= 0 or not free:
        return None
    random = rng.generator(config.seed, "live/question", len(before))
    if random.random() < config.live.held:
        image = free[random.integers(len(free))]
        if points := _random_points(asked, image, size_of(image), number, random):
            return _query(asked, image, size_of(image), points) | {"origin": q.HELD}
    for proposal in proposals:
        image = proposal.image
        if image not in busy and sittings(asked, image) == proposal.sittings:
            taken = _taken(asked, image, size_of(image))  # a person may have chosen one since
            points = [at for at in proposal.points if not taken[at]][:number]
            if points:
                return _query(asked, image, size_of(image), points) | {"model": proposal.model}
    image = min(free, key=lambda name: _turn(asked, name, config))
    points = _random_points(asked, image, size_of(image), number, random)
    return _query(asked, image, size_of(image), points) if points else None


def _turn(asked: Asked, image: str, config: ml_collections.ConfigDict) -> tuple[int, float]:
    """The sort key of images: how often asked, then a random order."""
    return sittings(asked, image), _draw(config.seed, image)


@functools.lru_cache(maxsize=2**20)
def _draw(seed: int, image: str) -> float:
    return float(rng.generator(seed, f"live/order/{image}").random())


def _query(
    asked: Asked, image: str, size: tuple[int, int], points: list[tuple[int, int]]
) -> q.Query:
    query = q.point_query(image, STAGE, size, points)
    return query | {"id": q.next_id(query, asked.get(image, ()))}


def _taken(asked: Asked, image: str, size: tuple[int, int]) -> np.ndarray:
    """[H, W] bool: the pixels that were asked about."""
    mask = np.zeros(size[0] * size[1], bool)
    for query in asked.get(image, ()):
        mask[q.asked_pixels(query)] = True
    return mask.reshape(size)


def _random_points(
    asked: Asked, image: str, size: tuple[int, int], number: int, random: np.random.Generator
) -> list[tuple[int, int]]:
    free = np.flatnonzero(~_taken(asked, image, size).ravel())
    chosen = random.choice(free, min(number, len(free)), replace=False)
    return list(_places(chosen, size[1]))


def _places(pixels: np.ndarray, width: int) -> Iterator[tuple[int, int]]:
    for row, column in zip(*np.divmod(pixels, width), strict=True):
        yield int(row), int(column)
