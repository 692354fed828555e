"""What the runtime says of devices and memory is told in one line with the keys to turn."""

import os
import subprocess
import sys

import pytest
from support import commands

from labor_jax.util import errors, runtime

KEYS = ("batch_size", "accumulate", "model.remat", "input.size", "eval_batch_size", "--tile")


@pytest.mark.parametrize(
    ("platform", "name"), [("cuda", "run"), ("nonsense", "run"), ("tpu", "benchmark")]
)
def test_a_device_that_is_not_there_is_told_by_the_variable_that_asks_for_it(
    platform, name, tmp_path
):
    flags = ["step"] if name == "benchmark" else ["--config=toytown:quick", "--workdir=run"]
    ended = commands.run(name, *flags, env={"JAX_PLATFORMS": platform}, cwd=tmp_path)
    line = commands.the_line(ended)
    assert line.startswith(f"JAX_PLATFORMS={platform}: JAX cannot use such a device here")
    assert "set it to cpu" in line and not (tmp_path / "run").exists()


def test_memory_that_is_over_is_told_with_the_keys_to_turn():
    for error in (
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 4398046511104 bytes.\nmore"),
        MemoryError("Unable to allocate 3.64 TiB for an array with shape (1000, 1000)"),
        MemoryError(),
    ):
        line = runtime.told(error)
        assert line.startswith("out of memory") and "\n" not in line
        assert all(key in line for key in KEYS)


def test_memory_that_jax_cannot_get_is_one_line(capsys):
    code = """
import sys, jax, jax.numpy as jnp
from labor_jax.util import errors
sys.exit(errors.exit_status(lambda: jax.jit(lambda: jnp.ones(2**42))().block_until_ready()))
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], env=os.environ, capture_output=True, text=True
    )
    line = commands.the_line(commands.Ended(ended.returncode, ended.stdout, ended.stderr))
    assert line.startswith("out of memory on the device") and "batch_size" in line


def test_an_error_of_ours_is_not_taken_for_the_runtimes():
    for error in (AssertionError("ours"), RuntimeError("a mistake"), ValueError("RESOURCE")):
        assert runtime.told(error) == ""
        with pytest.raises(type(error)):
            errors.exit_status(lambda error=error: (_ for _ in ()).throw(error))
