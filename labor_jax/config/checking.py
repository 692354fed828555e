"""Checks the values of a config."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from types import UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin

import ml_collections

from labor_jax.config.fields import LARGEST_INT, Setting
from labor_jax.config.schema import settings
from labor_jax.util.errors import UserError

if TYPE_CHECKING:
    from labor_jax.models.backbone import Backbone

__all__ = ["RULES", "allowed", "check"]

SMALLEST, LARGEST = 8, 32768
"""The sides, in pixels, of what a network can be shown."""
COLDEST = 1e-4
"""The least temperature of a softmax over shares."""
LONGEST = 80
"""How many characters of a wrong value an error line repeats."""


def check(config: ml_collections.ConfigDict, only: Sequence[str] = ()) -> None:
    """Checks the values of a config, each by itself and those that have to fit together.

    Args:
      config: with the keys of `default_config`; other keys are not checked.
      only: the keys and sections that are checked; () = all.
    Raises:
      UserError: a value is wrong; the error names the key.
    """

    def looked_at(key: str) -> bool:
        return not only or any(f"{key}.".startswith(f"{part}.") for part in only)

    for key, setting in settings().items():
        if looked_at(key):
            for place, value, kind in _values(config, setting):
                _check_value(place, value, kind, setting)
    for key, rule in RULES.items():
        if looked_at(key):
            rule(config)


# ------------------------------------------------------------------------------- one value


def allowed(setting: Setting) -> str:
    """A key's allowed values, in words; the module that owns the choices has their words."""
    if callable(setting.choices):
        return setting.choices.__doc__ or ""
    if setting.choices:
        return f"one of {_listed(setting.choices)}"
    return _allowed(setting.type, setting)


def _allowed(kind: Any, setting: Setting, many: str = "") -> str:
    """The same for a part of the key's type; `many` says in words how many there are, "" = one."""
    if kind is bool:
        return "True or False"
    if noun := {str: "string", int: "whole number", float: "number"}.get(kind):
        bounds = "" if kind is str else _bounds(setting)
        return f"{many} {noun}s{bounds}" if many else f"a {noun}{bounds}"
    members = get_args(kind)
    if isinstance(kind, UnionType):
        return " or ".join(_allowed(member, setting) for member in members)
    if get_origin(kind) is dict:
        return f"{_allowed(members[1], setting)} for each name"
    if not members:
        return "()"
    count = "one or more" if setting.default else "zero or more"
    count = count if members[-1] is Ellipsis else str(len(members))
    if get_args(members[0]):
        return f"{count} tuples of {_allowed(members[0], setting)}"
    return _allowed(members[0], setting, count)


def _bounds(setting: Setting) -> str:
    """The bounds of a number, in words that continue "a number"."""
    if setting.low is not None and setting.high is not None:
        return f" from {setting.low} to {setting.high}"
    words = (
        (setting.low, "of at least {}"),
        (setting.above, "above {}"),
        (setting.high, "at most {}"),
        (setting.below, "below {}"),
    )
    parts = [text.format(bound) for bound, text in words if bound is not None]
    return f" {' and '.join(parts)}" if parts else ""


def _values(config: ml_collections.ConfigDict, setting: Setting) -> Iterator[tuple[str, Any, Any]]:
    """A setting's key, value and type; for a section with keys of the user's, each of these."""
    value = _lookup(config, setting.key)
    if get_origin(setting.type) is not dict:
        yield setting.key, value, setting.type
        return
    if not isinstance(value, ml_collections.ConfigDict):
        _refuse(setting.key, value, f"is not {allowed(setting)}")
    for name, member in value.items():
        if not name.isidentifier():
            _refuse(setting.key, name, "is not a name; give one of letters, digits and _")
        yield f"{setting.key}.{name}", member, get_args(setting.type)[1]


def _lookup(config: ml_collections.ConfigDict, key: str) -> Any:
    """The value at a dotted key. Raises UserError if there is none."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, ml_collections.ConfigDict) or part not in value:
            raise UserError(
                f"config.{key}: is missing; start from labor_jax.config.default_config()"
            )
        value = value[part]
    return value


def _check_value(key: str, value: Any, kind: Any, setting: Setting) -> None:
    if setting.choices:
        known = setting.choices() if callable(setting.choices) else setting.choices
        if not any(type(value) is type(choice) and value == choice for choice in known):
            _refuse(key, value, f"is not one of {_listed(known)}")
    elif not _fits(value, kind, setting):
        _refuse(key, value, _fault(value, kind, setting))


def _fits(value: Any, kind: Any, setting: Setting) -> bool:
    """Whether a value is of a type and, where it is a number, in its range."""
    if kind in (int, float):
        return _is_number(value, kind) and _in_range(value, kind, setting)
    if kind in (bool, str):
        return isinstance(value, kind)
    members = get_args(kind)
    if isinstance(kind, UnionType):
        return any(_fits(value, member, setting) for member in members)
    if not isinstance(value, tuple):
        return False
    if members[-1:] == (Ellipsis,):
        enough = bool(value) or not setting.default
        return enough and all(_fits(item, members[0], setting) for item in value)
    return len(value) == len(members) and all(
        _fits(item, member, setting) for item, member in zip(value, members, strict=True)
    )


def _is_number(value: Any, kind: type) -> bool:
    """Whether a value is a number of a type. An int is also a float, but a bool is no number."""
    return isinstance(value, int | kind) and not isinstance(value, bool)


def _in_range(value: float, kind: type, setting: Setting) -> bool:
    largest = LARGEST_INT if kind is int else sys.float_info.max
    low = -largest if setting.low is None else setting.low
    high = largest if setting.high is None else setting.high
    inside = low <= value <= high  # false for nan
    above = setting.above is None or value > setting.above
    return inside and above and (setting.below is None or value < setting.below)


def _fault(value: Any, kind: Any, setting: Setting) -> str:
    """What is wrong with a value that does not fit, and what is right."""
    right = allowed(setting) if get_origin(setting.type) is not dict else _allowed(kind, setting)
    if kind not in (int, float) or not _is_number(value, kind):
        return f"is not {right}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"is not finite; give {right}"
    least = setting.above if setting.low is None else setting.low
    if least is not None and value <= least:
        return f"is {'negative' if value < 0 <= least else 'too small'}; give {right}"
    bounded = kind is float or setting.high is not None
    return f"is too large; give {right}{'' if bounded else f', at most {LARGEST_INT}'}"


def _refuse(key: str, value: Any, why: str) -> None:
    try:
        shown = repr(value).replace("\n", " ")  # the repr of a section has a line for each key
    except ValueError:  # Python refuses to print integers of thousands of digits
        shown = "a whole number of thousands of digits"
    shown = shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"
    raise UserError(f"config.{key}: {shown} {why}")


def _listed(choices: Sequence[Any]) -> str:
    return ", ".join(str(choice) if choice != "" else '""' for choice in choices)


# ------------------------------------------------------------- rules between two keys


def _style_is_the_backbones(config: ml_collections.ConfigDict) -> None:
    _check_of_backbone(config, "style", _backbone(config).styles)


def _output_stride_is_the_backbones(config: ml_collections.ConfigDict) -> None:
    _check_of_backbone(config, "output_stride", _backbone(config).output_strides)


def _batch_norm_is_the_backbones(config: ml_collections.ConfigDict) -> None:
    if kinds := _backbone(config).batch_norms:
        _check_of_backbone(config, "batch_norm", kinds)


def _options_are_the_backbones(config: ml_collections.ConfigDict) -> None:
    from labor_jax.models import backbone

    for key in backbone.OPTIONS:
        if config.model[key] and key not in _backbone(config).options:
            raise UserError(
                f"config.model.{key}: {config.model[key]}, but {config.model.backbone} has none; "
                f"give 0"
            )


def _backbone(config: ml_collections.ConfigDict) -> "Backbone":
    from labor_jax.models import backbone

    return backbone.find(config.model.backbone)


def _check_of_backbone(
    config: ml_collections.ConfigDict, key: str, choices: Sequence[str | int]
) -> None:
    value, name = config.model[key], config.model.backbone
    if value not in choices:
        has = " or ".join(map(str, choices))
        raise UserError(f"config.model.{key}: {value!r}, but {name} has {has}")


def _scale_is_in_order(config: ml_collections.ConfigDict) -> None:
    smallest, largest = config.input.scale
    if smallest > largest:
        raise UserError(
            f"config.input.scale: {config.input.scale} is not in order; give (smallest, largest)"
        )


def _scales_leave_an_image(config: ml_collections.ConfigDict) -> None:
    for scale in config.evaluation.scales:
        height, width = (round(n * scale) for n in config.input.size)
        if min(height, width) < SMALLEST or max(height, width) > LARGEST:
            raise UserError(
                f"config.evaluation.scales: at {scale:g} of config.input.size the network would "
                f"see {width}x{height} pixels; give scales that leave from {SMALLEST} to {LARGEST}"
            )


def _temperature_is_usable(config: ml_collections.ConfigDict) -> None:
    if 0 < config.input.rare_classes < COLDEST:
        raise UserError(
            f"config.input.rare_classes: {config.input.rare_classes} draws one class alone; give 0 "
            f"or at least {COLDEST}"
        )


def _crop_fits(config: ml_collections.ConfigDict) -> None:
    if not config.input.crop:
        return
    largest = config.input.scale[1]
    for key in ("size", "source_size"):
        size = config.input[key]
        if size and any(c > largest * n for c, n in zip(config.input.crop, size, strict=True)):
            raise UserError(
                f"config.input.crop: {config.input.crop} is larger than images of "
                f"config.input.{key} {size} at their largest zoom, {largest:g}; make it smaller"
            )


def _unit_is_what_the_strategy_asks(config: ml_collections.ConfigDict) -> None:
    from labor_jax.selection import strategies

    if config.budget.unit == "points" and strategies.chooses(config.method):
        asks = strategies.find(config.method).asks
        if asks != "points":
            raise UserError(
                f"config.budget.unit: {config.method} asks {asks}; give pixels or clicks"
            )


def _learning_rate_lasts(config: ml_collections.ConfigDict) -> None:
    steps = config.warmup_steps + config.stages * config.adapt_steps
    if 0 < config.optimizer.decay_steps < steps:
        raise UserError(
            f"config.optimizer.decay_steps: {config.optimizer.decay_steps} are fewer than the "
            f"segmenter's {steps} steps, so the last ones would learn nothing; give 0 or more steps"
        )


def _warmup_has_a_source(config: ml_collections.ConfigDict) -> None:
    if config.source.domain and not config.warmup_steps:
        raise UserError(
            "config.warmup_steps: 0, but there is a source to learn from; give 1 or more"
        )
    if config.source.domain or not config.warmup_steps:
        return
    raise UserError(
        f"config.warmup_steps: {config.warmup_steps}, but config.source.domain is empty, so there "
        f"is nothing to warm up with; give 0"
    )


def _method_has_a_source(config: ml_collections.ConfigDict) -> None:
    if not config.source.domain and config.method in ("source_only", "uda"):
        raise UserError(
            f"config.source.domain: is empty, but {config.method} learns from the source alone; "
            f"give a data set, or another config.method"
        )


def _rare_classes_have_a_source(config: ml_collections.ConfigDict) -> None:
    if config.input.rare_classes and not config.source.domain:
        raise UserError(
            f"config.input.rare_classes: {config.input.rare_classes}, but config.source.domain is "
            f"empty, so there is no label to draw by; give 0"
        )


def _teacher_is_an_average(config: ml_collections.ConfigDict) -> None:
    if config.model.freeze:
        return  # the teacher is the classifier so far
    if config.adapt in ("teacher", "both") and not config.optimizer.average:
        raise UserError(
            f"config.adapt: {config.adapt!r}, but the teacher is the weights' moving average and "
            f"config.optimizer.average is 0; give that a value such as 0.99"
        )


def _mixed_images_have_one_size(config: ml_collections.ConfigDict) -> None:
    from labor_jax.data.transforms import keeps_colours, view_size

    sizes = [view_size(config.input, name) for name in ("source", "target")]
    if config.source.domain and keeps_colours(config, "target") and sizes[0] != sizes[1]:
        raise UserError(
            f"config.input.source_size: {sizes[0]}, but pieces of source images are pasted onto "
            f"target images of {sizes[1]}; give config.input.crop, which is the size of both"
        )


def _rare_classes_are_usable(config: ml_collections.ConfigDict) -> None:
    _rare_classes_have_a_source(config)
    _temperature_is_usable(config)


def _target_is_given(config: ml_collections.ConfigDict) -> None:
    _check_given(config, "target")


def _val_is_given(config: ml_collections.ConfigDict) -> None:
    _check_given(config, "val")


def _check_given(config: ml_collections.ConfigDict, name: str) -> None:
    if not config[name].domain:
        raise UserError(f"config.{name}.domain: is empty; give a data set, or folder")


def _frozen_is_fitted(config: ml_collections.ConfigDict) -> None:
    """What a frozen run needs, by key: the value, and why."""
    if not config.model.freeze:
        return
    needed = (
        ("model.head", config.model.head == "linear", "linear: it is fitted to frozen features"),
        ("model.weights", config.model.weights != "", "a file: nothing else trains the backbone"),
        ("model.drop_path", not config.model.drop_path, "0: the backbone is not trained"),
        ("model.lora_rank", not config.model.lora_rank, "0: adapters need training by steps"),
        (
            "adapt",
            config.adapt in ("none", "teacher"),
            "none or teacher: no discriminator is trained",
        ),
        ("optimizer.average", not config.optimizer.average, "0: there are no steps to average"),
        ("evaluation.scales", config.evaluation.scales == (1.0,), "(1.0,): features have one size"),
        ("evaluation.flip", not config.evaluation.flip, "False: features are of one view"),
        ("images_a_device", not config.images_a_device, "0: a fit has no batches"),
        ("input.source_size", not config.input.source_size, "(): features have one size"),
    )
    for key, kept, right in needed:
        if not kept:
            raise UserError(f"config.{key}: with model.freeze it must be {right}")


def _adapters_have_a_base(config: ml_collections.ConfigDict) -> None:
    if config.model.lora_rank and not config.model.weights:
        raise UserError(
            "config.model.weights: with model.lora_rank it must be a file: nothing else trains the "
            "backbone"
        )


def _dilations_are_trained(config: ml_collections.ConfigDict) -> None:
    """Taps that no view reaches stay random, and larger images would be predicted with them."""
    if config.model.head != "deeplab_v3plus":
        return
    cells = min(config.input.crop or config.input.size) // config.model.output_stride
    if (largest := max(config.model.dilations)) >= cells:
        raise UserError(
            f"config.model.dilations: {largest} reaches past a view's {cells} features, so its "
            f"weights would not be trained; give smaller ones, or a larger input.crop"
        )


RULES: dict[str, Callable[[ml_collections.ConfigDict], None]] = {
    "model.style": _style_is_the_backbones,
    "model.output_stride": _output_stride_is_the_backbones,
    "model.batch_norm": _batch_norm_is_the_backbones,
    "model.drop_path": _options_are_the_backbones,
    "adapt": _teacher_is_an_average,
    "input.source_size": _mixed_images_have_one_size,
    "model.freeze": _frozen_is_fitted,
    "model.lora_rank": _adapters_have_a_base,
    "model.dilations": _dilations_are_trained,
    "input.scale": _scale_is_in_order,
    "input.crop": _crop_fits,
    "evaluation.scales": _scales_leave_an_image,
    "input.rare_classes": _rare_classes_are_usable,
    "warmup_steps": _warmup_has_a_source,
    "source.domain": _method_has_a_source,
    "target.domain": _target_is_given,
    "val.domain": _val_is_given,
    "budget.unit": _unit_is_what_the_strategy_asks,
    "optimizer.decay_steps": _learning_rate_lasts,
}
"""The rules that values of several keys have to keep, by the key that an error names."""
