"""Whether the values of a config make a run."""

from typing import Any

import ml_collections

from labor_jax.util.errors import UserError

__all__ = ["check", "lookup"]


def check(config: ml_collections.ConfigDict) -> None:
    """Raises UserError, naming the key, where a value makes no run."""
    from labor_jax.selection import strategies  # JAX is imported when a config is checked

    strategies.load(config.strategies)
    choices = {
        "method": strategies.methods(),
        "parallel": ("pmap", "shard_map", "jit"),
        "annotator": ("oracle", "noisy", "replay", "web"),
        "model.backbone": ("resnet18", "resnet50", "resnet101", "mobilenet_v2"),
        "model.output_stride": (8, 16),
        "model.batch_norm": ("sync", "frozen", "adaptsegnet"),
        "model.dtype": ("float32", "bfloat16"),
        "optimizer.name": ("sgd", "adam"),
        "selector.optimizer": ("sgd", "adam"),
        "selector.init": ("perturbed", "segmenter", "fresh"),
        "selector.discrepancy": ("outputs", "weights"),
        "adversarial.kind": ("vanilla", "ls"),
        "spl.cut": ("grid", "superpixels"),
        "ppl.distance": ("cosine", "l2"),
        "budget.unit": ("", "points", "pixels", "clicks"),
        "budget.scope": ("", "image", "pool"),
    }
    for key, allowed in choices.items():
        if (value := lookup(config, key)) not in allowed:
            raise UserError(f"config.{key}: {value!r} is not one of {', '.join(map(str, allowed))}")
    backbone, style = config.model.backbone, config.model.style
    styles = ("tensorflow" if backbone == "mobilenet_v2" else "caffe", "pytorch")
    if style not in styles:
        raise UserError(f"config.model.style: {style!r}, but {backbone} has {' or '.join(styles)}")
    tuples: tuple[tuple[str, int | None, type], ...]
    tuples = (("input.size", 2, int), ("input.scale", 2, float), ("adversarial.betas", 2, float))
    if config.input.source_size:
        tuples += (("input.source_size", 2, int),)
    tuples += (("model.dilations", None, int), ("selector.pseudo_alpha", None, float))
    tuples += (("evaluation.scales", None, float),)
    for key, length, kind in tuples:
        value = lookup(config, key)
        right = len(value) == length if length else len(value) > 0
        if not (right and all(type(v) in (int, kind) for v in value)):
            numbers = f"{length or 'one or more'} {'whole ' if kind is int else ''}numbers"
            raise UserError(f"config.{key}: {value!r} is not {numbers}")
    at_least_one: tuple[str, ...]
    at_least_one = ("batch_size", "accumulate", "eval_batch_size", "input.threads")
    at_least_one += ("warmup_steps", "adapt_steps", "selector.steps", "checkpoint_every")
    at_least_one += ("log_every", "ppl.points_per_class", "spl.cell", "spl.crumb")
    at_least_one += ("superpixels.cell", "budget.pool_limit")
    for key in at_least_one:
        if lookup(config, key) < 1:
            raise UserError(f"config.{key}: {lookup(config, key)} is too few; give 1 or more")
    for key in (
        "stages",
        "budget.points_per_image",
        "budget.max_fraction",
        "budget.clicks_per_image",
        "stop.plateau",
        "stop.disagreement",
        "loss.negative",
        "loss.consistency",
        "loss.self_training",
        "previews",
        "ppl.radius",
        "points.radius",
        "ripu.point_radius",
        "ripu.region_radius",
    ):
        if lookup(config, key) < 0:
            raise UserError(f"config.{key}: {lookup(config, key)} is negative; give 0 or more")
    if config.budget.unit == "points" and strategies.chooses(config.method):
        asks = strategies.find(config.method).asks
        if asks != "points":
            raise UserError(
                f"config.budget.unit: {config.method} asks {asks}; give pixels or clicks"
            )
    if not 0 < config.stop.held < 1:
        raise UserError(f"config.stop.held: {config.stop.held} is no share; give one in (0, 1)")
    if not 0 <= config.loss.self_above < 1:
        raise UserError(
            f"config.loss.self_above: {config.loss.self_above} is not in [0, 1); give a probability"
        )
    if not 0 <= config.noisy.error <= 1:
        raise UserError(f"config.noisy.error: {config.noisy.error} is no share; give 0 to 1")
    if config.noisy.border < 1:
        raise UserError(f"config.noisy.border: {config.noisy.border} is too low; give 1 or more")
    if not 0 < config.input.scale[0] <= config.input.scale[1]:
        raise UserError("config.input.scale: give (smallest, largest), both positive")
    sizes = {"size": config.input.size, "source_size": config.input.source_size}
    for key, size in sizes.items():
        if min(size, default=32) < 32:
            raise UserError(f"config.input.{key}: give (height, width) of 32 pixels or more")
    if min(config.evaluation.scales) <= 0:
        raise UserError(f"config.evaluation.scales: {config.evaluation.scales} must be positive")
    steps = config.warmup_steps + config.stages * config.adapt_steps
    if 0 < config.optimizer.decay_steps < steps:
        raise UserError(
            f"config.optimizer.decay_steps: {config.optimizer.decay_steps} are fewer than the "
            f"segmenter's {steps} steps, whose last ones would learn nothing; give 0 or more steps"
        )


def lookup(config: ml_collections.ConfigDict, key: str) -> Any:
    """The value at a dotted key."""
    for part in key.split("."):
        config = config[part]
    return config
