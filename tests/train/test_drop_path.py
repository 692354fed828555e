"""Branches of DINOv2's blocks that are left out at random in training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import tiny
from support.filling import filled

from labor_jax.config import checking
from labor_jax.models import dinov2
from labor_jax.models.vision_transformer import Size, VisionTransformer, branch_factors
from labor_jax.train import optimizers, parallel, steps
from labor_jax.util.errors import UserError

TINY = Size(12, 3, 2)
IMAGES = np.random.default_rng(0).standard_normal((4, 28, 42, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setitem(dinov2.SIZES, "dinov2_small", TINY)


def test_the_share_of_branches_left_out_grows_linearly_with_the_block_and_their_mean_is_kept():
    keys = jax.random.split(jax.random.key(0), 4000)
    factors = np.asarray(branch_factors(keys, 4, 0.6))
    assert factors.shape == (4, 4000, 2) and factors.dtype == np.float32
    np.testing.assert_allclose((factors == 0).mean((1, 2)), [0, 0.2, 0.4, 0.6], atol=0.02)
    np.testing.assert_allclose(factors.mean((1, 2)), 1, atol=0.04)
    both = (factors == 0).all(-1).mean(1)  # a block's two branches are drawn apart
    np.testing.assert_allclose(both, np.square([0, 0.2, 0.4, 0.6]), atol=0.02)


def test_an_images_branches_depend_on_its_key_alone_and_without_keys_all_are_there():
    network = VisionTransformer(TINY, dinov2.PLAIN, drop_path=0.9, levels=1)
    apply = jax.jit(network.apply)
    variables, keys = filled(network, IMAGES), jax.random.split(jax.random.key(1), 4)
    (whole,) = apply(variables, IMAGES)
    (dropped,) = apply(variables, IMAGES, keys=keys)
    order = np.array([2, 0, 3, 1])
    (others,) = apply(variables, IMAGES[order], keys=keys[order])
    np.testing.assert_allclose(dropped[order], others, rtol=1e-5, atol=1e-5)
    assert not np.allclose(whole, dropped, atol=1e-2)


VALUES = {
    "model.backbone": "dinov2_small",
    "model.output_stride": 14,
    "model.head": "linear",
    "model.drop_path": 0.9,
    "adapt": "none",
    "optimizer.learning_rate": 0.1,
}


def after_a_step(mode: str = "jit", at: int = 10, **values):
    """The segmenter's parameters on the host after the step from number `at`."""
    config = tiny.make_config(**VALUES | values)
    step = functools.partial(
        steps.adapt_step,
        networks=tiny.make_networks(config, None if mode == "jit" else parallel.AXIS),
        optimizers=optimizers.make_optimizers(config),
        config=config,
    )
    batch = tiny.make_batch()
    for part in batch.values():  # labels for each image
        part["label"] = part["image"][..., 0] // 60 % tiny.CLASSES
    start = tiny.make_state(config).replace(step=jnp.int32(at))
    now, _ = parallel.map_step(step, mode)(parallel.replicate(start, mode), batch)
    return jax.device_get(now.segmenter.params["backbone"]["blocks"])


def distance(one, other) -> float:
    apart = jax.tree.map(lambda a, b: np.abs(a - b).max(), one, other)
    return max(jax.tree.leaves(apart))


@pytest.mark.slow
def test_parts_of_a_batch_and_any_mapping_leave_out_the_same_and_each_step_and_seed_others():
    one = after_a_step()
    assert distance(one, after_a_step("shard_map")) < 1e-5
    assert distance(one, after_a_step("pmap")) < 1e-5
    assert distance(one, after_a_step(accumulate=2)) < 1e-5
    assert distance(one, after_a_step(**{"model.remat": True})) < 1e-5
    assert distance(one, after_a_step(at=11)) > 1e-3
    assert distance(one, after_a_step(seed=1)) > 1e-3
    assert distance(one, after_a_step(**{"model.drop_path": 0.0})) > 1e-3


def test_a_backbone_without_branches_to_leave_out_is_told():
    config = tiny.make_config(**{"model.drop_path": 0.1})
    with pytest.raises(UserError, match=r"model\.drop_path: 0\.1, but resnet18 has none; give 0"):
        checking.check(config)
