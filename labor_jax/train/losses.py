"""Losses as (sum, count) pairs, which stay right where devices have unequally many labelled pixels.

A step divides the local sum by the count over all devices (`normalise`) and then adds up the
gradients. A mean of per-device means would give a device with one labelled pixel the weight of a
device with a thousand.

An optional loss is one function with `@loss` above it, here or in a module of `config.plugins`. Its
weight in the config switches it on.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from labor_jax.data.labels import IGNORE
from labor_jax.util.discovery import keep_apart
from labor_jax.util.errors import UserError

__all__ = [
    "SOURCE",
    "TARGET",
    "LossFunction",
    "OptionalLoss",
    "SumCount",
    "adversarial",
    "balanced",
    "check_names",
    "count",
    "cross_entropy",
    "discrepancy",
    "entropy",
    "local_consistency",
    "loss",
    "negative_learning",
    "normalise",
    "share",
    "switched_on",
    "uniformity",
    "weight_similarity",
]


SumCount = tuple[jax.Array, jax.Array]

SOURCE, TARGET = 0.0, 1.0
"""The discriminator's labels of the two domains [cited: AdaptSegNet]."""


def normalise(loss: SumCount, axis_name: str | None) -> jax.Array:
    """Local sum / count over all devices; 0 where nothing counts.

    Args:
      loss: (sum float32 [], count float32 []) of this device's share of the batch.
      axis_name: the mapped axis, None where there is one device.
    Returns:
      float32 []; the sum of it over devices is the loss.
    """
    total, here = loss
    return share(total, here if axis_name is None else jax.lax.psum(here, axis_name))


def count(where: jax.Array, axis_name: str | None) -> jax.Array:
    """How many pixels of [B, H, W] bool count on all devices, float32 []."""
    here = where.sum(dtype=jnp.float32)
    return here if axis_name is None else jax.lax.psum(here, axis_name)


def share(total: jax.Array, count: jax.Array) -> jax.Array:
    """A part's sum divided by the count over all parts; 0 where nothing counts."""
    return total / jnp.maximum(count, 1.0)


def balanced(labels: jax.Array, classes: int, balance: float, axis_name: str | None) -> jax.Array:
    """The weight of each pixel, of mean 1 over all labelled pixels on all devices [ours].

    A class that has the share f of these pixels weighs f^-balance beside the others.

    Args:
      labels: [B, H, W] uint8 train ids, 255 = no label; its weight is of no use.
      classes: C.
      balance: `loss.balance`.
      axis_name: the mapped axis.
    Returns:
      [B, H, W] float32.
    """
    here = (labels[..., None] == jnp.arange(classes)).sum((0, 1, 2), dtype=jnp.float32)
    pixels = here if axis_name is None else jax.lax.psum(here, axis_name)
    weights = jnp.where(pixels > 0, jnp.maximum(pixels, 1.0) ** -balance, 0.0)
    weights *= share(pixels.sum(), (pixels * weights).sum())
    return weights[jnp.minimum(labels, classes - 1)]


def cross_entropy(
    logits: jax.Array, labels: jax.Array, weights: jax.Array | None = None
) -> SumCount:
    """Cross-entropy over labelled pixels [paper].

    Args:
      logits: [B, H, W, C] float32.
      labels: [B, H, W] uint8 train ids, 255 = ignored.
      weights: [B, H, W] float32, of each pixel in the sum but not in the count; None = 1.
    """
    valid = labels != IGNORE
    safe = jnp.where(valid, labels, 0).astype(jnp.int32)
    picked = jnp.take_along_axis(logits, safe[..., None], axis=-1)[..., 0]
    nll = jax.nn.logsumexp(logits, axis=-1) - picked
    nll = nll if weights is None else weights * nll
    return jnp.where(valid, nll, 0.0).sum(), valid.sum(dtype=jnp.float32)


def adversarial(logits: jax.Array, domain: float, kind: str) -> SumCount:
    """How far the discriminator's answer is from `domain` [cited: AdaptSegNet].

    Args:
      logits: [B, h, w, 1] float32, the discriminator's output.
      domain: SOURCE or TARGET.
      kind: "vanilla", binary cross-entropy, or "ls", least squares.
    """
    if kind == "ls":
        per_cell = jnp.square(logits - domain)
    else:
        per_cell = jax.nn.softplus(logits) - logits * domain
    return per_cell.sum(), jnp.float32(logits.size)


def discrepancy(logits1: jax.Array, logits2: jax.Array) -> SumCount:
    """Mean absolute difference of two softmaxes [cited: MCD].

    The mean is over pixels and classes. A sum over classes would be C times larger.

    Args:
      logits1, logits2: [B, H, W, C] float32.
    """
    difference = jnp.abs(jax.nn.softmax(logits1) - jax.nn.softmax(logits2))
    return difference.sum(), jnp.float32(difference.size)


def entropy(logits: jax.Array, where: jax.Array) -> SumCount:
    """Entropy of the softmax: small where the network is sure [cited: IAST].

    The mean is over pixels and classes, as published. It is C times smaller than a pixel's entropy.

    Args:
      logits: [B, H, W, C] float32.
      where: [B, H, W] bool, the pixels that count.
    """
    log_probs = jax.nn.log_softmax(logits)
    per_pixel = -(jnp.exp(log_probs) * log_probs).mean(-1)
    return jnp.where(where, per_pixel, 0.0).sum(), where.sum(dtype=jnp.float32)


def uniformity(logits: jax.Array, where: jax.Array) -> SumCount:
    """Cross-entropy of the uniform distribution: small where the network is not too sure.

    This is IAST's "KLD" [cited]. As published, it is C times smaller than a pixel's cross-entropy.

    Args:
      logits: [B, H, W, C] float32.
      where: [B, H, W] bool, the pixels that count.
    """
    per_pixel = -jax.nn.log_softmax(logits).mean(-1) / logits.shape[-1]
    return jnp.where(where, per_pixel, 0.0).sum(), where.sum(dtype=jnp.float32)


LossFunction = Callable[[jax.Array, jax.Array, ml_collections.ConfigDict], SumCount]
"""(logits [B, H, W, C] float32, labels [B, H, W] uint8 train ids with 255 = unlabelled, the run's
config) -> this loss over these pixels."""


class OptionalLoss(NamedTuple):
    """A loss of the segmenter's main head that a weight in the config switches on.

    Attributes:
      function: the pure function.
      domain: "source" or "target", whose images it is computed on.
    """

    function: LossFunction
    domain: str


_OPTIONAL: dict[str, OptionalLoss] = {}


def loss(name: str, *, domain: str) -> Callable[[LossFunction], LossFunction]:
    """Registers a loss of the segmenter's main head; the arguments are `OptionalLoss`'s.

    A loss of labor_jax has its weight in the field `config.loss.NAME`. One of your own stands in
    any module that `config.plugins` names, and its weight is `config.loss.own.NAME`:

        # my_losses.py
        import jax
        import jax.numpy as jnp
        from labor_jax.train.losses import SumCount, loss

        @loss("focal", domain="target")
        def focal(logits, labels, config) -> SumCount:
            valid = labels != 255
            of_label = jax.nn.one_hot(labels, logits.shape[-1])  # zeros for 255
            log_prob = (jax.nn.log_softmax(logits) * of_label).sum(-1)
            per_pixel = -((1 - jnp.exp(log_prob)) ** 2) * log_prob
            return jnp.where(valid, per_pixel, 0.0).sum(), valid.sum(dtype=jnp.float32)

    It is trained with `--config.plugins="('my_losses',)"` and, in the config file,
    `c.loss.own.focal = 0.5`. A sum and a count are returned, not a mean, since the count is added
    up over all devices. Each step records the loss as "loss/focal", without its weight.

    Raises:
      ValueError: there is no such domain.
      UserError: another module has registered a loss of this name.
    """
    if domain not in ("source", "target"):
        raise ValueError(f"domain={domain!r} is neither source nor target")

    def register(function: LossFunction) -> LossFunction:
        known = _OPTIONAL.get(name)
        keep_apart("loss", name, known.function if known else None, function)
        _OPTIONAL[name] = OptionalLoss(function, domain)
        return function

    return register


def switched_on(config: ml_collections.ConfigDict) -> Iterator[tuple[str, OptionalLoss, float]]:
    """Name, loss and weight of each optional loss whose weight is not 0, in a fixed order.

    Plugins' come last, by name: in which order plugins are imported may change on resume, and the
    order in which losses are added up must not.
    """
    ours = [(name, optional) for name, optional in _OPTIONAL.items() if not _is_own(optional)]
    own = sorted((name, optional) for name, optional in _OPTIONAL.items() if _is_own(optional))
    for name, optional in [*ours, *own]:
        weights = config.loss.own if _is_own(optional) else config.loss
        if weight := weights.get(name, 0.0):
            yield name, optional, weight


def _is_own(optional: OptionalLoss) -> bool:
    """Whether a plugin registered it."""
    return optional.function.__module__ != __name__


def check_names(config: ml_collections.ConfigDict) -> None:
    """Raises UserError where `config.loss.own` names a loss that no plugin registers."""
    own = [name for name, optional in _OPTIONAL.items() if _is_own(optional)]
    for name in config.loss.own:
        if name not in own:
            there = f"there is {', '.join(own)}" if own else "none is registered"
            raise UserError(
                f"config.loss.own.{name}: no plugin registers this loss, {there}; name its module "
                f"in config.plugins, or leave the key out"
            )


@loss("negative", domain="target")
def negative_learning(
    logits: jax.Array, labels: jax.Array, config: ml_collections.ConfigDict
) -> SumCount:
    """`-log(1 - p + 1e-6)` of the classes that are improbable at a pixel [cited: RIPU].

    Minimising it pushes their probabilities to 0. It is a mean over (pixel, class) pairs.

    Args:
      logits: [B, H, W, C] float32.
      labels: not read.
      config: `loss.negative_below`, the probability below which a pair counts.
    """
    probs = jax.nn.softmax(logits)
    unlikely = jax.lax.stop_gradient(probs < config.loss.negative_below)
    pairs = jnp.where(unlikely, -jnp.log(1 - probs + 1e-6), 0.0)
    return pairs.sum(), unlikely.sum(dtype=jnp.float32)


@loss("consistency", domain="source")
def local_consistency(
    logits: jax.Array, labels: jax.Array, config: ml_collections.ConfigDict
) -> SumCount:
    """L1 distance of a pixel's probabilities from their 3x3 window's mean [cited: RIPU].

    It is a mean over the pixels at a border between classes. As published, a pixel is at a border
    if 8 times its id is not the sum of its 8 neighbours' ids. A neighbour outside the image is 0.

    Args:
      logits: [B, H, W, C] float32.
      labels: [B, H, W] uint8 train ids, 255 = ignored.
      config: not read.
    """
    probs = jax.nn.softmax(logits)
    framed = jnp.pad(probs, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    distance = jnp.abs(probs - _window_sum(framed) / 9).sum(-1)
    ids = labels.astype(jnp.int32)
    around = _window_sum(jnp.pad(ids, ((0, 0), (1, 1), (1, 1)))[..., None])[..., 0]
    border = (9 * ids != around) & (labels != IGNORE)
    return jnp.where(border, distance, 0.0).sum(), border.sum(dtype=jnp.float32)


def _window_sum(framed: jax.Array) -> jax.Array:
    """Sums over 3x3 windows: [B, H + 2, W + 2, C] to [B, H, W, C]."""
    rows = framed[:, :-2] + framed[:, 1:-1] + framed[:, 2:]
    return rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]


def weight_similarity(params1: Any, params2: Any) -> jax.Array:
    """Cosine similarity of two heads' parameters, each head's taken as one long vector.

    Minimising it pushes the heads apart in weight space. It is an alternative to `discrepancy`. A
    review of the paper describes loss 6 this way: "parameters in each classifier are applied to the
    loss to push away from each other".

    Args:
      params1, params2: pytrees of float32 with the same structure.
    Returns:
      float32 [], from -1 to 1.
    """
    a = jnp.concatenate([x.ravel() for x in jax.tree.leaves(params1)])
    b = jnp.concatenate([x.ravel() for x in jax.tree.leaves(params2)])
    return a @ b / (jnp.linalg.norm(a) * jnp.linalg.norm(b) + 1e-12)
