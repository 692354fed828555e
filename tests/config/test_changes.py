"""In what two configs differ, and configs of older versions."""

import pathlib

import pytest

from labor_jax.config import default_config, load
from labor_jax.config.changes import Change, differences, flat
from labor_jax.config.checking import check
from labor_jax.config.files import from_dict
from labor_jax.config.schema import settings
from labor_jax.util import files

HERE = pathlib.Path(__file__).parent
HOW = {
    "data_dir",
    "parallel",
    "checkpoint_every",
    "checks.known",
    "checks.share",
    "frozen.cache_gb",
    "images_a_device",
    "live.answers",
    "live.save",
    "live.seconds",
    "log_every",
    "model.accept_licence",
    "warmup_from",
    "plugins",
    "trust",
    "verify.blind",
}


def another(setting):
    """A value that a key does not have by default."""
    if setting.key == "loss.own":
        return {"focal": 1.0}
    if isinstance(setting.default, tuple):
        return (*setting.default, "more")
    return f"{setting.default}, other"


@pytest.mark.parametrize("key", sorted(settings()))
def test_two_runs_are_the_same_run_only_where_a_key_says_how_it_is_done(key):
    old = default_config()
    new = old.to_dict()
    *path, name = key.split(".")
    section = new
    for part in path:
        section = section[part]
    section[name] = another(settings()[key])
    changed = differences(old, new)
    assert len(changed) == (key not in HOW)
    assert all(change.key.startswith(key) and change.old != change.new for change in changed)


def test_a_change_is_data_and_is_told_with_both_values():
    old, new = default_config(), default_config()
    new.data_dir, new.parallel, new.log_every = "elsewhere", "jit", 3
    new.plugins = ("mine",)  # runs that are there stand beside those of one's own method
    assert differences(old.to_dict(), new) == []
    new.optimizer.clip, new.model.dilations = 1.0, (6, 12)
    found = differences(old.to_dict(), new)
    assert found[0] == Change("model.dilations", [6, 12, 18, 24], [6, 12])
    assert list(map(str, found)) == [
        "model.dilations (was [6, 12, 18, 24], now [6, 12])",
        "optimizer.clip (was 0.0, now 1.0)",
    ]


@pytest.mark.parametrize(
    ("key", "since"),
    [
        ("optimizer.power", "warmup"),
        ("loss.own.focal", "warmup"),
        ("key.of.a.later.version", "warmup"),
        ("selector.steps", "selector"),
        ("budget.unit", "query"),
        ("noisy.error", "annotate"),
        ("stop.plateau", "adapt"),
        ("val.split", "evaluate"),
    ],
)
def test_a_change_tells_the_phase_from_which_on_it_matters(key, since):
    assert Change(key, 0, 1).since == since


def test_the_config_of_an_older_version_is_the_same_run_today():
    older = files.read_json(HERE / "config_of_an_older_version.json")
    assert "strategies" in older and "plugins" not in older
    read = from_dict(older)
    check(read)
    today = load("toytown:quick")
    assert differences(read, today) == []
    assert read.to_dict() == today.to_dict()
    read.loss.own.focal = 1.0  # open, as in a new config
    assert set(flat(read)) == {*flat(today), "loss.own.focal"}


def test_the_modules_of_an_older_version_are_plugins():
    older = files.read_json(HERE / "config_of_an_older_version.json")
    older["strategies"] = ["my_strategies"]
    assert from_dict(older).plugins == ("my_strategies",)


def test_a_run_of_a_version_without_a_key_did_what_its_default_says():
    config = load("toytown")
    older = config.to_dict()
    del older["evaluation"], older["input"]["source_size"]
    assert from_dict(older).to_dict() == config.to_dict()


def test_self_training_of_an_older_version_is_dropped_where_it_was_off_and_told_where_it_was_on():
    older = default_config().to_dict()
    older["loss"] |= {"self_training": 0.0, "self_above": 0.7}
    assert from_dict(older).to_dict() == default_config().to_dict()
    older["loss"]["self_training"] = 1.0
    assert differences(from_dict(older), default_config()) == [
        Change("loss.self_above", 0.7, None),
        Change("loss.self_training", 1.0, None),
    ]


def test_a_mobilenet_of_an_older_version_has_its_batch_norm_folded_in():
    older = default_config().to_dict()
    older["model"]["backbone"] = "mobilenet_v2"
    assert from_dict(older).model.batch_norm == "sync"
    del older["model"]["head"]  # that version had no such key
    assert from_dict(older).model.batch_norm == "folded"


def test_a_key_of_a_later_version_is_read_and_told():
    later = default_config().to_dict()
    later["model"]["depth"] = 3
    assert differences(from_dict(later), default_config()) == [Change("model.depth", 3, None)]
