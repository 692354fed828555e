"""pmap and shard_map on four virtual devices compute what jit computes on one."""

import functools
import itertools
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import tiny

from labor_jax.train import optimizers, parallel, steps

SUPPORT = pathlib.Path(__file__).parents[1] / "support"
MODES = ("jit", "pmap", "shard_map")
STEPS = ("adapt_step", "selector_step")
VARIANTS = {
    "sync": {"optimizer.average": 0.9, "loss.balance": 0.5},
    "frozen": {"model.batch_norm": "frozen"},
    "weights": {"selector.discrepancy": "weights"},
    "parts": {"model.batch_norm": "frozen", "accumulate": 2},
    "remat": {"model.batch_norm": "frozen", "model.remat": True},
}


pytestmark = pytest.mark.usefixtures("shallow")


@pytest.fixture(scope="module")
def stepped():
    """(state, metrics) on the host after one step from one start, by mode, step and variant."""
    assert jax.local_device_count() == 4
    found = {}

    def run(mode, name, variant):
        if (mode, name, variant) not in found:
            config = tiny.make_config(**VARIANTS[variant])
            step = functools.partial(
                getattr(steps, name),
                networks=tiny.make_networks(config, None if mode == "jit" else parallel.AXIS),
                optimizers=optimizers.make_optimizers(config),
                config=config,
            )
            start = tiny.make_state(config)
            # Late enough for the heads to be pushed apart.
            start = parallel.replicate(start.replace(step=np.int32(18)), mode)
            found[mode, name, variant] = jax.device_get(
                parallel.map_step(step, mode)(start, tiny.make_batch())
            )
        return found[mode, name, variant]

    return run


def agree(one, other):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), one, other)


CASES = [
    ("pmap", "adapt_step", "sync"),
    ("shard_map", "selector_step", "sync"),
    pytest.param("pmap", "selector_step", "sync", marks=pytest.mark.slow),
    pytest.param("shard_map", "adapt_step", "sync", marks=pytest.mark.slow),
    pytest.param("pmap", "adapt_step", "frozen", marks=pytest.mark.slow),
    pytest.param("pmap", "selector_step", "weights", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("mode", "name", "variant"), CASES)
def test_devices_together_take_the_step_of_one(stepped, mode, name, variant):
    one_state, one_metrics = stepped("jit", name, variant)
    got_state, got_metrics = stepped(mode, name, variant)
    agree(one_metrics, got_metrics)
    agree(one_state, got_state)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["parts", "remat"])
@pytest.mark.parametrize("name", STEPS)
def test_saving_memory_changes_nothing_of_a_step(stepped, name, variant):
    agree(stepped("jit", name, "frozen"), stepped("jit", name, variant))


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["sync", "frozen"])
def test_any_mapping_to_one_or_four_devices_trains_and_asks_the_same(norm, tmp_path):
    cases = [("1", "jit"), *itertools.product(("1", "4"), ("pmap", "shard_map"))]
    found = []
    for devices, mode in cases:
        out = tmp_path / f"{devices}_{mode}.npz"
        program = [sys.executable, str(SUPPORT / "mapped.py"), devices, mode, norm, str(out)]
        subprocess.run(program, check=True, cwd=SUPPORT.parents[1])
        with np.load(out) as archive:
            found.append(dict(archive))
    for query in (0, 1):
        mask, points = (found[0][f"['query'][{query}]['{name}']"] for name in ("mask", "found"))
        assert 0.01 < mask.mean() < 0.99 and points.any()
    for (devices, mode), other in zip(cases[1:], found[1:], strict=True):
        for name, value in found[0].items():
            if "query" in name:
                np.testing.assert_array_equal(value, other[name], f"{name} {mode} {devices}")
            else:
                np.testing.assert_allclose(
                    value, other[name], atol=1e-5, rtol=1e-5, err_msg=f"{name} {mode} {devices}"
                )


@pytest.mark.parametrize("name", STEPS)
def test_the_step_moves_what_is_compared(stepped, name):
    config = tiny.make_config(**VARIANTS["sync"])
    before = tiny.make_state(config)
    after, metrics = stepped("jit", name, "sync")
    which = "segmenter" if name == "adapt_step" else "selector"
    for part in ("params", "batch_stats", "opt_state"):
        old, new = (jax.tree.leaves(getattr(getattr(s, which), part)) for s in (before, after))
        moved = [abs(a - b).max() > 1e-4 for a, b in zip(old, new, strict=True)]
        assert np.mean(moved) > 0.7, part
    assert all(value > 1e-3 for value in metrics.values())
    moved = jax.tree.map(lambda a, b: abs(a - b).max() > 1e-4, before.average, after.average)
    assert np.any(jax.tree.leaves(moved)) == (name == "adapt_step")


def test_the_batch_is_ignored_unevenly():
    batch = tiny.make_batch()
    counts = (batch["source"]["label"] != 255).sum((1, 2))
    assert counts.min() < 0.05 * counts.max()
    counts = (batch["target"]["label"] != 255).sum((1, 2))
    assert counts.min() == 0 < counts[0] < 0.05 * counts.max()


@pytest.mark.parametrize("mode", MODES)
def test_a_step_takes_the_old_states_memory_for_the_new_one(mode):
    def step(state, batch, axis_name):
        rows = jnp.float32(batch["x"].shape[0])
        total = rows if axis_name is None else jax.lax.psum(rows, axis_name)
        return jax.tree.map(lambda x: x + total, state), {"rows": total}

    mapped = parallel.map_step(step, mode)
    state = parallel.replicate({"a": jnp.zeros(4096), "b": (jnp.ones((8, 3)),)}, mode)
    for _ in range(2):
        before = jax.tree.leaves(state)
        state, _ = mapped(state, {"x": np.zeros((8, 3), np.float32)})
        assert all(leaf.is_deleted() for leaf in before)
    # At the end: on a CPU the host sees the memory itself, which jax 0.11 then gives to no step.
    np.testing.assert_array_equal(state["a"], np.full(4096, 16.0))


@pytest.mark.parametrize("mode", MODES)
def test_inference_gives_every_example_its_own_answer_whatever_the_batch(mode):
    infer = parallel.map_inference(lambda s, b: {"y": s["a"] * b["x"].sum(-1)}, mode)
    scale = parallel.replicate({"a": jnp.float32(2)}, mode)
    for size in (1, 3, 4, 6):
        x = np.arange(size * 3, dtype=np.float32).reshape(size, 3)
        out = infer(scale, {"x": x})["y"]
        assert isinstance(out, np.ndarray)
        np.testing.assert_array_equal(out, 2 * x.sum(-1))


@pytest.mark.parametrize("mode", MODES)
def test_one_example_alone_is_not_copied_to_all_devices(mode):
    worked = []

    def infer(state, batch):
        jax.debug.callback(worked.append, batch["x"].sum())
        return {"y": state["a"] * batch["x"].sum(-1)}

    mapped = parallel.map_inference(infer, mode)
    out = mapped(parallel.replicate({"a": jnp.float32(2)}, mode), {"x": np.ones((1, 3))})
    jax.effects_barrier()
    assert out["y"].tolist() == [6] and len(worked) == 1


def test_a_batch_is_split_over_as_many_devices_as_the_mode_uses():
    assert [parallel.device_count(mode) for mode in MODES] == [1, 4, 4]
    seen = parallel.map_step(
        lambda s, b, axis_name: (s, {"rows": jax.lax.psum(b["x"].shape[0], axis_name)}), "pmap"
    )(jnp.zeros(()), {"x": np.zeros((8, 3))})[1]
    assert seen["rows"] == 8
