"""A config's programs compiled for TPUs that are not there: do they fit, and what limits them.

libtpu compiles for any topology on a machine without a TPU. Only one process can load it at a time.
"""

import functools
import os
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from labor_jax.benchmark import device
from labor_jax.benchmark import work as w
from labor_jax.benchmark.traffic import operations, traffic
from labor_jax.config.checking import check
from labor_jax.config.places import localized
from labor_jax.data import loading, transforms
from labor_jax.infer import restore
from labor_jax.infer import steps as infer_steps
from labor_jax.infer.feature_cache import BATCH
from labor_jax.loop import asking
from labor_jax.selection import strategies
from labor_jax.train import batch, optimizers, parallel, state, steps
from labor_jax.util import plugins
from labor_jax.util.errors import UserError

__all__ = [
    "ASKED",
    "MEMORY",
    "OPTIONS",
    "PROGRAMS",
    "TRAINED",
    "Program",
    "Values",
    "compile_for",
    "run",
]

MEMORY = {"TPU v4": 30.75, "TPU v5 lite": 15.75, "TPU v5": 95.74, "TPU v6 lite": 31.25}
"""GiB that a program may have of a device, by its kind, as libtpu's compiler tells it."""
OPTIONS = {"v4": {"chip_config_name": "megacore"}}
"""How a generation's topology is asked for, such that a device is a whole chip, as it is in use."""

TRAINED = ("adapt", "selector")
ASKED = ("labor_spl", "labor_ppl")
PROGRAMS = (
    *(*TRAINED, "features"),
    *(*(f"query_{method}" for method in ASKED), "query", "evaluate", "predict"),
)
"""By the names of --programs; `query` is the config's own method."""

Values = dict[str, Any]


class Program(NamedTuple):
    """A step with the shapes of its arguments.

    Attributes:
      function: of (state, batch), as a device runs it.
      state: the same on each device.
      batch: [B, ...], split over the devices.
      trains: whether the new state takes the old one's memory.
    """

    function: Callable[[Any, Any], Any]
    state: Any
    batch: Any
    trains: bool


def run(config: ml_collections.ConfigDict, topology: str, only: list[str]) -> Values:
    """What each program of a config needs on one device of a topology.

    Args:
      topology: such as "v5e:2x4".
      only: of PROGRAMS; [] = all that the config has.
    Returns:
      {"topology", "devices", "device", "programs": {name: what `compile_for` returns}}.
    Raises:
      UserError: libtpu is missing or in use, or there is no such topology or program.
    """
    if unknown := [name for name in only if name not in PROGRAMS]:
        raise UserError(f"--programs: {unknown[0]!r} is not one of {', '.join(PROGRAMS)}")
    plugins.load(config.plugins)
    config = localized(config)
    check(config)
    devices = _devices(topology)
    config = batch.carried_over(config, len(devices))
    target, memory = _rates(devices[0])
    mesh = Mesh(np.array(devices), (parallel.AXIS,), axis_types=(jax.sharding.AxisType.Auto,))
    made = _programs(config, len(devices))
    found = {
        name: compile_for(mesh, make(), target, memory)
        for name, make in made.items()
        if not only or name in only
    }
    return {
        "topology": topology,
        "devices": len(devices),
        "device": target._asdict(),
        "programs": found,
    }


def _devices(topology: str) -> list[Any]:
    """The devices of a topology, which are not there."""
    # Without these libtpu would ask the network what machine this is, and JAX would look for TPUs.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    jax.config.update("jax_platforms", "cpu")
    try:
        options = OPTIONS.get(topology.partition(":")[0], {})
        found = topologies.get_topology_desc(platform="tpu", topology_name=topology, **options)
        return list(found.devices)
    except Exception as error:  # JAX and libtpu raise what they like
        text = " ".join(str(error).split())
        if "libtpu" in text and re.search(r"already in use|lockfile", text):
            why = (
                "another process has libtpu, which only one can load at a time; wait for it (any "
                "JAX program loads it that was not started with JAX_PLATFORMS=cpu)"
            )
        elif "TPU support not installed" in text:
            why = "libtpu is missing; pip install 'labor_jax[tpu]' (Linux on x86-64)"
        else:
            why = f"{text[:200]}; give one such as v4:2x2x1, v5e:2x4, v5p:2x2x1 or v6e:2x2"
        raise UserError(f"--topology: {topology!r}: {why}") from None


def _rates(one: Any) -> tuple[device.Device, float]:
    """The peak rates of a topology's device, and the bytes of its memory for programs."""
    found = device.named(one.device_kind)
    if found is None or found.kind not in MEMORY:
        raise UserError(
            f"--topology: the rates of {one.device_kind} are not known; there are "
            f"{', '.join(MEMORY)}"
        )
    return found, 2**30 * MEMORY[found.kind]


def compile_for(mesh: Mesh, program: Program, target: device.Device, memory: float) -> Values:
    """Compiles a program for a mesh's devices.

    Args:
      target: a device's peak rates.
      memory: bytes of its memory.
    Returns:
      "fits"; what does not, as the compiler tells it ("told"); or else, in bytes a device,
      "arguments", "outputs" (without what takes the arguments' memory), "temporaries", "code",
      "held" (all of these) and "free" of the device's memory; "flops" of products and convolutions;
      "bytes" to and from memory, "collective_bytes"; "seconds" by roofline and "bound", what limits
      them; "compile_seconds". What does not fit has "flops" and "compile_seconds" alone.
    """
    split, whole = PartitionSpec(parallel.AXIS), PartitionSpec()
    mapped = jax.jit(
        parallel.shard(program.function, mesh, whole if program.trains else split),
        donate_argnums=0 if program.trains else (),
    )

    def placed(tree: Any, spec: PartitionSpec) -> Any:
        sharding = NamedSharding(mesh, spec)
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
        )

    traced = mapped.trace(placed(program.state, whole), placed(program.batch, split))
    lowered, start = traced.lower(), time.perf_counter()
    try:
        compiled = lowered.compile()
    except Exception as error:  # XLA's errors have no class for each reason
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return {
            "fits": False,
            "told": str(error).splitlines()[0].removeprefix("RESOURCE_EXHAUSTED: "),
            "flops": operations(traced.jaxpr.jaxpr),
            "compile_seconds": time.perf_counter() - start,
        }
    taken = time.perf_counter() - start
    sizes, moved = compiled.memory_analysis(), traffic(compiled.as_text() or "")
    flops = operations(traced.jaxpr.jaxpr)
    assert sizes is not None
    arguments, temporaries = sizes.argument_size_in_bytes, sizes.temp_size_in_bytes
    outputs = sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    code = sizes.generated_code_size_in_bytes
    bounds = {"arithmetic": flops / target.flops, "memory": moved.memory / target.bandwidth}
    bound = max(bounds, key=bounds.__getitem__)
    held = arguments + outputs + temporaries + code
    return {
        "fits": True,
        "arguments": arguments,
        "outputs": outputs,
        "temporaries": temporaries,
        "code": code,
        "held": held,
        "free": memory - held,
        "flops": flops,
        "bytes": moved.memory,
        "collective_bytes": moved.collective,
        "seconds": bounds[bound],
        "bound": bound,
        "compile_seconds": taken,
    }


def _programs(config: ml_collections.ConfigDict, devices: int) -> dict[str, Callable[[], Program]]:
    """A config's programs, each made when it is called."""
    classes = len(loading.table_from_config(config.classes))
    selects = strategies.needs_selector(config.method)
    made: dict[str, Callable[[], Program]] = {}
    if config.model.freeze:
        made["features"] = functools.partial(_features, config, classes, devices)
    else:
        made["adapt"] = functools.partial(_training, config, classes, "adapt")
    if selects:
        made["selector"] = functools.partial(_training, config, classes, "selector")
    for method in dict.fromkeys((*(ASKED if selects else ()), config.method)):
        if strategies.chooses(method):
            name = f"query_{method}" if method in ASKED else "query"
            made[name] = functools.partial(_query, config, classes, method, devices)
    made["evaluate"] = functools.partial(_prediction, config, classes, "val", devices)
    made["predict"] = functools.partial(_prediction, config, classes, "target", devices)
    return made


def _training(config: ml_collections.ConfigDict, classes: int, name: str) -> Program:
    rows = {}
    for domain in ("source", "target"):
        shape = (config.batch_size, *transforms.view_size(config.input, domain))
        if config[domain].domain and (name == "adapt" or domain == "target"):
            seen = _seen(config, classes, shape)
            cells = seen[0].shape[:3] if config.model.freeze else shape
            rows[domain] = {"image": seen, "label": jax.ShapeDtypeStruct(cells, jnp.uint8)}
            if transforms.keeps_colours(config, domain):
                rows[domain]["inside"] = jax.ShapeDtypeStruct(shape, jnp.bool_)
    function = functools.partial(
        getattr(steps, f"{name}_step"),
        networks=state.make_networks(config, classes, parallel.AXIS),
        optimizers=optimizers.make_optimizers(config),
        config=config,
        axis_name=parallel.AXIS,
    )
    start = state.state_shapes(config, classes, selector=name == "selector")
    return Program(function, start, rows, trains=True)


def _seen(config: ml_collections.ConfigDict, classes: int, shape: tuple[int, ...]) -> Any:
    """What the networks see of images [B, H, W]: these, or a frozen backbone's levels of them."""
    images = jax.ShapeDtypeStruct((*shape, 3), jnp.uint8)
    if not config.model.freeze:
        return images
    networks = state.make_networks(config, classes, axis_name=None)
    levels = functools.partial(infer_steps.features, networks=networks)
    return tuple(jax.eval_shape(levels, state.state_shapes(config, classes).segmenter, images))


def _features(config: ml_collections.ConfigDict, classes: int, devices: int) -> Program:
    function = functools.partial(
        infer_steps.features, networks=state.make_networks(config, classes, axis_name=None)
    )
    images = jax.ShapeDtypeStruct((devices * BATCH, *config.input.size, 3), jnp.uint8)
    start = state.state_shapes(config, classes).segmenter.replace(opt_state=())
    return Program(function, start, images, trains=False)


def _query(config: ml_collections.ConfigDict, classes: int, method: str, devices: int) -> Program:
    config = config.copy_and_resolve_references()
    config.method = method
    size = w.native_size(config.target, config.input.size)
    function = functools.partial(
        infer_steps.query,
        networks=state.make_networks(config, classes, axis_name=None),
        size=size,
        number=asking.most(config, size),
        config=config,
    )
    rows = {
        "image": _seen(config, classes, (devices, *config.input.size)),
        "taken": jax.ShapeDtypeStruct((devices, *size), jnp.bool_),
        "key": jax.ShapeDtypeStruct((devices, 2), jnp.uint32),
    }
    start = state.state_shapes(config, classes, strategies.needs_selector(method))
    return Program(function, start, rows, trains=False)


def _prediction(
    config: ml_collections.ConfigDict, classes: int, domain: str, devices: int
) -> Program:
    views = restore.views(config)
    function = functools.partial(
        infer_steps.predict,
        networks=state.make_networks(config, classes, axis_name=None),
        size=w.native_size(config[domain], config.input.size),
        views=views,
        flip=config.evaluation.flip,
    )
    shape = (devices, *views[-1])
    images = jax.ShapeDtypeStruct((*shape, 3), jnp.uint8)
    if domain == "val":  # a run's own images; others come from files
        images = _seen(config, classes, shape)
    return Program(function, state.state_shapes(config, classes).shipped, images, trains=False)
