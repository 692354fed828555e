"""The one place that maps a pure step over devices: pmap, shard_map or plain jit.

A step is written once as `step(state, batch, *, axis_name)`. `state` is the same on every device
and has no device axis; `batch` is split along its first axis. The three ways compute the same, on
any number of devices of any number of processes.

Where several processes run, a state has two forms. One is on this process's devices, for pmap and
for inference. The other is on all devices, for shard_map and for checkpoints. Both are views of the
same memory.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "batch"
"""The mapped axis's name, for the sums over devices inside a step."""


def device_count(mode: str) -> int:
    """How many devices a batch is split over; with "jit", the reference, it is one."""
    return 1 if mode == "jit" else jax.device_count()


def _mesh(everywhere: bool) -> Mesh:
    """All devices of this process, or of all processes."""
    devices = jax.devices() if everywhere else jax.local_devices()
    return Mesh(np.array(devices), (AXIS,), axis_types=(jax.sharding.AxisType.Auto,))


def _replicated(everywhere: bool) -> NamedSharding:
    return NamedSharding(_mesh(everywhere), PartitionSpec())


def _split(batch: Any, devices: int) -> Any:
    """[B, ...] arrays to [devices, B / devices, ...]."""
    return jax.tree.map(lambda x: x.reshape(devices, x.shape[0] // devices, *x.shape[1:]), batch)


def map_step(step: Callable, mode: str) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Maps `step(state, batch, *, axis_name) -> (state, metrics)`; both come back replicated.

    Args:
      step: sums its gradients and metrics over `axis_name` itself.
      mode: "pmap", "shard_map" or "jit".
    Returns:
      A function of the state, whose buffers the new one takes, and a batch of [B, ...] host arrays:
      this process's share of one that `device_count(mode)` divides.
    """
    if mode == "jit":
        return jax.jit(functools.partial(step, axis_name=None), donate_argnums=0)
    step = functools.partial(step, axis_name=AXIS)
    if mode == "pmap":
        mapped = jax.pmap(step, AXIS, in_axes=(None, 0), out_axes=None, donate_argnums=0)
        return lambda state, batch: mapped(state, _split(batch, jax.local_device_count()))
    mesh = _mesh(everywhere=True)
    mapped = jax.jit(shard(step, mesh, PartitionSpec()), donate_argnums=0)
    by_rows = NamedSharding(mesh, PartitionSpec(AXIS))
    place = functools.partial(jax.make_array_from_process_local_data, by_rows)
    return lambda state, batch: mapped(state, jax.tree.map(place, batch))


def shard(function: Callable, mesh: Mesh, out_specs: PartitionSpec) -> Callable:
    """Maps `function(state, batch)` over a mesh, with the batch split along its first axis."""
    return jax.shard_map(
        function,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec(AXIS)),
        out_specs=out_specs,
        check_vma=False,  # True, the default, would multiply gradients by the number of devices
    )


def map_inference(infer: Callable, mode: str) -> Callable[[Any, Any], Any]:
    """Maps `infer(state, batch) -> outputs` whose outputs have the batch's first axis.

    Each process works on its own examples with its own devices, however many the others have.

    Args:
      infer: works on each example alone.
      mode: "pmap", "shard_map" or "jit".
    Returns:
      A function of the state in any form and [B, ...] host arrays, for any B: batches that the
      devices do not divide are padded with copies of the last example and the outputs cut again.
      One example alone is one device's work. Gives host arrays.
    """
    devices = 1 if mode == "jit" else jax.local_device_count()
    alone = mapped = jax.jit(infer)
    if mode == "pmap":
        mapped = jax.pmap(infer, AXIS, in_axes=(None, 0), out_axes=0, devices=jax.local_devices())
    elif mode == "shard_map":
        mapped = jax.jit(shard(infer, _mesh(everywhere=False), PartitionSpec(AXIS)))

    def run(state: Any, batch: Any) -> Any:
        size = jax.tree.leaves(batch)[0].shape[0]
        if size == 1:
            return jax.device_get(alone(_of_device(state), batch))
        missing = -size % devices
        batch = jax.tree.map(lambda x: np.concatenate([x, np.repeat(x[-1:], missing, 0)]), batch)
        out = mapped(of_process(state), _split(batch, devices) if mode == "pmap" else batch)
        out = jax.device_get(out)
        if mode == "pmap":
            out = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), out)
        return jax.tree.map(lambda x: x[:size], out)

    return run


def replicate(state: Any, mode: str) -> Any:
    """Copies a pytree, the same in every process, to every device that `mode` trains on."""
    if mode == "jit":
        return jax.device_put(state)
    if mode == "pmap" or jax.process_count() == 1:
        return jax.device_put(state, _replicated(everywhere=False))
    return of_all(jax.device_put(state, _replicated(everywhere=False)))


def placed(shapes: Any, mode: str) -> Any:
    """`jax.ShapeDtypeStruct`s with the sharding in which a checkpoint is to be loaded."""
    here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    sharding = here if mode == "jit" else _replicated(everywhere=True)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)


def of_process(state: Any) -> Any:
    """The state on this process's devices alone."""
    return state if jax.process_count() == 1 else _view(state, _replicated(everywhere=False))


def _of_device(state: Any) -> Any:
    """The state on this process's first device alone."""

    def view(x: Any) -> Any:
        return x.addressable_shards[0].data if isinstance(x, jax.Array) else x

    return jax.tree.map(view, state)


def of_all(state: Any) -> Any:
    """The state on all devices of all processes, the form that checkpoints have."""
    return state if jax.process_count() == 1 else _view(state, _replicated(everywhere=True))


def _view(state: Any, sharding: NamedSharding) -> Any:
    def view(x: jax.Array) -> jax.Array:
        here = [shard.data for shard in x.addressable_shards]
        return jax.make_array_from_single_device_arrays(x.shape, sharding, here)

    return jax.tree.map(view, state)
