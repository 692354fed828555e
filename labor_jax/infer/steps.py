"""Pure inference steps: predictions and queries. `parallel.py` maps them over devices."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import ml_collections

from labor_jax.models.likeliest import likeliest
from labor_jax.models.linear import kept
from labor_jax.models.resize import upsample, upsample_each
from labor_jax.models.segmenter import Inputs
from labor_jax.selection import strategies
from labor_jax.selection.inconsistency import inconsistency_mask, mean_probability
from labor_jax.selection.spacing import NEVER, dilated, spaced_maxima
from labor_jax.train.parts import in_parts
from labor_jax.train.state import Networks, State, Trained, segmenter_taught

MAP_BYTES = 2**26
"""The most bytes of a logit map that a query upsamples at once; one image may have more.

Several maps of a whole batch of large images would need more memory than the networks. Smaller
parts are slower.
"""


def predict(
    segmenter: Trained,
    images: Inputs,
    *,
    networks: Networks,
    size: tuple[int, int],
    natives: jax.Array | None = None,
    views: Sequence[tuple[int, int]] = (),
    flip: bool = False,
) -> jax.Array:
    """The segmenter's classes at the label's resolution.

    Args:
      images: [B, h, w, 3] uint8, or a tuple of their levels, for which views and flip do not count.
      size: (H, W) of the answer.
      natives: [B, 2] int32, the (height, width) of each image's own answer, which is at the top
        left of `size`; what is beyond means nothing. None = all are of `size`.
      views: sizes (h, w) to which the images are resized for the network. Probabilities are
        averaged over them. () = once, at the images' own size.
      flip: whether the average also has each view's mirror image.
    Returns:
      [B, H, W] uint8 train ids.
    """
    maps = _logits(segmenter, images, networks, size, natives, views, flip)
    merged = maps[0] if len(maps) == 1 else sum(map(jax.nn.softmax, maps), jnp.float32(0))
    return likeliest(merged).astype(jnp.uint8)


def probabilities(
    segmenter: Trained,
    images: Inputs,
    *,
    networks: Networks,
    size: tuple[int, int],
    natives: jax.Array | None = None,
    views: Sequence[tuple[int, int]] = (),
    flip: bool = False,
) -> jax.Array:
    """The segmenter's probability of each class, [B, H, W, C] float32; see `predict`."""
    maps = _logits(segmenter, images, networks, size, natives, views, flip)
    return sum(map(jax.nn.softmax, maps), jnp.float32(0)) / len(maps)


def doubts(segmenter: Trained, images: Inputs, *, networks: Networks) -> jax.Array:
    """How unsure the segmenter is of images: least confidence, a mean over the main head's map.

    Args:
      images: as of `predict`.
    Returns:
      [B] float32, 1 minus the likeliest class's probability.
    """
    logits = networks.segmenter.apply(segmenter.variables, images, train=False)["main"]
    return 1 - jax.nn.softmax(logits).max(-1).mean((1, 2))


def _logits(
    segmenter: Trained,
    images: Inputs,
    networks: Networks,
    size: tuple[int, int],
    natives: jax.Array | None,
    views: Sequence[tuple[int, int]],
    flip: bool,
) -> list[jax.Array]:
    """The main head's logits [B, H, W, C] float32 for each view of `predict`."""

    def logits(images: Inputs, mirrored: bool = False) -> jax.Array:
        out = networks.segmenter.apply(segmenter.variables, images, train=False)["main"]
        return _upsampled(out[:, :, ::-1] if mirrored else out, size, natives)

    if isinstance(images, Sequence):
        return [logits(images)]
    maps = []
    for view in views or (images.shape[1:3],):
        seen = images
        if view != images.shape[1:3]:
            shape = (images.shape[0], *view, images.shape[3])
            seen = jax.image.resize(images.astype(jnp.float32), shape, "linear")
        maps.append(logits(seen))
        if flip:
            maps.append(logits(seen[:, :, ::-1], mirrored=True))
    return maps


def _upsampled(logits: jax.Array, size: tuple[int, int], natives: jax.Array | None) -> jax.Array:
    return upsample(logits, size) if natives is None else upsample_each(logits, size, natives)


def features(segmenter: Trained, images: jax.Array, *, networks: Networks) -> list[jax.Array]:
    """The levels of images as they are kept of a frozen backbone, [B, h, w, F] float16 each.

    images: [B, H, W, 3] uint8.
    """
    levels = networks.segmenter.apply(segmenter.variables, images, method="levels")
    return [level.astype(jnp.float16) for level in kept(levels)]


def query(
    state: State,
    batch: dict[str, jax.Array],
    *,
    networks: Networks,
    size: tuple[int, int],
    number: int,
    config: ml_collections.ConfigDict,
) -> dict[str, jax.Array]:
    """The networks' predictions for target images, and what the method's strategy would ask.

    Args:
      state: its shipped segmenter is read, and its selector if the strategy needs it.
      batch: {"image": [B, h, w, 3] uint8 or a tuple of their levels, "taken": [B, H, W] bool, the
        pixels asked before, "key": [B, 2] uint32, the data of a JAX random key for each image}.
        With "native" [B, 2] int32 each image's label has its own (height, width), at the top left
        of `size`.
      size: (H, W) of the labels.
      number: the most points or regions for an image.
    Returns:
      The result of `select`.
    """
    images = batch["image"]
    segmenter = networks.segmenter.apply(state.shipped.variables, images, train=False)
    maps = {name: segmenter[name] for name in ("main", "features")}
    if strategies.needs_selector(config.method):
        assert state.selector is not None, "a selector is asked between its fit and adaptation"
        fitted = state.selector.replace(fixed=state.segmenter.fixed)
        selector = networks.selector.apply(fitted.variables, images, train=False)
        maps |= {head: selector[head] for head in ("c1", "c2")}
    if not config.source.domain:
        maps["untaught"] = jnp.full(len(maps["main"]), state.step < segmenter_taught(config))
    return in_parts(
        functools.partial(select, size=size, number=number, config=config),
        maps | {name: batch[name] for name in ("taken", "key", "native") if name in batch},
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
        [B, h, w, F] float; "taken", "key" and "native" as `query` has them. Without a source also
        "untaught": [B] bool, whether the segmenter has seen no label yet: what is asked is then
        random, since its scores mean nothing, unless the strategy is one `before_labels`.
    Returns:
      "predicted": [B, H, W] uint8, the segmenter's classes. With a selector also "mask":
      [B, H, W] bool, equation 4 of the paper, and "selected": [B, H, W] uint8, the argmax of the
      heads' mean. The rest depends on what the strategy asks. Points or regions: "points"
      [B, number, 2] int32 (row, column), the most urgent first, "found" [B, number] bool and
      "scores" [B, number] float32. Segments: "chosen" [B, H, W] bool. Superpixels: "score"
      [B, H, W] float32. Beyond an image's own size nothing is asked, and the maps mean nothing.
    """
    strategy, natives = strategies.find(config.method), maps.get("native")
    main, *heads = (
        _upsampled(maps[head], size, natives)
        for head in ("main", *(("c1", "c2") if strategy.selector else ()))
    )
    answer = {"predicted": likeliest(main).astype(jnp.uint8)}
    if heads:
        answer["mask"] = inconsistency_mask(*heads)
        answer["selected"] = likeliest(mean_probability(*heads)).astype(jnp.uint8)
    keys = jax.random.wrap_key_data(maps["key"])
    taught = ~maps["untaught"].any() if "untaught" in maps else None
    seen = strategies.Seen(
        main, tuple(heads), maps["features"], maps["taken"], keys, number, natives, taught
    )
    radius = strategies.radius(strategy, config)
    score = strategy.score(seen, config)
    if "untaught" in maps and not strategy.before_labels:
        score = jnp.where(maps["untaught"][:, None, None], seen.noise, score)
    score = jnp.where(dilated(seen.taken, radius) | ~seen.inside, NEVER, score)
    if strategy.asks == "segments":
        return answer | {"chosen": score > NEVER}
    if strategy.asks == "superpixels":
        return answer | {"score": score}
    apart = 2 * radius if strategy.asks == "regions" else radius  # no two regions overlap
    points, found, scores = spaced_maxima(score, number=number, radius=apart)
    return answer | {"points": points, "found": found, "scores": scores}


def _parts_within(limit: int, shape: tuple[int, ...], size: tuple[int, int]) -> int:
    """How many equal parts of float32 maps [B, h, w, C] have at most `limit` bytes each at `size`.

    If one image has more, each image is a part.
    """
    rows, image = shape[0], 4 * size[0] * size[1] * shape[-1]
    return next((n for n in range(1, rows) if rows % n == 0 and rows // n * image <= limit), rows)
