"""Every way to ask, by name: a score for each pixel, and what is asked where it is high.

A strategy of your own is a function like the ones below, in any module that `config.strategies`
names; its name is then a `config.method`:

    from labor_jax.selection.strategies import Seen, strategy

    @strategy("my_margin", asks="points")
    def my_margin(seen: Seen, config) -> jax.Array:
        best, second = jnp.moveaxis(jax.lax.top_k(seen.probs, 2)[0], -1, 0)
        return second - best
"""

import importlib
import operator
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from labor_jax.models.likeliest import likeliest
from labor_jax.selection import diversity, ripu
from labor_jax.selection.inconsistency import inconsistency_mask, mean_probability
from labor_jax.selection.prototypes import representative_points
from labor_jax.selection.spacing import NEVER, dilated
from labor_jax.util.errors import UserError

__all__ = [
    "ASKS",
    "MARGIN_SCALE",
    "WITHOUT",
    "Score",
    "Seen",
    "Strategy",
    "balanced_margin",
    "chooses",
    "diverse",
    "entropy",
    "find",
    "labor_ppl",
    "labor_spl",
    "least_confidence",
    "load",
    "margin",
    "margin_of",
    "methods",
    "names",
    "needs_selector",
    "pixelpick",
    "radius",
    "random",
    "random_by_class",
    "ripu_points",
    "ripu_regions",
    "strategy",
    "superpixel_cores",
    "superpixels_margin",
    "superpixels_random",
]


WITHOUT = ("source_only", "uda", "full")
"""The methods that choose nothing: two never ask, one asks everything."""
MARGIN_SCALE = 0.2
"""Of the margins in `balanced_margin`: a pixel of such a margin is e times less likely drawn."""
ASKS = ("points", "regions", "segments", "superpixels")


class Seen(NamedTuple):
    """What a strategy may look at: target images as the networks see them, no label.

    Attributes:
      logits: [B, H, W, C] float32, the segmenter's, at the label's resolution.
      heads: two of [B, H, W, C] float32, the selector's; () where the strategy has no selector.
      features: [B, h, w, F] float, what the segmenter's main head sees.
      taken: [B, H, W] bool, pixels asked before.
      keys: [B] keys, each a function of (seed, image, stage).
      number: how many points or regions an image can be asked at most.
    """

    logits: jax.Array
    heads: tuple[jax.Array, ...]
    features: jax.Array
    taken: jax.Array
    keys: jax.Array
    number: int

    @property
    def probs(self) -> jax.Array:
        """[B, H, W, C] float32, the segmenter's probabilities."""
        return jax.nn.softmax(self.logits)

    @property
    def noise(self) -> jax.Array:
        """[B, H, W] float32 in [0, 1), each pixel's own."""
        return jax.vmap(lambda key: jax.random.uniform(key, self.taken.shape[1:]))(self.keys)


Score = Callable[[Seen, ml_collections.ConfigDict], jax.Array]
"""(what is seen, config) -> [B, H, W] float32: the higher, the sooner asked; -inf: never."""


class Strategy(NamedTuple):
    """A way to ask.

    Attributes:
      score: the pure function.
      asks: "points": the highest pixels; "regions": square windows around them; "segments": all
        that is not -inf, in pieces, a sample balanced over classes where the budget is short;
        "superpixels": those of the highest mean, with one click for the class that most of it has.
      selector: whether the selector is fitted and shown.
      radius: config key of the pixels between two points, of one stage or several, or of the half
        width of a region; "": 0.
      balanced: whether the predicted classes take turns, among superpixels or in the pool.
      pooled: whether the budget is the pool's where `config.budget.scope` is "".
      core: the share of a superpixel that is asked, its pixels of the most similar colours.
    """

    score: Score
    asks: str
    selector: bool = False
    radius: str = ""
    balanced: bool = False
    pooled: bool = False
    core: float = 1.0


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
) -> Callable[[Score], Score]:
    """Registers a score by name; the arguments are `Strategy`'s."""
    if asks not in ASKS:
        raise ValueError(f"asks={asks!r} is not one of {', '.join(ASKS)}")
    if name in WITHOUT:
        raise ValueError(f"{name!r} is a method that asks without choosing")
    if not 0 < core <= 1:
        raise ValueError(f"core={core!r} is not a share in (0, 1]")

    def register(score: Score) -> Score:
        _STRATEGIES[name] = Strategy(score, asks, selector, radius, balanced, pooled, core)
        return score

    return register


def names() -> tuple[str, ...]:
    """The strategies there are."""
    return tuple(_STRATEGIES)


def methods() -> tuple[str, ...]:
    """What `config.method` can be."""
    return (*WITHOUT, *_STRATEGIES)


def chooses(method: str) -> bool:
    """Whether a method has a strategy."""
    return method in _STRATEGIES


def find(method: str) -> Strategy:
    """The strategy of a method that `chooses`."""
    return _STRATEGIES[method]


def radius(strategy: Strategy, config: ml_collections.ConfigDict) -> int:
    """A strategy's radius, in pixels of the label."""
    return operator.attrgetter(strategy.radius)(config) if strategy.radius else 0


def needs_selector(method: str) -> bool:
    """Whether a method fits the pixel selector."""
    return chooses(method) and find(method).selector


def load(modules: Iterable[str]) -> None:
    """Imports the modules that register strategies from outside.

    Raises:
      UserError: there is no such module.
    """
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                f"config.strategies: {name!r} cannot be imported ({error}); "
                f"give modules that Python finds, such as a file in this folder without its .py"
            ) from None


# -------------------------------------------------------------------------------------- baselines


@strategy("random", asks="points")
def random(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """Pixels drawn uniformly."""
    return seen.noise


@strategy("random_by_class", asks="points", balanced=True)
def random_by_class(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """Stratified: random pixels of the predicted classes in turn [ours]."""
    return _in_turns(seen, seen.noise)


def _in_turns(seen: Seen, value: jax.Array) -> jax.Array:
    """A score by which the predicted classes take turns, each with its highest values.

    Args:
      value: [B, H, W] float32; it also orders the pixels of one class and turn, over images.
    Returns:
      [B, H, W] float32, -inf where no turn comes.
    """
    batch, height, width, classes = seen.logits.shape
    number = min(seen.number, height * width)
    own = likeliest(seen.logits)[:, None] == jnp.arange(classes)[:, None, None]
    open_ = jnp.where(own & ~seen.taken[:, None], value[:, None], NEVER)
    best, flat = jax.lax.top_k(open_.reshape(batch, classes, height * width), number)
    score = jnp.where(best > NEVER, jax.nn.sigmoid(best) / 2 - jnp.arange(number), NEVER)
    image = jnp.arange(batch)[:, None, None]
    empty = jnp.full((batch, height * width), NEVER, jnp.float32)
    return empty.at[image, flat].max(score).reshape(batch, height, width)


# ------------------------------------------------------------------------------------ uncertainty


@strategy("entropy", asks="points", radius="points.radius")
def entropy(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """The segmenter's entropy."""
    return ripu.entropy(seen.probs)


def margin_of(probs: jax.Array) -> jax.Array:
    """The second largest probability less the largest: [..., C] to [...], -1 to 0."""
    best = probs.max(-1)
    rest = jnp.where(jnp.arange(probs.shape[-1]) == likeliest(probs)[..., None], -1.0, probs)
    return rest.max(-1) - best


@strategy("margin", asks="points", radius="points.radius")
def margin(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """How near the segmenter's second class is to its first."""
    return margin_of(seen.probs)


@strategy("least_confidence", asks="points", radius="points.radius")
def least_confidence(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """How small the segmenter's largest probability is."""
    return -seen.probs.max(-1)


@strategy("pixelpick", asks="points")
def pixelpick(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """Pixels drawn uniformly from the 5 % of the smallest margins [cited: PixelPick]."""
    score = jnp.where(seen.taken, -2.0, margin_of(seen.probs))
    flat = score.reshape(len(score), -1)
    least = jax.lax.top_k(flat, max(1, flat.shape[1] // 20))[0][:, -1]
    return jnp.where(score >= least[:, None, None], seen.noise, NEVER)


@strategy("balanced_margin", asks="points", balanced=True, pooled=True)
def balanced_margin(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """Unsure pixels of every class in turn, over the whole pool [ours].

    Three things cost the others' clicks. The smallest margins are one thin net along the borders
    of large things, next to each other and often on pixels that nobody can name: so pixels are
    drawn, with chances that fall with the margin, exp(-margin / 0.2). Rare classes are in few
    images, whose own budgets end where they could still teach: so the budget is the pool's. And
    what is rare is seldom predicted: so the predicted classes take turns in it.
    """
    # The highest of these sums are a sample without replacement (Gumbel; Efraimidis, Spirakis).
    gumbel = -jnp.log(-jnp.log(jnp.maximum(seen.noise, 1e-12)))
    return _in_turns(seen, margin_of(seen.probs) / MARGIN_SCALE + gumbel)


# ------------------------------------------------------------------------------------------ LabOR


@strategy("labor_ppl", asks="points", selector=True)
def labor_ppl(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """PPL: of each class, the most representative pixels on which the heads disagree [paper].

    Every class's best before any class's second; none near one that was asked before [ours].
    """
    points, found = representative_points(
        mean_probability(*seen.heads),
        inconsistency_mask(*seen.heads),
        dilated(seen.taken, config.ppl.radius),
        points_per_class=config.ppl.points_per_class,
        radius=config.ppl.radius,
        distance=config.ppl.distance,
    )
    batch, classes, number = found.shape
    turns = jnp.arange(number) * classes + jnp.arange(classes)[:, None]
    priority = jnp.where(found, -turns.astype(jnp.float32), NEVER)
    score = jnp.full(seen.taken.shape, NEVER, jnp.float32)
    image = jnp.arange(batch)[:, None, None]
    return score.at[image, points[..., 0], points[..., 1]].max(priority)


@strategy("labor_spl", asks="segments", selector=True)
def labor_spl(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """SPL: every pixel on which the heads disagree [paper, eq. 4]."""
    return jnp.where(inconsistency_mask(*seen.heads), 0.0, NEVER)


# ------------------------------------------------------------------------------- other methods


@strategy("ripu_points", asks="points", radius="ripu.point_radius")
def ripu_points(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """RIPU's points: unsure pixels in impure surroundings [cited: RIPU]."""
    return ripu.point_score(seen.probs, config.ripu.point_radius)


@strategy("ripu_regions", asks="regions", radius="ripu.region_radius")
def ripu_regions(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """RIPU's regions: small squares that are impure and unsure [cited: RIPU]."""
    return ripu.region_score(seen.probs, config.ripu.region_radius)[0]


@strategy("diversity", asks="points")
def diverse(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """Pixels whose features are far from each other and from those asked before: k-centre.

    A cell of the feature map is asked at its middle pixel.
    """
    (batch, height, width), (h, w) = seen.taken.shape, seen.features.shape[1:3]
    rows = ((jnp.arange(h) + 0.5) * height / h).astype(jnp.int32)
    columns = ((jnp.arange(w) + 0.5) * width / w).astype(jnp.int32)
    image = jnp.arange(batch)[:, None, None]
    cell_rows = jnp.arange(height) * h // height
    cell_columns = jnp.arange(width) * w // width
    taken = jnp.zeros((batch, h, w), bool)
    taken = taken.at[image, cell_rows[:, None], cell_columns].max(seen.taken)
    number = min(seen.number, h * w)
    cells, found = diversity.k_centre(seen.features, taken, number=number)
    priority = jnp.where(found, -jnp.arange(number, dtype=jnp.float32), NEVER)
    score = jnp.full(seen.taken.shape, NEVER, jnp.float32)
    return score.at[image[..., 0], rows[cells // w], columns[cells % w]].max(priority)


@strategy("superpixels_random", asks="superpixels")
def superpixels_random(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """Superpixels drawn uniformly; one click gives a whole one its main class."""
    return jnp.zeros(seen.taken.shape, jnp.float32)


@strategy("superpixels_margin", asks="superpixels", balanced=True)
def superpixels_margin(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """Superpixels of small margins, classes in turn; one click gives a whole one its main class.

    After Cai et al., CVPR 2021, whose weights for classes are turns here [ours].
    """
    return margin_of(seen.probs)


@strategy("superpixel_cores", asks="superpixels", balanced=True, core=0.5)
def superpixel_cores(seen: Seen, config: ml_collections.ConfigDict) -> jax.Array:
    """Cores of superpixels of small margins, classes in turn, one click each [ours].

    A click on a point teaches one pixel, and one on a superpixel some two hundred; but where the
    segmenter is unsure, superpixels lie across borders, and 12 % of what such clicks say is wrong
    (CamVid, 40 clicks an image, superpixels of 16 pixels). The half of a superpixel whose colours
    are nearest to its mean is of one class more often: 9 % wrong.
    """
    return margin_of(seen.probs)
