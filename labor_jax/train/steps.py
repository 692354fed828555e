"""Pure train steps. `parallel.py` maps them over devices.

A train step is `step(state, batch, *, axis_name) -> (state, metrics)`. Its losses are local sums
divided by global counts. Gradients and metrics are therefore *summed* over devices, and over the
parts of a batch into which `config.accumulate` splits it to save memory.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import optax

from labor_jax.data.labels import IGNORE
from labor_jax.models import heads
from labor_jax.models.likeliest import likeliest
from labor_jax.models.resize import upsample
from labor_jax.models.segmenter import Inputs
from labor_jax.selection.inconsistency import inconsistency_mask
from labor_jax.train import losses, pseudo_labels, teacher
from labor_jax.train.optimizers import Optimizers
from labor_jax.train.parts import accumulate, for_each, keys_of_images, sum_over_devices
from labor_jax.train.state import (
    Networks,
    State,
    Trained,
    adversarial_heads,
    averaged,
    first_selector_step,
)

Batch = dict[str, dict[str, jax.Array]]

Metrics = dict[str, jax.Array]


def _apply_gradients(
    trained: Trained, gradients: Any, optimizer: optax.GradientTransformation
) -> Trained:
    updates, opt_state = optimizer.update(gradients, trained.opt_state, trained.params)
    return trained.replace(params=optax.apply_updates(trained.params, updates), opt_state=opt_state)


def adapt_step(
    state: State,
    batch: Batch,
    *,
    networks: Networks,
    optimizers: Optimizers,
    config: ml_collections.ConfigDict,
    axis_name: str | None = None,
) -> tuple[State, Metrics]:
    """One step of warm-up or adaptation: updates segmenter, discriminators and moving average.

    Warm-up is adaptation without a labelled target pixel, so both use this one compiled step.
    `source_only` leaves out loss 3. It never sees target images, which would change the batch
    statistics, if any. The discriminators learn from the maps of the forward pass that updated the
    segmenter.

    Args:
      batch: {"source", "target"}, or "target" alone: {"image": [B, H, W, 3] uint8, "label":
        [B, H, W] uint8}; target labels are 255 wherever nobody answered. The two may be of
        different sizes. For a teacher see `teacher.teach`.
    """
    if config.method == "source_only":
        batch = {"source": batch["source"]}
    shared = {"networks": networks, "config": config, "axis_name": axis_name}
    discriminators = state.discriminators if adversarial_heads(config) else None
    counts = {n: losses.count(part["label"] != IGNORE, axis_name) for n, part in batch.items()}
    told: Metrics = {}
    if teacher.teaches(config):
        batch, counts["taught"], told = teacher.teach(state, batch, **shared)
    if config.model.drop_path:
        for name, part in batch.items():
            images, named = len(part["image"]), f"drop_path/{name}"
            keys = keys_of_images(config.seed, named, state.step, images, axis_name)
            batch = batch | {name: part | {"keys": keys}}
    if balance := config.loss.balance:
        classes = state.thresholds.shape[0]
        batch = {
            name: part | {"weight": losses.balanced(part["label"], classes, balance, axis_name)}
            for name, part in batch.items()
        }

    def gradients_of(batch_stats: Any, part: Batch) -> tuple[Any, Any]:
        for_segmenter, batch_stats, maps, metrics = segmenter_gradients(
            state.segmenter.replace(batch_stats=batch_stats),
            discriminators,
            part,
            counts,
            **shared,
        )
        if discriminators is None:
            return batch_stats, (for_segmenter, None, metrics)
        for_discriminators, more = discriminator_gradients(discriminators, maps, **shared)
        return batch_stats, (for_segmenter, for_discriminators, metrics | more)

    batch_stats, summed = accumulate(
        gradients_of, state.segmenter.batch_stats, batch, config.accumulate
    )
    for_segmenter, for_discriminators, metrics = sum_over_devices(summed, config, axis_name)
    metrics |= told
    segmenter = _apply_gradients(state.segmenter, for_segmenter, optimizers.segmenter)
    state = state.replace(segmenter=segmenter.replace(batch_stats=batch_stats))
    state = state.replace(step=state.step + 1, average=averaged(state, config))
    if discriminators is None:
        return state, metrics
    taught = _apply_gradients(discriminators, for_discriminators, optimizers.discriminator)
    return state.replace(discriminators=taught), metrics


def segmenter_gradients(
    segmenter: Trained,
    discriminators: Trained | None,
    batch: Batch,
    counts: dict[str, jax.Array],
    *,
    networks: Networks,
    config: ml_collections.ConfigDict,
    axis_name: str | None,
) -> tuple[Any, Any, dict[str, dict[str, jax.Array]], Metrics]:
    """Losses 1, 2 and 3 of the segmenter [paper, cited: AdaptSegNet].

    Source and target go through the network as one batch, so batch statistics, if any, are of both.
    They go through one after the other if their sizes differ, or with AdaptSegNet's batch norm,
    whose statistics are of one domain.

    Args:
      batch: a part of `adapt_step`'s on this device, with "weight" [B, H, W] float32 where
        `loss.balance` weighs its labels, and random "keys" [B] with
        `model.drop_path`.
      counts: float32 [], the labelled pixels of either domain, and those that are "taught", in all
        parts on all devices.
      axis_name: the mapped axis.
    Returns:
      This part's gradients; the batch statistics after it; the softmax maps {"main", "aux"}:
      {"source", "target"}: [B, H, W, C] float32 for the discriminators, without gradient, of the
      heads whose adversarial weight is not 0; this part's share of the losses.
    """
    apart = config.model.batch_norm == "adaptsegnet"
    classifiers = heads.classifiers(config.model.head)

    def loss_fn(params: Any) -> tuple[jax.Array, tuple[Any, Any, Metrics]]:
        batch_stats = segmenter.batch_stats

        def forward(inputs: tuple[jax.Array, jax.Array | None]) -> dict[str, jax.Array]:
            nonlocal batch_stats
            images, keys = inputs
            now = segmenter.replace(params=params, batch_stats=batch_stats)
            out, updated = networks.segmenter.apply(
                now.variables, images, train=True, keys=keys, mutable=["batch_stats"]
            )
            batch_stats = updated.get("batch_stats", {})
            return {head: out[head] for head in classifiers}

        inputs = {name: (part["image"], part.get("keys")) for name, part in batch.items()}
        out = for_each(forward, inputs, apart)
        metrics: Metrics = {}
        maps: dict[str, dict[str, jax.Array]] = {}
        total = jnp.float32(0)
        for head in classifiers:
            weight = {"main": 1.0, "aux": config.loss.aux}[head]
            fool = config.adversarial[head]
            logits = {
                name: upsample(out[name][head], part["label"].shape[1:])
                for name, part in batch.items()
            }
            factors = {"source": 1.0, "target": config.loss.target}
            for name, part in batch.items():
                if name in factors:
                    local, _ = losses.cross_entropy(logits[name], part["label"], part.get("weight"))
                    metrics[f"loss/{name}_{head}"] = losses.share(local, counts[name])
                    total += weight * factors[name] * metrics[f"loss/{name}_{head}"]
                if "taught" in part:
                    local, _ = losses.cross_entropy(logits[name], part["taught"], part["trust"])
                    metrics[f"loss/teacher_{head}"] = losses.share(local, counts["taught"])
                    total += weight * config.teacher.weight * metrics[f"loss/teacher_{head}"]
            if head == "main":
                for name, value, its_weight in _optional_losses(logits, batch, config):
                    metrics[name] = losses.normalise(value, axis_name) / config.accumulate
                    total += its_weight * metrics[name]
            if discriminators is not None and "target" in batch and fool:
                maps[head] = {name: jax.nn.softmax(logits[name]) for name in ("source", "target")}
                answer = networks.discriminator.apply(
                    {"params": discriminators.params[head]}, maps[head]["target"]
                )
                fooled = losses.adversarial(answer, losses.SOURCE, config.adversarial.kind)
                metrics[f"loss/fool_{head}"] = (
                    losses.normalise(fooled, axis_name) / config.accumulate
                )
                total += fool * metrics[f"loss/fool_{head}"]
        return total, (batch_stats, maps, metrics)

    gradients, (batch_stats, maps, metrics) = jax.grad(loss_fn, has_aux=True)(segmenter.params)
    return gradients, batch_stats, jax.lax.stop_gradient(maps), metrics


def _optional_losses(
    logits: dict[str, jax.Array],
    batch: Batch,
    config: ml_collections.ConfigDict,
) -> list[tuple[str, losses.SumCount, float]]:
    """Name, value and weight of the main head's losses that the config switches on.

    With `config.accumulate` each is a mean of its parts' means.
    """
    found = []
    for name, optional, weight in losses.switched_on(config):
        if (domain := optional.domain) in batch:
            value = optional.function(logits[domain], batch[domain]["label"], config)
            found.append((f"loss/{name}", value, weight))
    return found


def discriminator_gradients(
    discriminators: Trained,
    maps: dict[str, dict[str, jax.Array]],
    *,
    networks: Networks,
    config: ml_collections.ConfigDict,
    axis_name: str | None,
) -> tuple[Any, Metrics]:
    """Gradients of each discriminator's loss, 0.5 x source + 0.5 x target [cited: AdaptSegNet].

    Args:
      discriminators: params {"main", "aux"}.
      maps: of `segmenter_gradients`.
    Returns:
      This part's gradients and its share of the losses.
    """
    domains = {"source": losses.SOURCE, "target": losses.TARGET}

    def loss_fn(params: Any) -> tuple[jax.Array, Metrics]:
        metrics = {}
        for head in maps:
            its_params = {"params": params[head]}
            answers = for_each(
                functools.partial(networks.discriminator.apply, its_params), maps[head]
            )
            total = sum(
                losses.normalise(
                    losses.adversarial(answers[name], domain, config.adversarial.kind), axis_name
                )
                for name, domain in domains.items()
            )
            metrics[f"loss/discriminator_{head}"] = 0.5 * total / config.accumulate
        return sum(metrics.values(), jnp.float32(0)), metrics

    return jax.grad(loss_fn, has_aux=True)(discriminators.params)


def selector_step(
    state: State,
    batch: Batch,
    *,
    networks: Networks,
    optimizers: Optimizers,
    config: ml_collections.ConfigDict,
    axis_name: str | None = None,
) -> tuple[State, Metrics]:
    """One update of the selector with losses 5 and 6 on target images [paper].

    The shipped segmenter, in evaluation mode, gives the pseudo labels that both heads learn. The
    discrepancy has no gradient to the features, so it changes the heads only [cited: MCDAL]. IAST's
    regularisers make the heads more confident where there is no pseudo label, and less where there
    is one.

    Args:
      state: a state with a selector, see `start_selector`.
      batch: {"target": {"image": [B, H, W, 3] uint8 or a tuple of their levels, "label": [B, H, W]
        uint8}}; only the size of the labels is read.
    """
    images, c, selector = batch["target"]["image"], config.selector, state.selector
    size = batch["target"]["label"].shape[1:3]
    assert selector is not None, "`start_selector` makes it"
    selector = selector.replace(fixed=state.segmenter.fixed)

    confidence, predicted = pseudo_labels.predictions(
        networks.segmenter, state.shipped.variables, images, size, config.accumulate
    )
    everywhere = (confidence.ravel(), predicted.ravel())
    if axis_name is not None:
        everywhere = jax.lax.all_gather(everywhere, axis_name, tiled=True)
    alpha = jnp.asarray(c.pseudo_alpha, jnp.float32)[
        jnp.minimum(state.stage, len(c.pseudo_alpha)) - 1
    ]
    thresholds = pseudo_labels.update_thresholds(
        state.thresholds, *everywhere, alpha=alpha, beta=c.pseudo_beta, gamma=c.pseudo_gamma
    )
    pseudo = pseudo_labels.pseudo_labels(confidence, predicted, thresholds)
    progress = (state.step - first_selector_step(config, state.stage)) / c.steps
    push = jnp.where(progress >= c.discrepancy_start, c.discrepancy_weight, 0.0)
    counts = {
        "sure": losses.count(pseudo != IGNORE, axis_name),
        "unsure": losses.count(pseudo == IGNORE, axis_name),
    }

    def gradients_of(batch_stats: Any, part: Any) -> tuple[Any, Any]:
        gradients, (batch_stats, metrics) = jax.grad(
            functools.partial(
                _selector_loss,
                selector=selector.replace(batch_stats=batch_stats),
                images=part[0],
                pseudo=part[1],
                counts=counts,
                push=push,
                networks=networks,
                config=config,
                axis_name=axis_name,
            ),
            has_aux=True,
        )(selector.params)
        return batch_stats, (gradients, metrics)

    batch_stats, summed = accumulate(
        gradients_of, selector.batch_stats, (images, pseudo), config.accumulate
    )
    gradients, metrics = sum_over_devices(summed, config, axis_name)
    fitted = _apply_gradients(selector, gradients, optimizers.selector)
    return state.replace(
        step=state.step + 1,
        selector=fitted.replace(batch_stats=batch_stats, fixed={}),
        thresholds=thresholds,
    ), metrics


def _selector_loss(
    params: Any,
    *,
    selector: Trained,
    images: Inputs,
    pseudo: jax.Array,
    counts: dict[str, jax.Array],
    push: jax.Array,
    networks: Networks,
    config: ml_collections.ConfigDict,
    axis_name: str | None,
) -> tuple[jax.Array, tuple[Any, Metrics]]:
    """A part's share of losses 5 and 6, the batch statistics after it, and its metrics.

    Args:
      params: that are trained, in place of the selector's.
      images: [B, H, W, 3] uint8, or a tuple of their levels.
      pseudo: [B, H, W] uint8 train ids, 255 where there is no pseudo label.
      counts: float32 [], pixels with and without one in all parts on all devices.
      push: float32 [], weight of the discrepancy.
    """
    c, size = config.selector, pseudo.shape[1:3]
    variables = selector.replace(params=params).variables
    out, updated = networks.selector.apply(variables, images, train=True, mutable=["batch_stats"])
    logits = {head: upsample(out[head], size) for head in ("c1", "c2")}

    def mean(loss: losses.SumCount) -> jax.Array:
        return losses.normalise(loss, axis_name) / config.accumulate

    def of_both(loss: Callable, *args: Any, count: jax.Array) -> dict[str, jax.Array]:
        return {head: losses.share(loss(logits[head], *args)[0], count) for head in logits}

    fit = of_both(losses.cross_entropy, pseudo, count=counts["sure"])
    total = fit["c1"] + fit["c2"]
    if c.entropy:
        unsure = of_both(losses.entropy, pseudo == IGNORE, count=counts["unsure"])
        total += c.entropy * (unsure["c1"] + unsure["c2"])
    if c.uniformity:
        sure = of_both(losses.uniformity, pseudo != IGNORE, count=counts["sure"])
        total += c.uniformity * (sure["c1"] + sure["c2"])
    if c.discrepancy == "weights":
        similarity = losses.weight_similarity(params["c1"], params["c2"])
        apart = mean((-similarity, jnp.float32(1)))  # the same in every part on every device
    else:
        alone = networks.selector.apply(
            variables, jax.lax.stop_gradient(out["seen"]), method="heads"
        )
        apart = mean(losses.discrepancy(*(upsample(alone[h], size) for h in ("c1", "c2"))))

    agreement = of_both(_agreement, pseudo, count=counts["sure"])
    mask = inconsistency_mask(logits["c1"], logits["c2"])
    metrics = {
        "agreement/c1": agreement["c1"],
        "agreement/c2": agreement["c2"],
        "loss/pseudo_c1": fit["c1"],
        "loss/pseudo_c2": fit["c2"],
        "discrepancy": apart,
        "mask/share": mean((mask.sum(), jnp.float32(mask.size))),
        "pseudo/share": mean(((pseudo != IGNORE).sum(), jnp.float32(pseudo.size))),
    }
    return total - push * apart, (updated.get("batch_stats", {}), metrics)


def _agreement(logits: jax.Array, labels: jax.Array) -> losses.SumCount:
    """The labelled pixels at which a head predicts the label, and all labelled pixels."""
    valid = labels != IGNORE
    same = (likeliest(logits) == labels) & valid
    return same.sum(dtype=jnp.float32), valid.sum(dtype=jnp.float32)
