"""Every key of a config: what it takes, and what is refused in one line."""

import math
import sys
from types import UnionType
from typing import get_args, get_origin

import hypothesis
import pytest
from hypothesis import strategies as st

from labor_jax.config import default_config
from labor_jax.config.checking import RULES, allowed, check
from labor_jax.config.schema import settings
from labor_jax.util.errors import UserError

KEYS = sorted(settings())
OTHER_TYPES = (
    None,
    True,
    b"bytes",
    1j,
    [],
    {},
    "nonsense",
    ((),),
    1.5,
    7,
    ("nonsense",),
    (0.5, True),
)
"""Of which each is wrong for most keys."""
with_examples = hypothesis.settings(max_examples=25, deadline=None, database=None, derandomize=True)


def changed(key, value):
    """The default config with a value at a key, even one that ConfigDict would not take there."""
    config = default_config()
    *path, name = key.split(".")
    part = config
    for section in path:
        part = part[section]
    with config.unlocked():
        del part[name]
        part[name] = value
    return config


def refusal(config, key):
    with pytest.raises(UserError) as error:
        check(config)
    line = str(error.value)
    assert "\n" not in line and len(line) < 400
    assert line.startswith((f"config.{key}: ", f"config.{key}.")), line
    return line


def fits(value, kind, setting):
    """A restatement: whether a value is of a type and in the range of a key without choices."""
    if isinstance(kind, UnionType):
        return any(fits(value, one, setting) for one in get_args(kind))
    if get_origin(kind) is tuple:
        inside = get_args(kind)
        if type(value) is not tuple:
            return False
        if inside[-1:] == (...,):
            inside = inside[:1] * len(value) if value or not setting.default else (None,) * 99
        return len(value) == len(inside) and all(map(fits, value, inside, [setting] * len(value)))
    if kind in (bool, str):
        return type(value) is kind
    if type(value) not in {int: (int,), float: (int, float)}[kind]:
        return False
    if type(value) is float and (math.isnan(value) or math.isinf(value)):
        return False
    largest = 2**31 - 1 if kind is int else sys.float_info.max
    bounds = {
        "low": lambda b: value >= b,
        "high": lambda b: value <= b,
        "above": lambda b: value > b,
        "below": lambda b: value < b,
    }
    ranges = {name: getattr(setting, name) for name in bounds}
    own = [bounds[name](bound) for name, bound in ranges.items() if bound is not None]
    return all(own) and (setting.high is not None or value <= largest)


def drawn(kind):
    """Values of a type, in and out of any range, and of others."""
    if kind in (int, float):
        edges = (-1, 0, 1, 31, 32, 256, 2**31, 2**32, 10**400, 0.0, -0.5, 0.999, 1.0, 1e308)
        numbers = st.integers() | st.floats() | st.sampled_from(edges)
        return numbers | st.sampled_from(OTHER_TYPES)
    if kind is str:
        return st.text() | st.sampled_from(OTHER_TYPES)
    if kind is bool or get_origin(kind) is dict:
        return st.sampled_from(OTHER_TYPES)
    if isinstance(kind, UnionType):
        return st.one_of(*map(drawn, get_args(kind)))
    inside = get_args(kind) or (int,)
    member = drawn(inside[0])
    size = len(inside)
    return (
        st.lists(member, max_size=4).map(tuple)
        | st.lists(member, min_size=size, max_size=size).map(tuple)
        | st.sampled_from(OTHER_TYPES)
    )


@pytest.mark.parametrize("key", [k for k in KEYS if get_origin(settings()[k].type) is not dict])
@with_examples
@hypothesis.given(data=st.data())
def test_a_value_passes_exactly_if_it_is_of_the_keys_type_and_in_its_range(key, data):
    setting = settings()[key]
    value = data.draw(drawn(setting.type))
    if setting.choices:
        choices = setting.choices() if callable(setting.choices) else setting.choices
        right = any(type(value) is type(choice) and value == choice for choice in choices)
    else:
        right = fits(value, setting.type, setting)
    config = changed(key, value)
    if not right:
        refusal(config, key)
    elif key not in RULES:  # its value alone decides
        check(config, only=(key,))


@pytest.mark.parametrize("key", [k for k in KEYS if settings()[k].choices])
def test_every_choice_passes(key):
    choices = settings()[key].choices
    for choice in choices() if callable(choices) else choices:
        config = changed(key, choice)
        if key == "model.batch_norm":
            config.model.backbone = "mobilenet_v2"  # which has them all
        if key == "adapt":
            config.optimizer.average = 0.9  # which a teacher needs
        check(config, only=(key,))  # which choices go together is for RULES


def test_the_defaults_pass_and_stay_as_they_are():
    config = default_config()
    before = config.to_dict()
    check(config)
    assert config.to_dict() == before


def numbers_of(kind):
    if kind in (int, float):
        return True
    return any(numbers_of(part) for part in get_args(kind))


@pytest.mark.parametrize("key", KEYS)
def test_every_key_has_a_meaning_and_every_number_a_range(key):
    setting = settings()[key]
    assert setting.meaning and allowed(setting)
    if numbers_of(setting.type) and not setting.choices:
        assert setting.low is not None or setting.above is not None


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("seed", -1, "-1 is negative; give a whole number from 0 to 4294967295"),
        ("seed", 2**32, "4294967296 is too large; give a whole number from 0 to 4294967295"),
        ("seed", True, "True is not a whole number from 0 to 4294967295"),
        ("model.width", 0.0, "0.0 is too small; give a number above 0"),
        ("optimizer.learning_rate", math.nan, "nan is not finite; give a number of at least 0"),
        ("optimizer.momentum", 1.0, "1.0 is too large; give a number of at least 0 and below 1"),
        (
            "adapt_steps",
            10**30,
            f"{10**30} is too large; give a whole number of at least 1, at most ",
        ),
        ("input.size", (16, 64), "(16, 64) is not 2 whole numbers from 32 to 32768"),
        ("evaluation.scales", (), "() is not one or more numbers above 0 and at most 16"),
        ("ppl.distance", "l1", "'l1' is not one of cosine, l2"),
        ("data_dir", None, "None is not a string"),
        ("data_dir", ["x" * 1000], "…"),
    ],
)
def test_the_line_says_what_was_given_and_what_is_right(key, value, words):
    assert words in refusal(changed(key, value), key)


def test_a_number_that_python_does_not_write_out_is_told():
    words = "a whole number of thousands of digits is too large; give a whole number"
    assert words in refusal(changed("stages", 10**5000), "stages")


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"model.style": "tensorflow"}, "model.style"),
        ({"model.style": "caffe", "model.backbone": "mobilenet_v2"}, "model.style"),
        ({"model.output_stride": 4}, "model.output_stride"),
        ({"input.scale": (2.0, 1.0)}, "input.scale"),
        ({"optimizer.decay_steps": 10}, "optimizer.decay_steps"),
        ({"method": "labor_spl", "budget.unit": "points"}, "budget.unit"),
        ({"model.head": "deeplab_v3plus"}, "model.dilations"),
        ({"warmup_steps": 0}, "warmup_steps"),
        ({"source.domain": ""}, "warmup_steps"),
        ({"source.domain": "", "warmup_steps": 0, "method": "uda"}, "source.domain"),
        (
            {"source.domain": "", "warmup_steps": 0, "input.rare_classes": 0.01},
            "input.rare_classes",
        ),
        ({"adapt": "teacher"}, "adapt"),
        ({"adapt": "both"}, "adapt"),
        (
            {"adapt": "teacher", "optimizer.average": 0.9, "input.source_size": (64, 64)},
            "input.source_size",
        ),
        ({"target.domain": ""}, "target.domain"),
        ({"val.domain": ""}, "val.domain"),
    ],
)
def test_values_that_do_not_fit_each_other_are_refused(values, key):
    config = default_config()
    config.update_from_flattened_dict(values)
    refusal(config, key)


@pytest.mark.parametrize(
    ("name", "value"),
    [("focal", -0.5), ("focal", math.inf), ("focal", "much"), ("focal", True), ("a b", 1.0)],
)
def test_the_weight_of_a_loss_of_ones_own_is_a_number_of_zero_or_more(name, value):
    config = default_config()
    config.loss.own[name] = value
    refusal(config, "loss.own")


def test_losses_of_ones_own_pass_by_any_name():
    config = default_config()
    config.loss.own.focal = 0.5
    config.loss.own.dice = 1
    check(config)
    with pytest.raises(AttributeError):
        config.loss.focal = 0.5


def test_a_section_or_a_key_that_is_not_there_is_told():
    refusal(changed("model", None), "model.backbone")
    config = default_config()
    with config.unlocked():
        del config.seed
    refusal(config, "seed")


def test_only_the_keys_that_are_asked_for_are_looked_at():
    config = default_config()
    config.method, config.stages, config.evaluation.scales = "gone_with_its_module", -1, (0.5,)
    check(config, only=("model", "evaluation", "input.size"))
    config.evaluation.scales = (0.0,)
    with pytest.raises(UserError, match=r"^config\.evaluation\.scales: "):
        check(config, only=("model", "evaluation"))
    check(config, only=("model", "input.size"))


def test_checking_imports_no_module_of_a_users(tmp_path, monkeypatch):
    (tmp_path / "strategies_of_mine.py").write_text("raise SystemExit('was imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    config = default_config()
    config.plugins = ("strategies_of_mine",)
    check(config)
