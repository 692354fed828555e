"""PPL: the most representative inconsistent pixels of each class [paper]."""

import operator
from functools import partial

import jax
import jax.numpy as jnp

from labor_jax.models.likeliest import class_sum, likeliest
from labor_jax.models.resize import upsample, upsample_each
from labor_jax.selection.spacing import NEVER

__all__ = [
    "representative_points",
]


def representative_points(
    probs: jax.Array,
    mask: jax.Array,
    taken: jax.Array,
    *,
    points_per_class: int,
    radius: int,
    distance: str = "cosine",
    features: jax.Array | None = None,
    natives: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """For each class, the pixels of the mask whose probabilities are nearest to the class's mean.

    With `D^(k) = {pixels of M with argmax p = k}` and `mu^(k) = mean of p over D^(k)`, the point of
    class k is the pixel of D^(k) most similar to mu^(k) [paper]. Ours are the cosine as similarity,
    further points of a class, a radius between them, and the first pixel in row-major order where
    several are equally similar.

    Args:
      probs: [B, H, W, C] float32, mean of the two heads' probabilities.
      mask: [B, H, W] bool, the inconsistency mask M.
      taken: [B, H, W] bool, pixels that may not be asked any more.
      points_per_class: how many points a class of an image is asked at most.
      radius: pixels; two points of a class are more than this apart in the larger of both
        coordinates.
      distance: "cosine", or "l2" for the Euclidean distance; "features" for the cosine of features
        in place of probabilities [ours].
      features: [B, h, w, F] float, of which the probabilities are made; read with "features" alone.
      natives: as of `strategies.Seen`; read with "features" alone.
    Returns:
      points: [B, C, points_per_class, 2] int32, (row, column).
      found: [B, C, points_per_class] bool; where it is false, `points` means nothing.
    """
    classes = probs.shape[-1]
    predicted = likeliest(probs)
    member = (predicted[..., None] == jnp.arange(classes)) & mask[..., None]
    count = member.sum(axis=(1, 2), dtype=jnp.float32)
    weights = member.astype(probs.dtype)
    if distance == "features":
        assert features is not None, "features are of a network"
        similarity = _of_features(features, weights, natives)
        return _best(member & ~taken[..., None], similarity, points_per_class, radius)
    mean = jnp.einsum("bhwk,bhwc->bkc", weights, probs) / jnp.maximum(count, 1.0)[..., None]
    prototype = jax.vmap(operator.getitem)(mean, predicted)
    product, length, own = map(
        class_sum, (probs * prototype, jnp.square(probs), jnp.square(prototype))
    )
    if distance == "l2":
        similarity = 2 * product - length - own
    else:
        similarity = product / jnp.maximum(jnp.sqrt(length * own), 1e-12)
    return _best(member & ~taken[..., None], similarity, points_per_class, radius)


def _of_features(features: jax.Array, members: jax.Array, natives: jax.Array | None) -> jax.Array:
    """How similar each member's features are to those of its class's prototype, [B, H, W] float32.

    Features have length 1 in each cell and are interpolated as logits are. A prototype is their
    mean over its members, and its length is 1, too. Interpolation is linear, so products are made
    in the cells, and no feature is interpolated.

    Args:
      features: [B, h, w, F] float.
      members: [B, H, W, C] float32, 1 where a pixel is of the mask and of the class, else 0.
    """
    batch, height, width, classes = members.shape
    size = height, width
    to_pixels = (
        partial(upsample, size=size)
        if natives is None
        else partial(upsample_each, size=size, natives=natives)
    )
    exact, shape = jax.lax.Precision.HIGHEST, (batch, *features.shape[1:3], classes)
    cells = features.astype(jnp.float32)
    cells /= jnp.maximum(jnp.linalg.norm(cells, axis=-1, keepdims=True), 1e-12)
    to_cells = jax.linear_transpose(to_pixels, jax.ShapeDtypeStruct(shape, jnp.float32))
    (shares,) = to_cells(members)
    mean = jnp.einsum("bhwk,bhwf->bkf", shares, cells, precision=exact)
    mean /= jnp.maximum(jnp.linalg.norm(mean, axis=-1, keepdims=True), 1e-12)
    return class_sum(
        members * to_pixels(jnp.einsum("bhwf,bkf->bhwk", cells, mean, precision=exact))
    )


def _best(
    open_: jax.Array, similarity: jax.Array, number: int, radius: int
) -> tuple[jax.Array, jax.Array]:
    """The most similar pixels of each class, more than a radius apart.

    Args:
      open_: [B, H, W, C] bool, pixels that may be asked as ones of a class.
      similarity: [B, H, W] float32.
    Returns:
      points [B, C, number, 2] int32 and found [B, C, number] bool.
    """
    height, width, classes = open_.shape[1:]
    rows = jnp.arange(height)[:, None]
    columns = jnp.arange(width)[None, :]

    def next_point(open_: jax.Array, _: None) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        score = jnp.where(open_, similarity[..., None], NEVER)
        flat = score.reshape(score.shape[0], height * width, classes)
        best = jax.lax.platform_dependent(flat, cpu=_first_of_highest, default=_argmax)
        found = jnp.take_along_axis(flat, best[:, None], axis=1)[:, 0] > NEVER
        row, column = best // width, best % width
        near = (jnp.abs(rows[..., None] - row[:, None, None]) <= radius) & (
            jnp.abs(columns[..., None] - column[:, None, None]) <= radius
        )
        return open_ & ~near, (jnp.stack([row, column], axis=-1), found)

    _, (points, found) = jax.lax.scan(next_point, open_, length=number)
    return jnp.moveaxis(points, 0, 2).astype(jnp.int32), jnp.moveaxis(found, 0, 2)


def _argmax(scores: jax.Array) -> jax.Array:
    return jnp.argmax(scores, axis=1).astype(jnp.int32)


def _first_of_highest(scores: jax.Array) -> jax.Array:
    """`argmax` over axis 1 in a form quicker on CPUs; for a TPU it moves twice the bytes."""
    pixels = jnp.arange(scores.shape[1], dtype=jnp.int32)[:, None]
    highest = scores.max(axis=1, keepdims=True)
    return jnp.where(scores == highest, pixels, scores.shape[1]).min(axis=1)
