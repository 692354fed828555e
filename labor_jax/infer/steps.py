"""Pure inference steps: what the networks say of images. `parallel.py` maps them over devices."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import ml_collections

from labor_jax.models.likeliest import likeliest
from labor_jax.models.resize import upsample
from labor_jax.selection import strategies
from labor_jax.selection.inconsistency import inconsistency_mask, mean_probability
from labor_jax.selection.spacing import NEVER, dilated, spaced_maxima
from labor_jax.train.parts import in_parts
from labor_jax.train.state import Networks, State, Trained

MAP_BYTES = 2**26
"""A query upsamples as many images at once as have maps of this size, or one: several maps of a
batch of large images would need more memory than the networks. Smaller parts are slower."""


def predict(
    segmenter: Trained,
    images: jax.Array,
    *,
    networks: Networks,
    size: tuple[int, int],
    views: Sequence[tuple[int, int]] = (),
    flip: bool = False,
) -> jax.Array:
    """The segmenter's classes at the label's resolution.

    Args:
      images: [B, h, w, 3] uint8.
      size: (H, W) of the answer.
      views: (h, w) at which the network sees the images, resized where they are not so large;
        probabilities are averaged over them. () = once, as they are.
      flip: whether each view is seen mirrored, too.
    Returns:
      [B, H, W] uint8 train ids.
    """
    maps = _logits(segmenter, images, networks, size, views, flip)
    merged = maps[0] if len(maps) == 1 else sum(map(jax.nn.softmax, maps), jnp.float32(0))
    return likeliest(merged).astype(jnp.uint8)


def probabilities(
    segmenter: Trained,
    images: jax.Array,
    *,
    networks: Networks,
    size: tuple[int, int],
    views: Sequence[tuple[int, int]] = (),
    flip: bool = False,
) -> jax.Array:
    """How likely the segmenter holds each class to be: [B, H, W, C] float32; see `predict`."""
    maps = _logits(segmenter, images, networks, size, views, flip)
    return sum(map(jax.nn.softmax, maps), jnp.float32(0)) / len(maps)


def _logits(
    segmenter: Trained,
    images: jax.Array,
    networks: Networks,
    size: tuple[int, int],
    views: Sequence[tuple[int, int]],
    flip: bool,
) -> list[jax.Array]:
    """The main head's [B, H, W, C] float32 of each view, for `predict`."""

    def logits(images: jax.Array) -> jax.Array:
        out = networks.segmenter.apply(segmenter.variables, images, train=False)
        return upsample(out["main"], size)

    maps = []
    for view in views or (images.shape[1:3],):
        seen = images
        if view != images.shape[1:3]:
            shape = (images.shape[0], *view, images.shape[3])
            seen = jax.image.resize(images.astype(jnp.float32), shape, "linear")
        maps.append(logits(seen))
        if flip:
            maps.append(logits(seen[:, :, ::-1])[:, :, ::-1])
    return maps


def query(
    state: State,
    batch: dict[str, jax.Array],
    *,
    networks: Networks,
    size: tuple[int, int],
    number: int,
    config: ml_collections.ConfigDict,
) -> dict[str, jax.Array]:
    """What the networks say of target images, and what the method's strategy would ask.

    Args:
      state: segmenter and, where the strategy needs it, selector are read.
      batch: {"image": [B, h, w, 3] uint8, "taken": [B, H, W] bool, pixels asked before,
        "key": [B, 2] uint32, the data of a key for each}.
      size: (H, W) of the labels.
      number: points or regions an image, at most.
    Returns:
      What `select` gives.
    """
    images = batch["image"]
    segmenter = networks.segmenter.apply(state.segmenter.variables, images, train=False)
    maps = {name: segmenter[name] for name in ("main", "features")}
    if strategies.needs_selector(config.method):
        assert state.selector is not None, "a selector is asked between its fit and adaptation"
        selector = networks.selector.apply(state.selector.variables, images, train=False)
        maps |= {head: selector[head] for head in ("c1", "c2")}
    return in_parts(
        functools.partial(select, size=size, number=number, config=config),
        maps | {name: batch[name] for name in ("taken", "key")},
        _parts_within(MAP_BYTES, maps["main"].shape, size),
    )


def select(
    maps: dict[str, jax.Array],
    *,
    size: tuple[int, int],
    number: int,
    config: ml_collections.ConfigDict,
) -> dict[str, jax.Array]:
    """What a strategy asks, from the networks' outputs.

    Args:
      maps: "main" and, with a selector, "c1" and "c2" [B, h, w, C] float32; "features"
        [B, h, w, F] float; "taken" and "key" as `query` has them.
    Returns:
      "predicted": [B, H, W] uint8, the segmenter's classes. With a selector "mask": [B, H, W] bool,
      equation 4, and "selected": [B, H, W] uint8, argmax of the heads' mean. And by what is asked:
      points or regions: "points" [B, number, 2] int32 (row, column), the most urgent first,
      "found" [B, number] bool and "scores" [B, number] float32; segments: "chosen" [B, H, W] bool;
      superpixels: "score" [B, H, W] float32.
    """
    strategy = strategies.find(config.method)
    main = upsample(maps["main"], size)
    heads = tuple(upsample(maps[head], size) for head in ("c1", "c2") if strategy.selector)
    answer = {"predicted": likeliest(main).astype(jnp.uint8)}
    if heads:
        answer["mask"] = inconsistency_mask(*heads)
        answer["selected"] = likeliest(mean_probability(*heads)).astype(jnp.uint8)
    keys = jax.random.wrap_key_data(maps["key"])
    seen = strategies.Seen(main, heads, maps["features"], maps["taken"], keys, number)
    radius = strategies.radius(strategy, config)
    score = jnp.where(dilated(seen.taken, radius), NEVER, strategy.score(seen, config))
    if strategy.asks == "segments":
        return answer | {"chosen": score > NEVER}
    if strategy.asks == "superpixels":
        return answer | {"score": score}
    apart = 2 * radius if strategy.asks == "regions" else radius  # no two regions overlap
    points, found, scores = spaced_maxima(score, number=number, radius=apart)
    return answer | {"points": points, "found": found, "scores": scores}


def _parts_within(limit: int, shape: tuple[int, ...], size: tuple[int, int]) -> int:
    """Into how many equal parts float32 maps [B, h, w, C] fall, so that none is larger at `size`;
    an image a part where even one is."""
    rows, image = shape[0], 4 * size[0] * size[1] * shape[-1]
    return next((n for n in range(1, rows) if rows % n == 0 and rows // n * image <= limit), rows)
