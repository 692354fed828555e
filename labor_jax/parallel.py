"""The one place that maps a pure step over devices: pmap, shard_map or plain jit.

A step is written once as `step(state, batch, *, axis_name)`. `state` is the same on every device
and has no device axis; `batch` is split along its first axis. The three ways compute the same.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

AXIS = "batch"
"""The mapped axis's name, for the sums over devices inside a step."""


def device_count(mode: str) -> int:
    """How many parts a batch is split into: jit is the reference on one device."""
    return 1 if mode == "jit" else jax.local_device_count()


def _split(batch: Any, devices: int) -> Any:
    """[B, ...] arrays to [devices, B / devices, ...]."""
    return jax.tree.map(lambda x: x.reshape(devices, x.shape[0] // devices, *x.shape[1:]), batch)


def _mesh() -> jax.sharding.Mesh:
    return jax.make_mesh(
        (jax.local_device_count(),), (AXIS,), axis_types=(jax.sharding.AxisType.Auto,)
    )


def map_step(step: Callable, mode: str) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Maps `step(state, batch, *, axis_name) -> (state, metrics)`; both come back replicated.

    Args:
      step: sums its gradients and metrics over `axis_name` itself.
      mode: "pmap", "shard_map" or "jit".
    Returns:
      A function of the state, whose buffers may be used up, and a batch of [B, ...] host arrays,
      B divisible by
      `device_count(mode)`.
    """
    if mode == "jit":
        return jax.jit(functools.partial(step, axis_name=None), donate_argnums=0)
    step = functools.partial(step, axis_name=AXIS)
    if mode == "pmap":
        mapped = jax.pmap(step, AXIS, in_axes=(None, 0), out_axes=None)
        return lambda state, batch: mapped(state, _split(batch, jax.local_device_count()))
    # check_vma=False: with its default the gradients would be multiplied by the device count.
    sharded = jax.shard_map(
        step,
        mesh=_mesh(),
        in_specs=(PartitionSpec(), PartitionSpec(AXIS)),
        out_specs=PartitionSpec(),
        check_vma=False,
    )
    return jax.jit(sharded, donate_argnums=0)


def map_inference(infer: Callable, mode: str) -> Callable[[Any, Any], Any]:
    """Maps `infer(state, batch) -> outputs` whose outputs have the batch's first axis.

    Args:
      infer: works on each example alone.
      mode: "pmap", "shard_map" or "jit".
    Returns:
      A function of the state and [B, ...] host arrays, for any B: short batches are padded with
      copies of the last example and the outputs cut again. Gives host arrays.
    """
    if mode == "jit":
        mapped = jax.jit(infer)
    elif mode == "pmap":
        mapped = jax.pmap(infer, AXIS, in_axes=(None, 0), out_axes=0)
    else:
        mapped = jax.jit(
            jax.shard_map(
                infer,
                mesh=_mesh(),
                in_specs=(PartitionSpec(), PartitionSpec(AXIS)),
                out_specs=PartitionSpec(AXIS),
                check_vma=False,
            )
        )
    devices = device_count(mode)

    def run(state: Any, batch: Any) -> Any:
        size = jax.tree.leaves(batch)[0].shape[0]
        missing = -size % devices
        batch = jax.tree.map(lambda x: np.concatenate([x, np.repeat(x[-1:], missing, 0)]), batch)
        out = mapped(state, _split(batch, devices) if mode == "pmap" else batch)
        out = jax.device_get(out)
        if mode == "pmap":
            out = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), out)
        return jax.tree.map(lambda x: x[:size], out)

    return run


def replicate(state: Any, mode: str) -> Any:
    """Puts a host pytree on every device that `mode` uses."""
    if mode == "jit":
        return jax.device_put(state)
    return jax.device_put(state, NamedSharding(_mesh(), PartitionSpec()))
