"""The description of a strategy, and all strategies by name."""

import operator
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from labor_jax.util.discovery import keep_apart

__all__ = [
    "ASKS",
    "WITHOUT",
    "Score",
    "Seen",
    "Strategy",
    "chooses",
    "find",
    "methods",
    "names",
    "needs_selector",
    "radius",
    "strategy",
    "title",
]


WITHOUT = {
    "source_only": "Source only",
    "uda": "Unsupervised adaptation",
    "full": "Every target pixel",
}
"""The titles of the methods that choose nothing: two never ask, one asks everything."""
ASKS = ("points", "regions", "segments", "superpixels")


class Seen(NamedTuple):
    """What a strategy may use: the networks' outputs for target images. Labels are not among them.

    Images of several sizes may be in one batch. Each is at the top left of [H, W]; `inside` says
    where, and scores elsewhere do not count.

    Attributes:
      logits: [B, H, W, C] float32, the segmenter's, at the label's resolution.
      heads: two of [B, H, W, C] float32, the selector's; () where the strategy has no selector.
      features: [B, h, w, F] float, what the segmenter's main head sees.
      taken: [B, H, W] bool, pixels asked before.
      keys: [B] keys, each a function of (seed, image, stage).
      number: how many points or regions an image can be asked at most.
      natives: [B, 2] int32, the (height, width) of each image; None: all are [H, W].
      taught: [] bool, whether the segmenter has seen a label yet; before, its logits mean nothing.
        None: it has.
    """

    logits: jax.Array
    heads: tuple[jax.Array, ...]
    features: jax.Array
    taken: jax.Array
    keys: jax.Array
    number: int
    natives: jax.Array | None = None
    taught: jax.Array | None = None

    @property
    def sizes(self) -> jax.Array:
        """[B, 2] int32, the (height, width) of each image, at most (H, W)."""
        if self.natives is not None:
            return self.natives
        return jnp.broadcast_to(jnp.int32(self.taken.shape[1:]), (len(self.taken), 2))

    @property
    def inside(self) -> jax.Array:
        """[B, H, W] bool, the pixels that are of the image."""
        (_, height, width), (heights, widths) = self.taken.shape, self.sizes.T[..., None, None]
        return (jnp.arange(height)[:, None] < heights) & (jnp.arange(width) < widths)

    @property
    def probs(self) -> jax.Array:
        """[B, H, W, C] float32, the segmenter's probabilities."""
        return jax.nn.softmax(self.logits)

    @property
    def noise(self) -> jax.Array:
        """[B, H, W] float32 in [0, 1), each pixel's own; the same in whatever batch an image is."""
        height, width = self.taken.shape[1:]
        if self.natives is None:
            return jax.vmap(lambda key: jax.random.uniform(key, (height, width)))(self.keys)
        # The n-th number of a key is the same however many are drawn, so [H, W] is filled row by
        # row of the image's own width.
        drawn = jax.vmap(lambda key: jax.random.uniform(key, (height * width,)))(self.keys)
        row, column = jnp.arange(height)[:, None], jnp.arange(width)
        flat = row * self.natives[:, 1, None, None] + column
        return jax.vmap(lambda values, at: values.at[at].get(mode="clip"))(drawn, flat)


Score = Callable[[Seen, ml_collections.ConfigDict], jax.Array]
"""(Seen, config) -> scores [B, H, W] float32. Higher scores are asked first, -inf never."""


class Strategy(NamedTuple):
    """A strategy and how its scores are used.

    Attributes:
      score: the pure function.
      asks: "points": the pixels of the highest scores. "regions": square windows around them.
        "segments": all pixels whose score is not -inf, cut into segments; a sample of these that is
        balanced over classes if the budget is too small for all. "superpixels": those of the
        highest mean score, each with one click for its majority class.
      selector: whether the selector is fitted and given to the strategy.
      radius: the config key of the distance in pixels that two points keep, also from points of
        earlier stages, or of a region's half width; "" for 0.
      balanced: whether the predicted classes take turns, among superpixels or in the pool.
      pooled: whether the budget is the pool's if `config.budget.scope` is "".
      core: the share of a superpixel that is asked: the pixels nearest to its mean colour.
      before_labels: whether its scores mean something before the segmenter has seen a label, as
        those of features do. What others ask then is random.
      title: what reports call it; "" = its name.
    """

    score: Score
    asks: str
    selector: bool = False
    radius: str = ""
    balanced: bool = False
    pooled: bool = False
    core: float = 1.0
    before_labels: bool = False
    title: str = ""


_STRATEGIES: dict[str, Strategy] = {}


def strategy(
    name: str,
    *,
    asks: str,
    selector: bool = False,
    radius: str = "",
    balanced: bool = False,
    pooled: bool = False,
    core: float = 1.0,
    before_labels: bool = False,
    title: str = "",
) -> Callable[[Score], Score]:
    """Registers a strategy's score function by name; the arguments are `Strategy`'s.

    Raises:
      ValueError: an argument has no valid value.
      UserError: another module has registered a strategy of this name.
    """
    if asks not in ASKS:
        raise ValueError(f"asks={asks!r} is not one of {', '.join(ASKS)}")
    if name in WITHOUT:
        raise ValueError(f"{name!r} is a method that asks without choosing")
    if not 0 < core <= 1:
        raise ValueError(f"core={core!r} is not a share in (0, 1]")

    def register(score: Score) -> Score:
        known = _STRATEGIES.get(name)
        keep_apart("strategy", name, known.score if known else None, score)
        _STRATEGIES[name] = Strategy(
            score, asks, selector, radius, balanced, pooled, core, before_labels, title
        )
        return score

    return register


def names() -> tuple[str, ...]:
    """The names of all strategies."""
    return tuple(_STRATEGIES)


def methods() -> tuple[str, ...]:
    """The values that `config.method` can have."""
    return (*WITHOUT, *_STRATEGIES)


def chooses(method: str) -> bool:
    """Whether a method has a strategy."""
    return method in _STRATEGIES


def find(method: str) -> Strategy:
    """The strategy of a method that `chooses`."""
    return _STRATEGIES[method]


def title(method: str) -> str:
    """What reports call a method: its title, or its name where it has none or is not known."""
    own = find(method).title if chooses(method) else WITHOUT.get(method)
    return own or method.replace("_", " ").capitalize()


def radius(strategy: Strategy, config: ml_collections.ConfigDict) -> int:
    """A strategy's radius, in pixels of the label."""
    return operator.attrgetter(strategy.radius)(config) if strategy.radius else 0


def needs_selector(method: str) -> bool:
    """Whether a method fits the pixel selector."""
    return chooses(method) and find(method).selector
