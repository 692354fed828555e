"""Low-rank adapters: where training starts, what a step changes, and what they are merged to."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict
from support import tiny
from support.filling import filled, fresh

from labor_jax.config import checking
from labor_jax.models import adapters, dinov2
from labor_jax.models.build import build_segmenter
from labor_jax.models.vision_transformer import Size
from labor_jax.train import optimizers, parallel, state, steps
from labor_jax.util.errors import UserError

VALUES = {
    "model.backbone": "dinov2_small",
    "model.output_stride": 14,
    "model.head": "linear",
    "model.lora_rank": 3,
    "model.lora_alpha": 6.0,
    "model.weights": "a_file.safetensors",
    "adapt": "none",
    "optimizer.learning_rate": 0.1,
    "optimizer.average": 0.9,
    "selector.learning_rate": 0.5,
}
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 43, 57, 3), np.uint8)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setitem(dinov2.SIZES, "dinov2_small", Size(12, 3, 2))


def networks():
    """The segmenter with adapters and the one without."""
    config = tiny.make_config(**VALUES)
    without = config.model.copy_and_resolve_references()
    without.lora_rank = 0
    return config, *(build_segmenter(model, tiny.CLASSES) for model in (config.model, without))


def logits(network, params):
    return np.asarray(jax.jit(network.apply)({"params": params}, IMAGES)["main"])


def test_training_starts_from_the_frozen_network_bit_for_bit():
    _, network, without = networks()
    base = filled(without, IMAGES)["params"]
    backbone = flatten_dict(fresh(network, IMAGES)["params"], sep="/")
    beside = {path: x for path, x in backbone.items() if adapters.is_adapter(path)}
    shapes = {path.removeprefix("backbone/blocks/"): x.shape for path, x in beside.items()}
    assert shapes == {
        f"adapter_{part}/{name}/kernel": shape
        for part in "qv"
        for name, shape in (("down", (3, 12, 3)), ("up", (3, 3, 12)))
    }
    assert all(np.asarray(x).any() == ("/down/" in path) for path, x in beside.items())
    started = unflatten_dict(flatten_dict(base, sep="/") | beside, sep="/")
    np.testing.assert_array_equal(logits(network, started), logits(without, base))


def test_merged_weights_give_the_same_and_are_those_of_a_network_without_adapters():
    config, network, without = networks()
    params = filled(network, IMAGES)["params"]
    merged = adapters.merged(params, config.model)
    shapes = jax.eval_shape(without.init, jax.random.key(0), IMAGES)["params"]
    assert jax.tree.map(jnp.shape, merged) == jax.tree.map(jnp.shape, shapes)
    found, wanted = logits(without, merged), logits(network, params)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    plain = {path: x for path, x in flatten_dict(params, sep="/").items() if "adapter" not in path}
    assert not np.allclose(logits(without, unflatten_dict(plain, sep="/")), wanted, atol=1e-2)


@functools.cache
def stepped(mode: str, name: str):
    """The state on the host before and after a step of filled networks."""
    config = tiny.make_config(**VALUES)
    step = functools.partial(
        getattr(steps, name),
        networks=tiny.make_networks(config, None if mode == "jit" else parallel.AXIS),
        optimizers=optimizers.make_optimizers(config),
        config=config,
    )
    start = tiny.make_state(config)
    now, _ = parallel.map_step(step, mode)(parallel.replicate(start, mode), tiny.make_batch())
    return start, jax.device_get(now)


def trained_paths(heads):
    own = {
        f"backbone/blocks/adapter_{part}/{name}/kernel" for part in "qv" for name in ("down", "up")
    }
    return own | {f"{head}/{name}" for head in heads for name in ("kernel", "bias")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "part", "heads"),
    [
        ("adapt_step", "segmenter", ("main",)),
        ("selector_step", "selector", ("c1", "c2")),
    ],
)
def test_a_step_trains_and_keeps_moments_of_adapters_and_heads_alone(name, part, heads):
    start, now = stepped("jit", name)
    old, new = (flatten_dict(getattr(x, part).params, sep="/") for x in (start, now))
    assert new.keys() == trained_paths(heads)
    assert all(np.abs(new[path] - old[path]).max() > 1e-5 for path in new)
    moments = sum(leaf.size for leaf in jax.tree.leaves(getattr(now, part).opt_state))
    assert moments == sum(leaf.size for leaf in new.values()) + 1  # and the count of steps
    jax.tree.map(np.testing.assert_array_equal, start.segmenter.fixed, now.segmenter.fixed)
    assert "qkv" in now.segmenter.fixed["backbone"]["blocks"]
    assert now.average.fixed == {} and now.selector.fixed == {}
    averaged = flatten_dict(now.average.params, sep="/")
    assert averaged.keys() == trained_paths(("main",))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["pmap", "shard_map"])
@pytest.mark.parametrize("name", ["adapt_step", "selector_step"])
def test_devices_together_train_the_adapters_that_one_does(mode, name):
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5),
        stepped("jit", name)[1],
        stepped(mode, name)[1],
    )


@pytest.mark.slow
def test_the_selector_starts_with_the_adapters_of_what_is_shipped():
    config = tiny.make_config(**VALUES)
    before = tiny.make_state(config)
    now = state.start_selector(before, config, tiny.CLASSES, stage=1)
    assert now.selector.fixed == {}
    for kind in ("adapter_q", "adapter_v"):
        jax.tree.map(
            np.testing.assert_array_equal,
            now.selector.params["backbone"]["blocks"][kind],
            before.average.params["backbone"]["blocks"][kind],
        )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model.weights": ""}, r"model\.weights: with model\.lora_rank it must be a file"),
        ({"model.freeze": True, "optimizer.average": 0.0}, r"model\.lora_rank: with model\.freeze"),
        ({"model.backbone": "resnet18", "model.output_stride": 8}, "but resnet18 has none"),
    ],
)
def test_what_adapters_cannot_do_without_is_told(values, message):
    with pytest.raises(UserError, match=message):
        checking.check(tiny.make_config(**VALUES | values))
