"""Checkpoints: atomic, kept few, told apart from those of another run."""

import errno
import os
import shutil
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.tiny import like
from support.waiting import PATIENCE

from labor_jax.data.labels import CAMVID, CITYSCAPES
from labor_jax.train import parallel
from labor_jax.train.checkpoint import Checkpoints
from labor_jax.util.errors import UserError


def make_state(value):
    return {
        "step": jnp.int32(value),
        "params": {"kernel": jnp.full((3, 4), value, jnp.float32), "empty": {}},
        "key": jnp.arange(5) * value,
    }


@pytest.fixture
def checkpoints(tmp_path):
    opened = Checkpoints(tmp_path, CAMVID, keep=2)
    yield opened
    opened.close()


def test_without_a_checkpoint_there_is_none(checkpoints):
    assert checkpoints.latest is None and checkpoints.steps == []


def test_a_state_comes_back_as_it_was(tmp_path, checkpoints):
    checkpoints.save(3, make_state(3), wait=True)
    other = Checkpoints(tmp_path, CAMVID)
    assert other.latest == 3
    loaded = other.load(3, like(make_state(0)))
    jax.tree.map(np.testing.assert_array_equal, loaded, make_state(3))
    assert jax.tree.structure(loaded) == jax.tree.structure(make_state(3))
    other.close()


def test_a_part_of_a_state_can_be_asked_for_alone(checkpoints):
    checkpoints.save(3, make_state(3), wait=True)
    loaded = checkpoints.load(3, like({"params": {"kernel": make_state(0)["params"]["kernel"]}}))
    assert jax.tree.map(np.shape, loaded) == {"params": {"kernel": (3, 4)}}
    np.testing.assert_array_equal(loaded["params"]["kernel"], 3)


def test_what_a_checkpoint_lacks_is_named(checkpoints):
    checkpoints.save(3, make_state(3), wait=True)
    wanted = like(make_state(0) | {"selector": {"bias": jnp.zeros(2)}})
    with pytest.raises(UserError, match=r"3 cannot be read \(it does not hold selector\.bias"):
        checkpoints.load(3, wanted)


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_a_state_comes_back_to_the_devices_it_was_on(tmp_path, checkpoints, mode):
    state = parallel.replicate(make_state(3), mode)
    checkpoints.save(3, state, wait=True)
    loaded = checkpoints.load(3, like(state))
    assert loaded["key"].sharding == state["key"].sharding
    assert len(loaded["key"].devices()) == parallel.device_count(mode)


def test_the_newest_two_stay_and_the_one_to_keep(checkpoints):
    for step in range(1, 6):
        checkpoints.save(step, make_state(step), wait=True)
    assert checkpoints.steps == [2, 4, 5]


def test_a_step_is_saved_once(checkpoints):
    checkpoints.save(3, make_state(3), wait=True)
    checkpoints.save(3, make_state(4), wait=True)
    assert checkpoints.load(3, like(make_state(0)))["step"] == 3


def test_a_save_in_the_background_is_whole_when_the_next_begins(checkpoints):
    checkpoints.save(3, make_state(3))
    checkpoints.save(4, make_state(4))
    checkpoints.wait()
    assert checkpoints.steps == [3, 4]


def test_a_state_may_be_changed_while_it_is_saved(checkpoints):
    change = jax.jit(lambda x: jax.tree.map(lambda a: a + 1, x), donate_argnums=0)
    state = jax.device_put({"a": jnp.zeros((500, 500))})
    checkpoints.save(1, state)
    for _ in range(5):
        state = change(state)
    checkpoints.wait()
    assert not checkpoints.load(1, like(state))["a"].any()


def test_a_checkpoint_of_other_classes_is_refused_by_name(tmp_path, checkpoints):
    checkpoints.save(3, make_state(3), wait=True)
    other = Checkpoints(tmp_path, CITYSCAPES)
    with pytest.raises(UserError, match=r"checkpoints/3 was trained with the 11 classes sky, .*19"):
        other.load(3, like(make_state(0)))
    other.close()


# Orbax's threads may outlive their event loop, and say so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("damage", ["data", "metadata", "other shapes"])
def test_a_damaged_checkpoint_is_refused_by_name_and_the_one_before_serves(
    tmp_path, checkpoints, damage
):
    for step in (3, 4):
        checkpoints.save(step, make_state(step), wait=True)
    folder = tmp_path / "checkpoints" / "4"
    wanted = make_state(0)
    if damage == "data":
        for path in folder.rglob("*"):
            if path.is_file() and ("ocdbt" in str(path) or path.parent.name == "d"):
                path.write_bytes(b"")
    elif damage == "metadata":
        for path in folder.rglob("*METADATA*"):
            path.write_bytes(b"{")
    else:
        wanted = like({"step": jnp.int32(0), "other": jnp.zeros(2)})
    other = Checkpoints(tmp_path, CAMVID)
    with pytest.raises(UserError, match=r"checkpoints/4 cannot be read .*delete that folder") as e:
        other.load(4, like(wanted))
    assert "\n" not in str(e.value)
    other.close()
    shutil.rmtree(folder)
    other = Checkpoints(tmp_path, CAMVID)
    assert other.latest == 3
    assert other.load(3, like(make_state(0)))["step"] == 3
    other.close()


def test_a_signal_while_loading_is_no_damage(checkpoints, monkeypatch):
    checkpoints.save(3, make_state(3), wait=True)
    load = checkpoints._checkpointer.load

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return load(*arguments)

    monkeypatch.setattr(checkpoints._checkpointer, "load", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.load(3, like(make_state(0)))


def test_one_bit_that_is_another_is_noticed(tmp_path, checkpoints):
    state = {"kernel": jax.random.normal(jax.random.key(0), (100, 100))}
    checkpoints.save(3, state, wait=True)
    files = [p for p in (tmp_path / "checkpoints" / "3").rglob("*") if p.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 2] ^= 1
    largest.write_bytes(data)
    with pytest.raises(UserError, match=r"3 cannot be read \(the checksum of kernel does not"):
        checkpoints.load(3, like(state))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_not_saved_and_named(checkpoints, value):
    checkpoints.save(3, make_state(3), wait=True)
    bad = make_state(4)
    bad["params"]["kernel"] = bad["params"]["kernel"].at[1, 2:].set(jnp.array([value, -value]))
    with pytest.raises(UserError, match=r"params\.kernel is not finite after step 4, which is not"):
        checkpoints.save(4, bad, wait=True)
    assert checkpoints.steps == [3]


def test_a_full_disk_is_one_line_and_older_checkpoints_stay(tmp_path, checkpoints, monkeypatch):
    checkpoints.save(3, make_state(3), wait=True)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints._checkpointer, "save_async", full)
    with pytest.raises(UserError, match="the disk is full: this checkpoint was not saved"):
        checkpoints.save(4, make_state(4), wait=True)
    assert checkpoints.steps == [3]
    assert checkpoints.load(3, like(make_state(0)))["step"] == 3


@pytest.mark.parametrize("reads_only", [True, False])
def test_looking_at_a_run_leaves_what_it_is_saving_alone(tmp_path, checkpoints, reads_only):
    checkpoints.save(3, make_state(3), wait=True)
    saving = tmp_path / "checkpoints" / "4.orbax-checkpoint-tmp"
    shutil.copytree(tmp_path / "checkpoints" / "3", saving)
    other = Checkpoints(tmp_path, CAMVID, keep=None if reads_only else 2)
    assert other.latest == 3
    deadline = time.monotonic() + (0.5 if reads_only else PATIENCE)
    while saving.is_dir() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert saving.is_dir() == reads_only  # the run itself clears up what a kill left behind
    other.close()
