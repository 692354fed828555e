"""Every mapped step lowers for cpu, cuda and tpu on a machine that has none of the last two."""

import functools
import re

import jax
import numpy as np
import pytest
from jax.sharding import Mesh, PartitionSpec
from support import tiny

from labor_jax.infer import steps as infer_steps
from labor_jax.selection import strategies
from labor_jax.train import optimizers, parallel, steps

PLATFORMS = ("cpu", "cuda", "tpu")
SIZE = (24, 30)


@pytest.fixture(scope="module", autouse=True)
def shallow():
    with pytest.MonkeyPatch.context() as patch:
        tiny.shallow(patch)
        yield


def mapped_step(name, mode):
    config = tiny.make_config()
    step = functools.partial(
        getattr(steps, name),
        networks=tiny.make_networks(config, None if mode == "jit" else parallel.AXIS),
        optimizers=optimizers.make_optimizers(config),
        config=config,
    )
    if mode == "shard_map":  # `map_step` places host arrays first, which cannot be traced
        mesh = Mesh(np.array(jax.devices()), (parallel.AXIS,))
        step = functools.partial(step, axis_name=parallel.AXIS)
        return jax.jit(parallel.shard(step, mesh, PartitionSpec()))
    return jax.jit(parallel.map_step(step, mode))  # jax.export takes pmap only inside jit


def check(text):
    """No operation calls back to the host, and no dimension is left open."""
    for target in re.findall(r"custom_call @(\w+)", text):
        assert "callback" not in target, target
    assert not re.search(r"stablehlo\.(infeed|outfeed|send|recv)\b", text)
    assert not re.search(r"tensor<[^>]*\?", text)


@pytest.mark.parametrize("mode", ["jit", pytest.param("pmap", marks=pytest.mark.slow), "shard_map"])
@pytest.mark.parametrize("name", ["adapt_step", "selector_step"])
def test_a_step_is_exported_for_every_platform(name, mode):
    start, batch = tiny.make_state(tiny.make_config()), tiny.make_batch()
    exported = jax.export.export(mapped_step(name, mode), platforms=PLATFORMS)(start, batch)
    assert exported.platforms == PLATFORMS
    assert exported.nr_devices == (1 if mode == "jit" else jax.device_count())
    check(exported.mlir_module())
    out, _ = exported.out_tree.unflatten(exported.out_avals)
    assert jax.tree.map(np.shape, out) == jax.tree.map(np.shape, start)


@pytest.mark.parametrize("name", ["query", "predict"])
def test_inference_is_exported_for_every_platform(name):
    config = tiny.make_config()
    start, images = tiny.make_state(config), tiny.make_batch()["target"]["image"]
    infer = functools.partial(
        getattr(infer_steps, name), networks=tiny.make_networks(config, None), size=SIZE
    )
    arguments = (start.segmenter, images)
    if name == "query":
        infer = functools.partial(infer, number=8, config=config)
        batch = {"taken": np.zeros((len(images), *SIZE), bool)}
        batch["key"] = np.zeros((len(images), 2), np.uint32)
        arguments = (start, {"image": images} | batch)
    exported = jax.export.export(jax.jit(infer), platforms=PLATFORMS)(*arguments)
    assert exported.platforms == PLATFORMS
    check(exported.mlir_module())


@pytest.mark.parametrize("method", strategies.names())
def test_every_strategy_is_exported_for_every_platform(method):
    config = tiny.make_config(method=method)
    coarse = jax.ShapeDtypeStruct((2, 3, 4, tiny.CLASSES), np.float32)
    maps = dict.fromkeys(("main", "c1", "c2", "features"), coarse)
    maps["taken"] = jax.ShapeDtypeStruct((2, *SIZE), bool)
    maps["key"] = jax.ShapeDtypeStruct((2, 2), np.uint32)
    select = functools.partial(infer_steps.select, size=SIZE, number=8, config=config)
    exported = jax.export.export(jax.jit(select), platforms=PLATFORMS)(maps)
    assert exported.platforms == PLATFORMS
    check(exported.mlir_module())


def test_a_call_to_the_host_would_be_found():
    def telling(x):
        jax.debug.print("{}", x)
        return x

    text = jax.jit(telling).lower(np.float32(1)).as_text()
    with pytest.raises(AssertionError):
        check(text)
