"""Pure train and inference steps. `parallel.py` maps them over devices.

A train step is `step(state, batch, *, axis_name) -> (state, metrics)`. Its losses are local sums
over global counts, so that gradients and metrics are *summed* over devices.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import optax

from labor_jax import losses
from labor_jax.data.labels import IGNORE
from labor_jax.models.resize import upsample
from labor_jax.selection import pseudo_labels
from labor_jax.selection.inconsistency import inconsistency_mask, mean_probability
from labor_jax.selection.prototypes import representative_points
from labor_jax.state import Networks, Optimizers, State, Trained, first_selector_step

Batch = dict[str, dict[str, jax.Array]]
Metrics = dict[str, jax.Array]


def _sum_over_devices(tree: Any, axis_name: str | None) -> Any:
    return tree if axis_name is None else jax.lax.psum(tree, axis_name)


def _apply_gradients(
    trained: Trained, gradients: Any, optimizer: optax.GradientTransformation
) -> Trained:
    updates, opt_state = optimizer.update(gradients, trained.opt_state, trained.params)
    return trained.replace(params=optax.apply_updates(trained.params, updates), opt_state=opt_state)


def segmenter_step(
    segmenter: Trained,
    discriminators: Trained,
    batch: Batch,
    *,
    networks: Networks,
    optimizer: optax.GradientTransformation,
    config: ml_collections.ConfigDict,
    adversarial: bool,
    axis_name: str | None,
) -> tuple[Trained, dict[str, jax.Array], Metrics]:
    """One update of the segmenter with losses 1, 2 and 3 [paper, cited: AdaptSegNet].

    Source and target go through the network as one batch, so that batch statistics, if any, are
    of both; one after the other where they are of different sizes, or where AdaptSegNet's batch
    norm is asked for, whose statistics are a domain's own.

    Args:
      segmenter: the network to update.
      discriminators: params {"main", "aux"}, not updated here.
      batch: {"source", "target"} or the first alone: {"image": [B, H, W, 3] uint8, "label":
        [B, H, W] uint8}; target labels are 255 wherever nobody answered.
      adversarial: whether loss 3 counts.
      axis_name: the mapped axis.
    Returns:
      The updated network; the softmax maps {"main", "aux"}: {"source", "target"}: [B, H, W, C]
      float32, detached, of the heads whose lambda_adv is not 0, for the discriminators; the
      losses.
    """
    apart = config.model.batch_norm == "adaptsegnet"

    def loss_fn(params: Any) -> tuple[jax.Array, tuple[Any, Any, Metrics]]:
        batch_stats = segmenter.batch_stats

        def forward(images: jax.Array) -> dict[str, jax.Array]:
            nonlocal batch_stats
            variables = {"params": params, "batch_stats": batch_stats}
            out, updated = networks.segmenter.apply(
                variables, images, train=True, mutable=["batch_stats"]
            )
            batch_stats = updated.get("batch_stats", {})
            return {head: out[head] for head in ("main", "aux")}

        out = _for_each(forward, {name: part["image"] for name, part in batch.items()}, apart)
        metrics, maps, total = {}, {}, 0.0
        for head, weight, fool in (
            ("main", 1.0, config.adversarial.main),
            ("aux", config.loss.aux, config.adversarial.aux),
        ):
            logits = {
                name: upsample(out[name][head], part["label"].shape[1:])
                for name, part in batch.items()
            }
            for name, part in batch.items():
                factor = {"source": 1.0, "target": config.loss.target}[name]
                loss = losses.cross_entropy(logits[name], part["label"])
                metrics[f"loss/{name}_{head}"] = losses.normalise(loss, axis_name)
                total += weight * factor * metrics[f"loss/{name}_{head}"]
            if adversarial and fool:
                maps[head] = jax.tree.map(jax.nn.softmax, logits)
                answer = networks.discriminator.apply(
                    {"params": discriminators.params[head]}, maps[head]["target"]
                )
                loss = losses.adversarial(answer, losses.SOURCE, config.adversarial.kind)
                metrics[f"loss/fool_{head}"] = losses.normalise(loss, axis_name)
                total += fool * metrics[f"loss/fool_{head}"]
        return total, (batch_stats, maps, metrics)

    gradients, (batch_stats, maps, metrics) = jax.grad(loss_fn, has_aux=True)(segmenter.params)
    gradients, metrics = _sum_over_devices((gradients, metrics), axis_name)
    segmenter = _apply_gradients(segmenter, gradients, optimizer)
    return segmenter.replace(batch_stats=batch_stats), jax.lax.stop_gradient(maps), metrics


def _for_each(
    forward: Callable[[jax.Array], Any], inputs: dict[str, jax.Array], apart: bool = False
) -> dict[str, Any]:
    """`forward` of each input: in one go where they are of one shape, unless `apart`."""
    if apart or len({x.shape for x in inputs.values()}) > 1:
        return {name: forward(x) for name, x in inputs.items()}
    out = forward(jnp.concatenate(list(inputs.values())))
    parts = jax.tree.transpose(
        jax.tree.structure(out),
        jax.tree.structure([0] * len(inputs)),
        jax.tree.map(lambda x: jnp.split(x, len(inputs)), out),
    )
    return dict(zip(inputs, parts, strict=True))


def discriminator_step(
    discriminators: Trained,
    maps: dict[str, dict[str, jax.Array]],
    *,
    networks: Networks,
    optimizer: optax.GradientTransformation,
    config: ml_collections.ConfigDict,
    axis_name: str | None,
) -> tuple[Trained, Metrics]:
    """One update of the discriminators: 0.5 x source + 0.5 x target [cited: AdaptSegNet].

    Args:
      discriminators: params {"main", "aux"}.
      maps: {"main", "aux"} or one of them: {"source", "target"}: [B, H, W, C] float32 softmax
        maps of the forward pass that updated the segmenter.
    """
    domains = {"source": losses.SOURCE, "target": losses.TARGET}

    def loss_fn(params: Any) -> tuple[jax.Array, Metrics]:
        metrics = {}
        for head in maps:
            answers = _for_each(
                lambda x, head=head: networks.discriminator.apply({"params": params[head]}, x),
                maps[head],
            )
            metrics[f"loss/discriminator_{head}"] = 0.5 * sum(
                losses.normalise(
                    losses.adversarial(answers[name], domain, config.adversarial.kind), axis_name
                )
                for name, domain in domains.items()
            )
        return sum(metrics.values(), jnp.float32(0)), metrics

    gradients, metrics = jax.grad(loss_fn, has_aux=True)(discriminators.params)
    gradients, metrics = _sum_over_devices((gradients, metrics), axis_name)
    return _apply_gradients(discriminators, gradients, optimizer), metrics


def adapt_step(
    state: State,
    batch: Batch,
    *,
    networks: Networks,
    optimizers: Optimizers,
    config: ml_collections.ConfigDict,
    axis_name: str | None = None,
) -> tuple[State, Metrics]:
    """A step of warm-up and of adaptation: the segmenter, then the discriminators.

    Warm-up is adaptation without a labelled target pixel, so both are this one compiled step.
    `source_only` is the same without loss 3 and never sees the target, whose images would move
    the batch statistics, if any.
    """
    adversarial = config.method != "source_only"
    segmenter, maps, metrics = segmenter_step(
        state.segmenter,
        state.discriminators,
        batch if adversarial else {"source": batch["source"]},
        networks=networks,
        optimizer=optimizers.segmenter,
        config=config,
        adversarial=adversarial,
        axis_name=axis_name,
    )
    state = state.replace(step=state.step + 1, segmenter=segmenter)
    if not adversarial:
        return state, metrics
    discriminators, more = discriminator_step(
        state.discriminators,
        maps,
        networks=networks,
        optimizer=optimizers.discriminator,
        config=config,
        axis_name=axis_name,
    )
    return state.replace(discriminators=discriminators), metrics | more


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

    The segmenter, in evaluation mode, gives the pseudo labels; both heads learn them; the
    discrepancy moves the heads only: features are detached for it [cited: MCDAL]. IAST's
    regularisers make heads surer where there is no pseudo label, and less sure where there is one.

    Args:
      batch: {"target": {"image": [B, H, W, 3] uint8, ...}}; labels are not read.
    """
    images = batch["target"]["image"]
    size = images.shape[1:3]
    c = config.selector

    out = networks.segmenter.apply(state.segmenter.variables, images, train=False)
    probs = jax.nn.softmax(upsample(out["main"], size))
    confidence, predicted = probs.max(-1), probs.argmax(-1)
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
    unsure = pseudo == IGNORE
    progress = (state.step - first_selector_step(config, state.stage)) / c.steps
    push = jnp.where(progress >= c.discrepancy_start, c.discrepancy_weight, 0.0)

    def loss_fn(params: Any) -> tuple[jax.Array, tuple[Any, Metrics]]:
        variables = {"params": params, "batch_stats": state.selector.batch_stats}
        out, updated = networks.selector.apply(
            variables, images, train=True, mutable=["batch_stats"]
        )
        logits = {head: upsample(out[head], size) for head in ("c1", "c2")}
        fit = {
            h: losses.normalise(losses.cross_entropy(logits[h], pseudo), axis_name) for h in logits
        }
        regularised = jnp.float32(0)
        for weight, loss, where in (
            (c.entropy, losses.entropy, unsure),
            (c.uniformity, losses.uniformity, ~unsure),
        ):
            if weight:
                parts = (losses.normalise(loss(logits[h], where), axis_name) for h in logits)
                regularised += weight * sum(parts)
        if c.discrepancy == "weights":
            apart = -losses.weight_similarity(params["c1"], params["c2"])
            if axis_name is not None:  # the same on every device; the sum over them must be it
                apart = apart / jax.lax.axis_size(axis_name)
        else:
            heads = networks.selector.apply(
                variables, jax.lax.stop_gradient(out["features"]), method="heads"
            )
            apart = losses.normalise(
                losses.discrepancy(*(upsample(heads[h], size) for h in ("c1", "c2"))), axis_name
            )
        agree = {
            f"agreement/{h}": losses.normalise(_agreement(logits[h], pseudo), axis_name)
            for h in logits
        }
        mask = inconsistency_mask(logits["c1"], logits["c2"])
        metrics = agree | {
            "loss/pseudo_c1": fit["c1"],
            "loss/pseudo_c2": fit["c2"],
            "discrepancy": apart,
            "mask/share": losses.normalise((mask.sum(), jnp.float32(mask.size)), axis_name),
            "pseudo/share": losses.normalise(
                ((pseudo != IGNORE).sum(), jnp.float32(pseudo.size)), axis_name
            ),
        }
        total = fit["c1"] + fit["c2"] + regularised - push * apart
        return total, (updated.get("batch_stats", {}), metrics)

    gradients, (batch_stats, metrics) = jax.grad(loss_fn, has_aux=True)(state.selector.params)
    gradients, metrics = _sum_over_devices((gradients, metrics), axis_name)
    selector = _apply_gradients(state.selector, gradients, optimizers.selector)
    return state.replace(
        step=state.step + 1,
        selector=selector.replace(batch_stats=batch_stats),
        thresholds=thresholds,
    ), metrics


def _agreement(logits: jax.Array, labels: jax.Array) -> losses.SumCount:
    """Share of the labelled pixels on which a head says what the label says."""
    valid = labels != IGNORE
    same = (jnp.argmax(logits, axis=-1) == labels) & valid
    return same.sum(dtype=jnp.float32), valid.sum(dtype=jnp.float32)


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
    merged = maps[0] if len(maps) == 1 else sum(jax.nn.softmax(x) for x in maps)
    return jnp.argmax(merged, axis=-1).astype(jnp.uint8)


def query(
    state: State,
    batch: dict[str, jax.Array],
    *,
    networks: Networks,
    size: tuple[int, int],
    config: ml_collections.ConfigDict,
) -> dict[str, jax.Array]:
    """What the selector says of target images, and what PPL would ask.

    Args:
      state: segmenter and selector are read.
      batch: {"image": [B, h, w, 3] uint8, "taken": [B, H, W] bool, pixels too near to one asked}.
      size: (H, W) of the labels.
    Returns:
      "mask": [B, H, W] bool, equation 4; "selected": [B, H, W] uint8, argmax of the heads' mean;
      "predicted": [B, H, W] uint8, the segmenter's classes; and for PPL "points":
      [B, C, N, 2] int32 (row, column) and "found": [B, C, N] bool.
    """
    out = networks.selector.apply(state.selector.variables, batch["image"], train=False)
    c1, c2 = upsample(out["c1"], size), upsample(out["c2"], size)
    mask, probs = inconsistency_mask(c1, c2), mean_probability(c1, c2)
    answer = {
        "mask": mask,
        "selected": jnp.argmax(probs, axis=-1).astype(jnp.uint8),
        "predicted": predict(state.segmenter, batch["image"], networks=networks, size=size),
    }
    if config.method != "labor_ppl":
        return answer
    points, found = representative_points(
        probs,
        mask,
        batch["taken"],
        points_per_class=config.ppl.points_per_class,
        radius=config.ppl.radius,
        distance=config.ppl.distance,
    )
    return answer | {"points": points, "found": found}
