"""A stage's queries for every target image, by method. Methods differ here and nowhere else."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import cv2
import ml_collections
import numpy as np

from labor_jax import metrics, rng
from labor_jax.annotation import query as q
from labor_jax.annotation.superpixels import cut_by_superpixels
from labor_jax.config import SELECTOR_METHODS
from labor_jax.data import pipeline
from labor_jax.data.domain import Domain
from labor_jax.errors import UserError

Infer = Callable[..., dict[str, np.ndarray]]


class Asked(NamedTuple):
    """One image's query; the segmenter's prediction [H, W] uint8; the mask's counts if known."""

    query: q.Query
    predicted: np.ndarray
    counts: np.ndarray | None


def asks(method: str, stage: int) -> bool:
    """Whether a method asks anything at a stage; `full` asks everything at the first."""
    return method in (*SELECTOR_METHODS, "random") or (method == "full" and stage == 1)


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
      domain: the target images; labels, where there are any, are read for the mask's score only.
      infer: (images [B, h, w, 3] uint8, taken [B, H, W] bool, (H, W)) -> what `steps.query` gives,
        or `{"predicted"}` alone for methods without a selector.
      config: method, budget, ppl, spl, seed.
      workdir: earlier stages' queries are read from it.
    """
    earlier = _earlier_queries(workdir, stage)
    beside = _clicks_beside(config.beside, stage) if config.method == "random" else {}
    if config.method == "random" and config.beside and not set(domain.ids) <= set(beside):
        raise UserError(
            f"config.beside: {q.queries_path(config.beside, stage)} has not a query for each "
            f"target image; give a finished run on the same images"
        )
    for indices, size, images in pipeline.inference_batches(
        domain, config.input.size, config.eval_batch_size
    ):
        asked = [_asked_mask(earlier.get(domain.ids[i], []), size) for i in indices]
        near = [_dilate(mask, config.ppl.radius) for mask in asked]
        out = infer(images, np.stack(near), size)
        for row, index in enumerate(indices):
            image = domain.ids[index]
            answer = {name: value[row] for name, value in out.items()}
            before = earlier.get(image, [])
            read = functools.partial(domain.read_image, index)
            query = _query(image, stage, size, answer, asked[row], before, beside, read, config)
            counts = None
            if "mask" in answer and domain.read_label is not None:
                truth = domain.read_label(index)
                counts = metrics.mask_counts(answer["mask"], answer["predicted"], truth)
            yield Asked(query, answer["predicted"], counts)


def _query(
    image: str,
    stage: int,
    size: tuple[int, int],
    answer: dict[str, np.ndarray],
    asked: np.ndarray,
    before: list[q.Query],
    beside: dict[str, int],
    read_image: Callable[[], np.ndarray],
    config: ml_collections.ConfigDict,
) -> q.Query:
    """What one image is asked at a stage, within its hard budget."""
    random = rng.generator(config.seed, f"query/{image}", stage)
    if config.method == "full":
        return q.segment_query(image, stage, size, np.ones(size, np.int32))
    if config.method == "labor_spl":
        used = sum(len(q.asked_pixels(b)) for b in before)
        total = int(config.budget.max_fraction * size[0] * size[1])
        limit = q.stage_allowance(total, used, stage, config.stages)
        mask = answer["mask"] & ~asked
        if config.spl.cut == "superpixels":
            segments = cut_by_superpixels(mask, read_image(), config.spl.cell, config.spl.crumb)
        else:
            segments = q.cut_segments(mask, config.spl.cell)
        return q.segment_query(
            image, stage, size, q.cap_segments(segments, answer["selected"], limit, random)
        )
    used = sum(len(b["points"]) for b in before)
    limit = q.stage_allowance(config.budget.points_per_image, used, stage, config.stages)
    if config.method == "labor_ppl":
        points = q.cap_points(answer["points"], answer["found"], limit)
    else:
        free = np.flatnonzero(~asked)
        number = min(beside.get(image, 0) if config.beside else limit, free.size)
        points = np.stack(np.unravel_index(random.choice(free, number, replace=False), size), -1)
    return q.point_query(image, stage, size, points)


def _earlier_queries(workdir: str | os.PathLike, stage: int) -> Mapping[str, list[q.Query]]:
    return q.by_image(workdir, range(1, stage))


def _asked_mask(queries: list[q.Query], size: tuple[int, int]) -> np.ndarray:
    """[H, W] bool: pixels that were asked, answered or not; none is asked twice."""
    mask = np.zeros(size[0] * size[1], bool)
    for query in queries:
        mask[q.asked_pixels(query)] = True
    return mask.reshape(size)


def _dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)


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


def _clicks_beside(directory: str, stage: int) -> dict[str, int]:
    """How many points or segments another run asked of each image at a stage."""
    queries = q.each_query(directory, stage) if directory else []
    return {x["image"]: len(x.get("points", x.get("segments"))) for x in queries}
