"""The training state: the pytrees that training changes, made from the config and its seed."""

import functools
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import ml_collections
import optax
from flax import linen as nn

from labor_jax.models import adapters, build, heads
from labor_jax.models.discriminator import Discriminator
from labor_jax.models.selector import selector_from_segmenter
from labor_jax.selection import strategies
from labor_jax.train import pseudo_labels
from labor_jax.train.optimizers import make_optimizers
from labor_jax.util import rng
from labor_jax.weights.pretrained import load_weights

_ONCE = {"xla_backend_optimization_level": 0}
"""Compiler options for functions that run once. XLA would spend long on optimising an
initialisation's many random generators."""


class Networks(NamedTuple):
    """The three kinds of network; they hold no state."""

    segmenter: nn.Module
    discriminator: nn.Module
    selector: nn.Module


class Trained(flax.struct.PyTreeNode):
    """A network's variables and its optimiser's state.

    Attributes:
      params: pytree of float32, the parameters that are trained.
      batch_stats: pytree of float32; {} where the network has none.
      opt_state: the optimiser's state, a pytree.
      fixed: pytree of float32, the other parameters; {} where there are none.
    """

    params: Any
    batch_stats: Any
    opt_state: Any
    fixed: Any = flax.struct.field(default_factory=dict)

    @property
    def variables(self) -> dict[str, Any]:
        """The variables in the form that `module.apply` takes."""
        params = adapters.joined(self.params, self.fixed)
        return {"params": params, "batch_stats": self.batch_stats}


class State(flax.struct.PyTreeNode):
    """Everything that a checkpoint holds.

    Attributes:
      step: int32 [], the training steps done, of all phases.
      stage: int32 [], the selector's stage; 0 before its first fit.
      segmenter: the network that is trained to predict.
      discriminators: params {"main": ..., "aux": ...}, only of `adversarial_heads`; None where
        there are none.
      selector: two heads on a backbone of their own. Each stage makes it anew from the segmenter
        and needs it until its queries are made. It is None before the first fit, and from the start
        of adaptation to the start of the next fit.
      thresholds: [C] float32, each class's threshold for pseudo labels.
      average: the moving average of the segmenter's parameters and batch statistics, with
        `opt_state` (); None without `config.optimizer.average`.

    Parameters that are not trained are the same in segmenter, average and selector, and are kept
    with the segmenter.
    """

    step: jax.Array
    stage: jax.Array
    segmenter: Trained
    discriminators: Trained | None
    selector: Trained | None
    thresholds: jax.Array
    average: Trained | None = None

    @property
    def shipped_part(self) -> str:
        """Which part of the state is the segmenter for all but training.

        It asks, gives pseudo labels, starts the selector, is scored, predicts and is exported.
        """
        return "segmenter" if self.average is None else "average"

    @property
    def shipped(self) -> Trained:
        """The segmenter for all but training, see `shipped_part`."""
        shipped, fixed = getattr(self, self.shipped_part), self.segmenter.fixed
        return shipped.replace(fixed=fixed) if fixed else shipped


def make_networks(
    config: ml_collections.ConfigDict, num_classes: int, axis_name: str | None
) -> Networks:
    """The networks of a config; `axis_name` is the axis of cross-replica batch norm."""
    ordered = config.ordered_sums
    return Networks(
        segmenter=build.build_segmenter(config.model, num_classes, axis_name, ordered),
        discriminator=Discriminator(width=config.adversarial.width),
        selector=build.build_selector(config.model, num_classes, axis_name, ordered),
    )


def adversarial_heads(config: ml_collections.ConfigDict) -> list[str]:
    """The segmenter's heads that have a discriminator: those whose weight is not 0.

    There is none without adversarial alignment (`config.adapt`) or without a source. `source_only`
    has none: it never sees the target.
    """
    aligned = config.adapt in ("adversarial", "both")
    if not aligned or config.method == "source_only" or not config.source.domain:
        return []
    return [head for head in heads.classifiers(config.model.head) if config.adversarial[head]]


def first_selector_step(config: ml_collections.ConfigDict, stage: int | jax.Array) -> Any:
    """The global step at which a stage's selector starts."""
    return config.warmup_steps + (stage - 1) * (config.selector.steps + config.adapt_steps)


def averaged(state: State, config: ml_collections.ConfigDict) -> Trained | None:
    """The moving average after a step of the segmenter; None without `config.optimizer.average`.

    Its decay is `min(1 - 1 / (t + 1), d)` with t the steps that the segmenter took before: at first
    a plain mean of all weights so far [cited: Tarvainen and Valpola, 2017, as in DACS].

    Args:
      state: with the segmenter after the step, and the average and `step` before it.
    """
    if state.average is None:
        return None
    before = (state.step - state.stage * config.selector.steps).astype(jnp.float32)
    decay = jnp.minimum(1 - 1 / (before + 1), config.optimizer.average)
    now = state.segmenter.replace(opt_state=(), fixed={})
    return jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, state.average, now)


def segmenter_taught(config: ml_collections.ConfigDict) -> int:
    """The global step from which on the segmenter of a run without a source knows labels."""
    fitted = config.selector.steps if strategies.needs_selector(config.method) else 0
    return config.warmup_steps + fitted + 1


def _trained(
    variables: dict[str, Any],
    optimizer: optax.GradientTransformation,
    config: ml_collections.ConfigDict,
) -> Trained:
    params, fixed = adapters.split(variables["params"], config.model)
    batch_stats = variables.get("batch_stats", {})
    return Trained(params, batch_stats, optimizer.init(params), fixed)


def init_state(config: ml_collections.ConfigDict, num_classes: int) -> State:
    """The state before the first step, on one device.

    Raises:
      UserError: `config.model.weights` is missing or does not fit the segmenter.
    """
    init = jax.jit(functools.partial(_fresh, config, num_classes), compiler_options=_ONCE)
    keys = {n: rng.key(config.seed, n) for n in ("segmenter", *adversarial_heads(config))}
    segmenter, discriminators = init(keys)
    if config.model.weights:
        segmenter = load_weights(config.model.weights, config.model, segmenter)
    return _before_the_first_step(config, num_classes, segmenter, discriminators)


def state_shapes(
    config: ml_collections.ConfigDict, num_classes: int, selector: bool = False
) -> State:
    """Shapes and dtypes of a state, without computing or reading anything.

    Args:
      selector: whether the state is that of `start_selector`, with a selector, or of `init_state`.
    """

    def make() -> State:
        keys = {n: jax.random.key(0) for n in ("segmenter", *adversarial_heads(config))}
        state = _before_the_first_step(config, num_classes, *_fresh(config, num_classes, keys))
        if not selector:
            return state
        network = make_networks(config, num_classes, axis_name=None).selector
        image = jnp.zeros((1, *config.input.size, 3), jnp.uint8)
        variables = network.init(jax.random.key(0), image, train=False)
        return state.replace(selector=_selector(variables, config))

    return jax.eval_shape(make)


def _fresh(
    config: ml_collections.ConfigDict, num_classes: int, keys: dict[str, jax.Array]
) -> tuple[Any, dict[str, Any]]:
    """Variables of the segmenter; parameters of each discriminator.

    Args:
      keys: "segmenter", and each of `adversarial_heads`.
    """
    networks = make_networks(config, num_classes, axis_name=None)
    image = jnp.zeros((1, *config.input.size, 3), jnp.uint8)
    maps = jnp.zeros((1, *config.input.size, num_classes), jnp.float32)
    segmenter = networks.segmenter.init(keys["segmenter"], image, train=False)
    discriminators = {
        name: networks.discriminator.init(keys[name], maps)["params"]
        for name in adversarial_heads(config)
    }
    return segmenter, discriminators


def _before_the_first_step(
    config: ml_collections.ConfigDict,
    num_classes: int,
    segmenter: Any,
    discriminators: dict[str, Any],
) -> State:
    optimizers = make_optimizers(config)
    trained = _trained(segmenter, optimizers.segmenter, config)
    average = None
    if config.optimizer.average:
        # Copied, since the segmenter's own buffers are donated to the next step.
        average = jax.tree.map(jnp.copy, trained.replace(opt_state=(), fixed={}))
    return State(
        step=jnp.int32(0),
        stage=jnp.int32(0),
        segmenter=trained,
        discriminators=Trained(discriminators, {}, optimizers.discriminator.init(discriminators))
        if discriminators
        else None,
        selector=None,
        thresholds=jnp.full((num_classes,), pseudo_labels.START, jnp.float32),
        average=average,
    )


def start_selector(
    state: State, config: ml_collections.ConfigDict, num_classes: int, stage: int
) -> State:
    """Makes the selector anew from the shipped segmenter and resets the thresholds [ours].

    The backbone is always a copy of the segmenter's. `selector.init` decides about the heads.
    "perturbed": both heads are copies, and noise of `selector.noise` times their standard deviation
    is added to the second one's weights. "segmenter": the first head is a copy, the second one is
    fresh. "fresh": both heads are fresh.
    """
    networks = make_networks(config, num_classes, axis_name=None)
    image = jnp.zeros((1, *config.input.size, 3), jnp.uint8)

    @functools.partial(jax.jit, compiler_options=_ONCE)
    def fresh_heads(key: jax.Array) -> dict[str, Any]:
        params = networks.selector.init(key, image, train=False)["params"]
        return {"c1": params["c1"], "c2": params["c2"]}  # so the backbone is never made

    heads = fresh_heads(rng.key(config.seed, "selector", stage))
    variables = selector_from_segmenter(state.shipped.variables, {"params": heads})
    params = variables["params"]
    if config.selector.init == "perturbed":
        key = rng.key(config.seed, "perturbation", stage)
        params = params | {"c2": _perturbed(params["c1"], key, config.selector.noise)}
    elif config.selector.init == "fresh":
        params = params | heads
    variables = variables | {"params": params}
    # It is copied, since the shipped segmenter's own buffers are donated to the next step.
    selector = jax.tree.map(jnp.copy, _selector(variables, config))
    return state.replace(
        stage=jnp.int32(stage),
        selector=selector,
        thresholds=jnp.full((num_classes,), pseudo_labels.START, jnp.float32),
    )


def _selector(variables: dict[str, Any], config: ml_collections.ConfigDict) -> Trained:
    """A selector before its first step, as the state has it."""
    return _trained(variables, make_optimizers(config).selector, config).replace(fixed={})


def _perturbed(params: Any, key: jax.Array, noise: float) -> Any:
    leaves, structure = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    noisy = [
        leaf + noise * jnp.std(leaf) * jax.random.normal(k, leaf.shape)
        for leaf, k in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(structure, noisy)
