"""A stage's queries for every target image, by method. Methods differ here and nowhere else."""

import functools
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import ml_collections
import numpy as np

from labor_jax import hosts, metrics, rng
from labor_jax.annotation import query as q
from labor_jax.annotation.superpixels import cut_by_superpixels, superpixels
from labor_jax.data import pipeline
from labor_jax.data.domain import Domain
from labor_jax.errors import UserError
from labor_jax.selection import strategies

Infer = Callable[..., dict[str, np.ndarray]]


class Asked(NamedTuple):
    """One image's query; the segmenter's prediction [H, W] uint8; the mask's counts if known."""

    query: q.Query
    predicted: np.ndarray
    counts: np.ndarray | None


def asks(method: str, stage: int) -> bool:
    """Whether a method asks anything at a stage; `full` asks everything at the first."""
    return method not in strategies.WITHOUT or (method == "full" and stage == 1)


def ask(
    stage: int,
    domain: Domain,
    infer: Infer,
    config: ml_collections.ConfigDict,
    workdir: str | os.PathLike,
) -> Iterator[Asked]:
    """The queries of a stage, an image at a time, in the domain's order.

    Args:
      stage: from 1.
      domain: this process's target images; labels, where there are any, are read for the mask's
        score only.
      infer: (images [B, h, w, 3] uint8, taken [B, H, W] bool, key [B, 2] uint32, (H, W)) -> what
        `steps.query` gives, or `{"predicted"}` alone for `full`.
      config: method, budget, ppl, spl, superpixels, seed.
      workdir: earlier stages' queries are read from it.
    """
    seen = functools.partial(_look, stage, domain, infer, config, _earlier_queries(workdir, stage))
    limits = None
    if config.method == "random" and config.beside:
        limits = _limits_beside(stage, domain, config)
    elif config.budget.scope == "pool" and config.method != "full":
        limits = _limits_of_pool(stage, seen(), config)
    for index, looked in seen():
        image = domain.ids[index]
        query = _query(stage, looked, limits and limits[image], config)
        counts = None
        if "mask" in looked.answer and domain.read_label is not None:
            truth = domain.read_label(index)
            counts = metrics.mask_counts(looked.answer["mask"], looked.answer["predicted"], truth)
        yield Asked(query, looked.answer["predicted"], counts)


class _Looked(NamedTuple):
    """What is known of an image when it is to be asked.

    answer: this image's row of what `infer` gives; used: what earlier stages spent on it.
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
    infer: Infer,
    config: ml_collections.ConfigDict,
    earlier: dict[str, list[q.Query]],
) -> Iterator[tuple[int, _Looked]]:
    """Every image by its index, as the networks see it."""
    for indices, size, images in pipeline.inference_batches(
        domain, config.input.size, config.eval_batch_size
    ):
        names = [domain.ids[i] for i in indices]
        asked = [_asked_mask(earlier.get(name, []), size) for name in names]
        keys = [jax.random.key_data(rng.key(config.seed, f"query/{n}", stage)) for n in names]
        out = infer(images, np.stack(asked), np.stack(keys), size)
        for row, index in enumerate(indices):
            yield (
                index,
                _Looked(
                    image=names[row],
                    size=size,
                    answer={name: value[row] for name, value in out.items()},
                    asked=asked[row],
                    used=sum(q.cost(b, unit(config)) for b in earlier.get(names[row], [])),
                    read_image=functools.partial(domain.read_image, index),
                ),
            )


# -------------------------------------------------------------------------------------- budgets


def unit(config: ml_collections.ConfigDict) -> str:
    """What the budget counts: "points", "pixels" or "clicks"."""
    strategy = strategies.find(config.method)
    return config.budget.unit or ("points" if strategy and strategy.asks == "points" else "pixels")


def total(config: ml_collections.ConfigDict, size: tuple[int, int]) -> int:
    """An image's share of the budget over all stages, in its unit."""
    budget = config.budget
    return {
        "points": budget.points_per_image,
        "pixels": int(budget.max_fraction * size[0] * size[1]),
        "clicks": budget.clicks_per_image,
    }[unit(config)]


def most(config: ml_collections.ConfigDict, size: tuple[int, int]) -> int:
    """How many points or regions an image can be asked at one stage: a static shape."""
    if config.method == "random" and config.beside:
        counts = (_clicks_beside(config.beside, s + 1).values() for s in range(config.stages))
        return max((number for stage in counts for number in stage), default=0)
    number = int(total(config, size) * _pool_limit(config))
    strategy = strategies.find(config.method)
    if strategy.asks == "regions" and unit(config) == "pixels":
        number //= (strategies.radius(strategy, config) + 1) ** 2  # as small as in a corner
    return number


def _pool_limit(config: ml_collections.ConfigDict) -> float:
    return config.budget.pool_limit if config.budget.scope == "pool" else 1.0


def _limits_of_pool(
    stage: int, images: Iterator[tuple[int, _Looked]], config: ml_collections.ConfigDict
) -> dict[str, int]:
    """How much of the pool's budget each image may be asked at a stage [ours].

    What all images could be asked is lined up by urgency, and the budget ends the line. No image
    stands in it with more than its `pool_limit`.
    """
    rows = []
    for _, looked in images:
        share = total(config, looked.size)
        own = q.stage_allowance(int(share * _pool_limit(config)), looked.used, stage, config.stages)
        urgency, costs = _candidates(stage, looked, config)
        fits = np.cumsum(costs) <= own
        rows.append(
            [looked.image, share, looked.used, urgency[fits].tolist(), costs[fits].tolist()]
        )
    rows = hosts.gather(rows)
    left = q.stage_allowance(
        sum(row[1] for row in rows), sum(row[2] for row in rows), stage, config.stages
    )
    owner = np.repeat(np.arange(len(rows)), [len(row[3]) for row in rows])
    urgency = np.concatenate([np.asarray(row[3], np.float64) for row in rows])
    costs = np.concatenate([np.asarray(row[4], np.int64) for row in rows])
    order = np.argsort(-urgency, kind="stable")
    within = order[np.cumsum(costs[order]) <= left]
    spent = np.bincount(owner[within], weights=costs[within], minlength=len(rows))
    return {row[0]: int(limit) for row, limit in zip(rows, spent, strict=True)}


def _candidates(
    stage: int, looked: _Looked, config: ml_collections.ConfigDict
) -> tuple[np.ndarray, np.ndarray]:
    """Urgency [N] float, falling, and cost [N] int of the pieces that an image could be asked."""
    strategy, answer = strategies.find(config.method), looked.answer
    if strategy.asks in ("points", "regions"):
        scores = answer["scores"][answer["found"]]
        pixels = (2 * strategies.radius(strategy, config) + 1) ** 2
        single = strategy.asks == "points" or unit(config) != "pixels"
        return scores, np.full(len(scores), 1 if single else pixels)
    pieces = _pieces(looked, config)
    costs = _costs(pieces, config)
    if strategy.asks == "superpixels":
        order, means = _ordered(stage, pieces, looked, config)
        return np.minimum.accumulate(means[order]), costs[order]
    # Of each image the same share of its segments.
    return 1 - np.arange(len(costs)) / max(1, len(costs)), costs


# -------------------------------------------------------------------------------------- queries


def _query(
    stage: int, looked: _Looked, limit: int | None, config: ml_collections.ConfigDict
) -> q.Query:
    """What one image is asked at a stage, within its hard budget.

    limit: of this stage, where it is not an even share of the image's own budget.
    """
    image, size, answer = looked.image, looked.size, looked.answer
    if config.method == "full":
        return q.segment_query(image, stage, size, np.ones(size, np.int32))
    strategy = strategies.find(config.method)
    whole = strategy.asks == "superpixels" or unit(config) == "clicks"
    if limit is None:
        share = total(config, size)
        limit = q.stage_allowance(share, looked.used, stage, config.stages)
    if strategy.asks == "points":
        return q.point_query(image, stage, size, answer["points"][answer["found"]][:limit])
    if strategy.asks == "regions":
        radius = strategies.radius(strategy, config)
        centres = answer["points"][answer["found"]]
        windows = q.windows(centres, radius, size, limit, in_pixels=unit(config) == "pixels")
        return q.segment_query(image, stage, size, windows, whole)
    pieces = _pieces(looked, config)
    costs = _costs(pieces, config)
    if strategy.asks == "segments":
        random = rng.generator(config.seed, f"query/{image}", stage)
        kept = q.cap_segments(pieces, answer["selected"], limit, random, costs)
    else:
        kept = q.keep_first(pieces, _ordered(stage, pieces, looked, config)[0], costs, limit)
    return q.segment_query(image, stage, size, kept, whole)


def _pieces(looked: _Looked, config: ml_collections.ConfigDict) -> np.ndarray:
    """[H, W] int32: what can be asked of an image as a piece, from 1; 0 = nothing."""
    if strategies.find(config.method).asks == "superpixels":
        found = superpixels(looked.read_image(), config.superpixels.cell)
        touched = np.unique(found[looked.asked])
        return q.renumbered(np.where(np.isin(found, touched), 0, found))
    mask = looked.answer["chosen"] & ~looked.asked
    if config.spl.cut == "superpixels":
        return cut_by_superpixels(mask, looked.read_image(), config.spl.cell, config.spl.crumb)
    return q.cut_segments(mask, config.spl.cell)


def _costs(pieces: np.ndarray, config: ml_collections.ConfigDict) -> np.ndarray:
    """What each piece costs in the budget's unit, [N] int64."""
    sizes = np.bincount(pieces.ravel())[1:]
    return np.ones_like(sizes) if unit(config) == "clicks" else sizes


def _ordered(
    stage: int, pieces: np.ndarray, looked: _Looked, config: ml_collections.ConfigDict
) -> tuple[np.ndarray, np.ndarray]:
    """The order in which superpixels are asked, and the mean score of each, [N].

    The highest mean first, or the classes' highest in turn; equal ones in a drawn order.
    """
    number = int(pieces.max(initial=0))
    sizes = np.bincount(pieces.ravel(), minlength=number + 1)[1:]
    score = np.where(pieces > 0, looked.answer["score"], 0)
    means = np.bincount(pieces.ravel(), weights=score.ravel(), minlength=number + 1)[1:] / sizes
    draw = rng.generator(config.seed, f"query/{looked.image}", stage).random(number)
    order = np.lexsort((draw, -means))
    if strategies.find(config.method).balanced:
        owner = q.majority(pieces, looked.answer["predicted"])
        order = q.in_turns(order, owner)
    return order, means


def _earlier_queries(workdir: str | os.PathLike, stage: int) -> dict[str, list[q.Query]]:
    earlier: dict[str, list[q.Query]] = {}
    for before in range(1, stage):
        for query in q.read_queries(workdir, before):
            earlier.setdefault(query["image"], []).append(query)
    return earlier


def _asked_mask(queries: list[q.Query], size: tuple[int, int]) -> np.ndarray:
    """[H, W] bool: pixels that were asked, answered or not; none is asked twice."""
    mask = np.zeros(size[0] * size[1], bool)
    for query in queries:
        mask[q.asked_pixels(query)] = True
    return mask.reshape(size)


def check_beside(config: ml_collections.ConfigDict) -> None:
    """Raises UserError unless the run that `random` is to stand beside has asked all it will."""
    if config.method != "random" or not config.beside:
        return
    for stage in range(1, config.stages + 1):
        if not q.queries_path(config.beside, stage).exists():
            raise UserError(
                f"config.beside: {config.beside!r} has no queries of stage {stage}; "
                f"give the DIR of a finished labor_ppl or labor_spl run"
            )


def _limits_beside(stage: int, domain: Domain, config: ml_collections.ConfigDict) -> dict[str, int]:
    """As many points as the other run asked points or segments, of each image."""
    beside = _clicks_beside(config.beside, stage)
    if not set(domain.ids) <= set(beside):
        raise UserError(
            f"config.beside: {q.queries_path(config.beside, stage)} has not a query for each "
            f"target image; give a finished run on the same images"
        )
    return beside


def _clicks_beside(directory: str, stage: int) -> dict[str, int]:
    """How many points or segments another run asked of each image at a stage."""
    queries = q.read_queries(directory, stage) if directory else []
    return {x["image"]: len(x.get("points", x.get("segments"))) for x in queries}
