"""Makes a stage's queries for every target image. This is where methods differ."""

import functools
import os
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np

from labor_jax.annotation import queries as q
from labor_jax.data.domain import Domain
from labor_jax.infer import metrics
from labor_jax.infer.batches import Batch, inferred, placed
from labor_jax.selection import strategies
from labor_jax.selection.budget import cap_segments, keep_first, round_robin, stage_allowance
from labor_jax.selection.segments import cut_segments, majority, renumbered, windows
from labor_jax.selection.superpixels import cores, cut_by_superpixels, superpixels
from labor_jax.util import hosts, rng
from labor_jax.util.errors import UserError

Outputs = Callable[..., dict[str, Any]]
"""Maps a batch of images to the networks' outputs; see `infer` of `ask`."""


class ImageQuery(NamedTuple):
    """One image's query, and what was predicted on the way.

    It has the segmenter's prediction [H, W] uint8. With a selector it also has the inconsistency
    mask [H, W] bool and the mask's counts.
    """

    query: q.Query
    predicted: np.ndarray
    mask: np.ndarray | None
    counts: np.ndarray | None


def asks(method: str, stage: int) -> bool:
    """Whether a method asks anything at a stage. `full` asks everything at the first stage."""
    return strategies.chooses(method) or (method == "full" and stage == 1)


def ask(
    stage: int,
    domain: Domain,
    infer: Outputs,
    config: ml_collections.ConfigDict,
    workdir: str | os.PathLike,
    fixed: Mapping[str, list[q.Query]] = types.MappingProxyType({}),
) -> Iterator[ImageQuery]:
    """The queries of a stage, an image at a time, in the domain's order.

    Args:
      stage: from 1.
      domain: this process's target images. Labels, if there are any, are read only to score the
        inconsistency mask.
      infer: (images [B, h, w, 3] uint8, taken [B, H, W] bool, key [B, 2] uint32, (H, W), natives)
        -> the result of `steps.query`, or `{"predicted"}` alone for `full`. `natives` is that of
        `Batch`.
      config: method, budget, ppl, spl, superpixels, seed.
      workdir: earlier stages' queries are read from it.
      fixed: the regions that people fixed, by image; they are not asked.
    """
    earlier = q.by_image(workdir, range(1, stage))
    seen = functools.partial(_look, stage, domain, infer, config, earlier, fixed)
    limits, chosen = {}, {}
    if config.method == "random" and config.beside:
        limits = _limits_beside(stage, domain, config)
    elif scope(config) == "pool":
        chosen = _chosen_of_pool(stage, seen(), config)
    for index, looked in seen():
        image = domain.ids[index]
        query = _query(stage, looked, limits.get(image), chosen.get(image), config)
        counts = None
        if "mask" in looked.answer:
            truth = domain.read_label(index) if domain.read_label else None
            counts = metrics.mask_counts(looked.answer["mask"], looked.answer["predicted"], truth)
        yield ImageQuery(query, looked.answer["predicted"], looked.answer.get("mask"), counts)


class _Looked(NamedTuple):
    """An image, ready to be asked.

    `answer` is this image's row of the result of `infer`; `used` is what earlier stages spent.
    """

    image: str
    size: tuple[int, int]
    answer: dict[str, np.ndarray]
    asked: np.ndarray
    used: int
    read_image: Callable[[], np.ndarray]


def _look(
    stage: int,
    domain: Domain,
    infer: Outputs,
    config: ml_collections.ConfigDict,
    earlier: Mapping[str, list[q.Query]],
    fixed: Mapping[str, list[q.Query]],
) -> Iterator[tuple[int, _Looked]]:
    """Every image by its index, with the networks' outputs for it."""

    def look(batch: Batch) -> list[_Looked]:
        names = [domain.ids[i] for i in batch.indices]
        before = [earlier.get(name, []) for name in names]
        known = [[*own, *fixed.get(name, ())] for name, own in zip(names, before, strict=True)]
        asked = [_asked_mask(*each) for each in zip(known, batch.sizes, strict=True)]
        keys = [jax.random.key_data(rng.key(config.seed, f"query/{n}", stage)) for n in names]
        out = infer(
            batch.images,
            batch.filled([placed(mask, batch.canvas) for mask in asked]),
            batch.filled(keys),
            batch.canvas,
            batch.natives,
        )
        return [
            _Looked(
                image=names[row],
                size=batch.sizes[row],
                answer=_answer(out, row, batch, config),
                asked=asked[row],
                used=sum(q.cost(query, unit(config)) for query in before[row]),
                read_image=functools.partial(domain.read_image, index),
            )
            for row, index in enumerate(batch.indices)
        ]

    return inferred(domain, config.input.size, config.eval_batch_size, look)


def _answer(
    out: dict[str, Any], row: int, batch: Batch, config: ml_collections.ConfigDict
) -> dict[str, np.ndarray]:
    """A row of the result of `infer`, as large as its image alone would have it."""
    answer = {name: values[row] for name, values in out.items()}
    if batch.natives is None:
        return answer
    height, width = size = batch.sizes[row]
    number = most(config, size) if "points" in out else 0
    lists = ("points", "found", "scores")
    return {
        name: value[:number] if name in lists else value[:height, :width]
        for name, value in answer.items()
    }


# -------------------------------------------------------------------------------------- budgets


def unit(config: ml_collections.ConfigDict) -> str:
    """What the budget counts: "points", "pixels" or "clicks"."""
    points = strategies.chooses(config.method) and strategies.find(config.method).asks == "points"
    return config.budget.unit or ("points" if points else "pixels")


def total(config: ml_collections.ConfigDict, size: tuple[int, int]) -> int:
    """An image's share of the budget over all stages, in its unit."""
    budget = config.budget
    return {
        "points": budget.points_per_image,
        "pixels": int(budget.max_fraction * size[0] * size[1]),
        "clicks": budget.clicks_per_image,
    }[unit(config)]


def most(config: ml_collections.ConfigDict, size: tuple[int, int]) -> int:
    """The most points or regions that an image can be asked at one stage; it is a static shape."""
    if config.method == "random" and config.beside:
        counts = (_clicks_beside(config.beside, s + 1).values() for s in range(config.stages))
        return max((number for stage in counts for number in stage), default=0)
    number = int(total(config, size) * _pool_limit(config))
    strategy = strategies.find(config.method)
    if strategy.asks == "regions" and unit(config) == "pixels":
        number //= (strategies.radius(strategy, config) + 1) ** 2  # a region in a corner, smallest
    return number


def scope(config: ml_collections.ConfigDict) -> str:
    """Whose the budget is: each "image"'s own, or the "pool"'s, which all images share."""
    if not strategies.chooses(config.method):
        return "image"
    return config.budget.scope or ("pool" if strategies.find(config.method).pooled else "image")


def _pool_limit(config: ml_collections.ConfigDict) -> float:
    return config.budget.pool_limit if scope(config) == "pool" else 1.0


def _chosen_of_pool(
    stage: int, images: Iterator[tuple[int, _Looked]], config: ml_collections.ConfigDict
) -> dict[str, np.ndarray]:
    """The candidates of each image, by number, that the budget of all images pays for [ours].

    All images' candidates are sorted by urgency; where the strategy is balanced, the predicted
    classes take turns. The first ones whose costs add up to the stage's budget are chosen. An image
    enters with no more candidates than `budget.pool_limit` times its even share pays for.
    """
    rows = []
    for _, looked in images:
        share = total(config, looked.size)
        own = stage_allowance(int(share * _pool_limit(config)), looked.used, stage, config.stages)
        found = _candidates(stage, looked, config)
        fits = np.cumsum(found.costs) <= own
        lists = [x[fits].tolist() for x in found]
        rows.append([looked.image, share, looked.used, *lists])
    rows = hosts.gather(rows)
    left = stage_allowance(
        sum(row[1] for row in rows), sum(row[2] for row in rows), stage, config.stages
    )
    image = np.repeat(np.arange(len(rows)), [len(row[3]) for row in rows])
    number = np.concatenate([np.arange(len(row[3])) for row in rows])
    urgency, costs, owner = (np.concatenate([row[3 + k] for row in rows]) for k in range(3))
    order = np.argsort(-urgency, kind="stable")
    if strategies.find(config.method).balanced:
        order = round_robin(order, owner)
    within = order[np.cumsum(costs[order]) <= left]
    return {row[0]: np.sort(number[within[image[within] == i]]) for i, row in enumerate(rows)}


class _Candidates(NamedTuple):
    """What an image could be asked, the most urgent first.

    Each candidate has its urgency [N] float, its cost [N] int in the budget's unit, and the class
    [N] int that is predicted there.
    """

    urgency: np.ndarray
    costs: np.ndarray
    owner: np.ndarray


def _candidates(stage: int, looked: _Looked, config: ml_collections.ConfigDict) -> _Candidates:
    strategy, answer = strategies.find(config.method), looked.answer
    if strategy.asks in ("points", "regions"):
        scores, points = answer["scores"][answer["found"]], answer["points"][answer["found"]]
        pixels = (2 * strategies.radius(strategy, config) + 1) ** 2
        single = strategy.asks == "points" or unit(config) != "pixels"
        costs = np.full(len(scores), 1 if single else pixels)
        return _Candidates(scores, costs, answer["predicted"][tuple(points.T)])
    pieces = _pieces(looked, config)
    costs, owner = _costs(pieces, config), majority(pieces, answer["predicted"])
    if strategy.asks == "superpixels":
        order, means = _ordered(stage, pieces, looked, config)
        return _Candidates(np.minimum.accumulate(means[order]), costs[order], owner[order])
    # These urgencies take the same share of each image's segments.
    return _Candidates(1 - np.arange(len(costs)) / max(1, len(costs)), costs, owner)


# -------------------------------------------------------------------------------------- queries


def _query(
    stage: int,
    looked: _Looked,
    limit: int | None,
    chosen: np.ndarray | None,
    config: ml_collections.ConfigDict,
) -> q.Query:
    """One image's query at a stage, within its budget.

    Args:
      limit: the most that this stage may ask; None for an even share of the image's own budget.
      chosen: the candidates, by number, that the pool's budget pays for; None if the budget is the
        image's own.
    """
    image, size, answer = looked.image, looked.size, looked.answer
    if config.method == "full":
        return q.segment_query(image, stage, size, np.ones(size, np.int32))
    strategy = strategies.find(config.method)
    whole = strategy.asks == "superpixels" or unit(config) == "clicks"
    if limit is None:
        limit = stage_allowance(total(config, size), looked.used, stage, config.stages)
    if strategy.asks in ("points", "regions"):
        points = answer["points"][answer["found"]]
        points = points[:limit] if chosen is None else points[chosen]
        if strategy.asks == "points":
            return q.point_query(image, stage, size, points)
        radius, in_pixels = strategies.radius(strategy, config), unit(config) == "pixels"
        limit = limit if chosen is None else size[0] * size[1]
        return q.segment_query(
            image, stage, size, windows(points, radius, size, limit, in_pixels), whole
        )
    pieces = _pieces(looked, config)
    costs = _costs(pieces, config)
    if strategy.asks == "segments":
        limit = limit if chosen is None else int(costs[chosen].sum())
        random = rng.generator(config.seed, f"query/{image}", stage)
        kept = cap_segments(pieces, answer["selected"], limit, random, costs)
    else:
        order, _ = _ordered(stage, pieces, looked, config)
        if chosen is not None:
            order, limit = order[chosen], int(costs[order[chosen]].sum())
        kept = keep_first(pieces, order, costs, limit)
    return q.segment_query(image, stage, size, kept, whole)


def _pieces(looked: _Looked, config: ml_collections.ConfigDict) -> np.ndarray:
    """[H, W] int32: the number, from 1, of the piece that a pixel is in; 0 = in none."""
    strategy = strategies.find(config.method)
    if strategy.asks == "superpixels":
        image = looked.read_image()
        found = superpixels(image, config.superpixels.cell)
        touched = np.unique(found[looked.asked])
        left = renumbered(np.where(np.isin(found, touched), 0, found))
        return left if strategy.core == 1 else cores(left, image, strategy.core)
    mask = looked.answer["chosen"] & ~looked.asked
    if config.spl.cut == "superpixels":
        return cut_by_superpixels(mask, looked.read_image(), config.spl.cell, config.spl.crumb)
    return cut_segments(mask, config.spl.cell)


def _costs(pieces: np.ndarray, config: ml_collections.ConfigDict) -> np.ndarray:
    """What each piece costs in the budget's unit, [N] int64."""
    sizes = np.bincount(pieces.ravel())[1:]
    return np.ones_like(sizes) if unit(config) == "clicks" else sizes


def _ordered(
    stage: int, pieces: np.ndarray, looked: _Looked, config: ml_collections.ConfigDict
) -> tuple[np.ndarray, np.ndarray]:
    """The order in which superpixels are asked, and the mean score of each, [N].

    The highest mean comes first; in a balanced strategy the predicted classes take turns. Equal
    means are in random order.
    """
    number = int(pieces.max(initial=0))
    sizes = np.bincount(pieces.ravel(), minlength=number + 1)[1:]
    score = np.where(pieces > 0, looked.answer["score"], 0)
    means = np.bincount(pieces.ravel(), weights=score.ravel(), minlength=number + 1)[1:] / sizes
    draw = rng.generator(config.seed, f"query/{looked.image}", stage).random(number)
    order = np.lexsort((draw, -means))
    if strategies.find(config.method).balanced:
        owner = majority(pieces, looked.answer["predicted"])
        order = round_robin(order, owner)
    return order, means


def _asked_mask(queries: list[q.Query], size: tuple[int, int]) -> np.ndarray:
    """[H, W] bool: the pixels that were asked, answered or not. No pixel is asked twice."""
    mask = np.zeros(size[0] * size[1], bool)
    for query in queries:
        mask[q.asked_pixels(query)] = True
    return mask.reshape(size)


def check_beside(config: ml_collections.ConfigDict) -> None:
    """Raises UserError unless the run in `config.beside` has queries of every stage."""
    if config.method != "random" or not config.beside:
        return
    for stage in range(1, config.stages + 1):
        if not q.queries_path(config.beside, stage).exists():
            raise UserError(
                f"config.beside: {config.beside!r} has no queries of stage {stage}; "
                f"give the DIR of a finished labor_ppl or labor_spl run"
            )


def _limits_beside(stage: int, domain: Domain, config: ml_collections.ConfigDict) -> dict[str, int]:
    """For each image, how many points or segments the run in `config.beside` asked."""
    beside = _clicks_beside(config.beside, stage)
    if not set(domain.ids) <= set(beside):
        raise UserError(
            f"config.beside: {q.queries_path(config.beside, stage)} does not have a query for each "
            f"target image; give a finished run on the same images"
        )
    return beside


def _clicks_beside(directory: str, stage: int) -> dict[str, int]:
    """How many points or segments another run asked of each image at a stage."""
    queries = q.each_query(directory, stage) if directory else []
    return {x["image"]: len(x["points"] if "points" in x else x["segments"]) for x in queries}
