"""Paths in a config are how a run is done: data may move."""

import pytest

from labor_jax.config import default_config, places
from labor_jax.config.changes import differences, moves
from labor_jax.config.schema import settings
from labor_jax.util.errors import UserError

PATHS = sorted(key for key, setting in settings().items() if setting.path)


def changed(key, value):
    config = default_config()
    config.update_from_flattened_dict({key: value})
    return config


def value_of(config, key):
    for part in key.split("."):
        config = config[part]
    return config


def test_the_keys_that_are_paths_are_known():
    of_domains = {
        f"{name}.{key}" for name in places.DOMAINS for key in ("images", "labels", "manual_dir")
    }
    assert set(PATHS) == of_domains | {
        "beside",
        "data_dir",
        "model.weights",
        "replay",
        "warmup_from",
    }


@pytest.mark.parametrize("key", PATHS)
def test_the_tilde_is_home_in_each_and_an_address_is_refused_by_the_key(key, monkeypatch):
    monkeypatch.setenv("HOME", "/people/ana")
    config = changed(key, "~/x.pth")
    assert value_of(places.localized(config), key) == "/people/ana/x.pth"
    assert value_of(config, key) == "~/x.pth", "the given one is left alone"
    with pytest.raises(UserError, match=rf"^config\.{key}: 's3://b/x' is an address"):
        places.localized(changed(key, "s3://b/x"))


def test_what_is_no_path_stays(monkeypatch):
    config = changed("model.weights", "imagenet")
    assert places.localized(config).to_dict() == config.to_dict()


@pytest.mark.parametrize("key", PATHS)
def test_a_run_is_the_same_where_its_data_has_moved(key):
    old, new = changed(key, "/old/x.pth"), changed(key, "/new/deep/x.pth")
    assert not differences(old, new)
    how = {"data_dir", "warmup_from"}
    told = [] if key in how else [f"{key} (was '/old/x.pth', now '/new/deep/x.pth')"]
    assert [str(change) for change in moves(old, new)] == told


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("target.labels", "", "/labels"),
        ("val.labels", "/labels", ""),
        ("model.weights", "", "/w/a.pth"),
        ("model.weights", "imagenet", "/w/a.pth"),
        ("model.weights", "/w/a.pth", "/w/b.pth"),
    ],
)
def test_a_run_is_another_with_other_weights_or_with_and_without_labels(key, old, new):
    (change,) = differences(changed(key, old), changed(key, new))
    assert change.key == key and not moves(changed(key, old), changed(key, new))
