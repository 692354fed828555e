"""The plan of a run on many devices, made without compiling: batch, steps and learning rates."""

import pathlib

import jax
import pytest
from support import tiny

from labor_jax.config import files
from labor_jax.loop import plan
from labor_jax.train import batch
from labor_jax.util.errors import UserError

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
OF_THE_PAPER = [f"{s}_cityscapes_{m}" for s in ("gta5", "synthia") for m in ("spl", "ppl")]


def images(phase, config):
    return (phase.last - phase.first) * config.batch_size


@pytest.mark.parametrize("devices", [1, 4, 8, 32, 256])
@pytest.mark.parametrize("name", OF_THE_PAPER)
def test_the_papers_configs_plan_as_they_stand_and_see_as_many_images(name, devices):
    asked = files.load(str(CONFIGS / f"{name}.py"))
    config = batch.carried_over(asked, devices)
    assert config.batch_size == 2 * devices
    before, now = plan.phases(asked), plan.phases(config)
    assert [(p.name, p.stage) for p in now] == [(p.name, p.stage) for p in before]
    for old, new in zip(before, now, strict=True):
        assert 0 <= images(new, config) - images(old, asked) < config.batch_size
    assert config.optimizer.learning_rate == pytest.approx(2.5e-4 * devices)
    assert config.adversarial.learning_rate == pytest.approx(1e-4 * devices**0.5)
    assert batch.carried_over(config, devices).to_dict() == config.to_dict()


def test_a_batch_carried_over_stays_the_same_run_on_fewer_devices_with_more_images_each():
    wide = batch.carried_over(tiny.make_config(images_a_device=1), 16)
    narrow = wide.copy_and_resolve_references()
    narrow.images_a_device = 4
    assert batch.carried_over(narrow, 4).to_dict() == narrow.to_dict()


def test_adam_and_moving_averages_follow_their_own_rules():
    asked = tiny.make_config(images_a_device=4)
    asked.optimizer.name, asked.optimizer.average, asked.optimizer.warmup = "adamw", 0.99, 10
    config = batch.carried_over(asked, 4)
    assert config.batch_size == 4 * asked.batch_size
    assert config.optimizer.learning_rate == pytest.approx(2 * asked.optimizer.learning_rate)
    assert config.selector.learning_rate == pytest.approx(4 * asked.selector.learning_rate)
    assert config.optimizer.average == pytest.approx(0.99**4)
    assert config.optimizer.warmup == 3


def test_a_batch_of_all_devices_is_the_same_run_on_any_number_that_divides_it():
    asked = tiny.make_config(batch_size=8)
    assert all(batch.carried_over(asked, n) is asked for n in (1, 2, 4, 8))
    with pytest.raises(UserError, match=r"config\.batch_size: 8 images .* 16 devices .* or config"):
        batch.carried_over(asked, 16)


def test_images_a_device_that_parts_do_not_divide_are_refused():
    with pytest.raises(UserError, match=r"config\.images_a_device: 3 images .* 2 parts"):
        batch.carried_over(tiny.make_config(images_a_device=3, accumulate=2), 4)


def test_several_processes_that_would_each_train_a_model_of_its_own_are_refused(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(UserError, match=r"config\.parallel: jit .* 2 processes .* shard_map"):
        batch.on_devices(tiny.make_config(parallel="jit"))
    assert batch.on_devices(tiny.make_config(parallel="pmap")).batch_size == tiny.BATCH
