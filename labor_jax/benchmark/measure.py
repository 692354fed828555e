"""The benchmarks: each function measures one part and returns its figures, ready for JSON."""

import functools
import itertools
import pathlib
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import ml_collections
import numpy as np

from labor_jax.annotation import queries as q
from labor_jax.benchmark import work as w
from labor_jax.benchmark.device import Device, find, seconds
from labor_jax.benchmark.profile import compiled_with_lines, costliest
from labor_jax.config.checking import check
from labor_jax.config.places import localized
from labor_jax.data import folder, loading, pipeline
from labor_jax.data.images import encode_jpeg
from labor_jax.infer import evaluate as evaluation
from labor_jax.infer import steps as infer_steps
from labor_jax.infer.restore import make_inference, make_restored, views
from labor_jax.infer.stream import predict_folder
from labor_jax.loop import asking
from labor_jax.train import parallel, steps
from labor_jax.util import files, plugins
from labor_jax.util.errors import UserError

Values = dict[str, Any]

STEPS = ("adapt_step", "selector_step")
QUERIES = ("labor_spl", "labor_ppl")


def program(
    function: Callable,
    arguments: tuple[Any, ...],
    images: int,
    device: Device,
    repeat: int,
    each: tuple[Any, ...] | None = None,
) -> Values:
    """Time, operations and memory traffic of a pure function on one device.

    Args:
      function: compiled here.
      arguments: for `images` images.
      device: whose peak rates the shares are of.
      repeat: how many calls are timed; their median counts.
      each: arguments for one image. If given, operations and bytes are counted for one image and
        multiplied: XLA counts a loop's body once, so it would count a loop over the batch as one
        image.
    Returns:
      "flops" and "bytes" of a call as XLA counts them, and their shares of the device's peak;
      "least_bytes", the size of the arguments and results; "program_bytes", the memory that a call
      holds at once.
    """
    start = time.perf_counter()
    compiled = jax.jit(function).lower(*arguments).compile()
    compiling = time.perf_counter() - start
    cost, times = compiled.cost_analysis(), 1
    if each is not None:
        cost, times = jax.jit(function).lower(*each).compile().cost_analysis(), images
    memory = compiled.memory_analysis()
    assert cost is not None and memory is not None  # CPU, GPU and TPU give them
    arguments = w.put(arguments)
    taken = statistics.median(seconds(lambda: compiled(*arguments), repeat))
    flops, moved = (times * cost.get(key, 0.0) for key in ("flops", "bytes accessed"))
    least = memory.argument_size_in_bytes + memory.output_size_in_bytes
    return {
        "images": images,
        "seconds": taken,
        "images_per_second": images / taken,
        "flops": flops,
        "flops_share": flops / taken / device.flops,
        "bytes": moved,
        "bytes_share": moved / taken / device.bandwidth,
        "least_bytes": least,
        "least_bytes_share": least / taken / device.bandwidth,
        "compile_seconds": compiling,
        "program_bytes": least + memory.temp_size_in_bytes,
    }


def step(work: w.Work, device: Device, repeat: int) -> Values:
    """Both train steps. A step of adaptation sees source and target images, as many of each."""
    batch, rows = w.batch(work), work.config.batch_size
    found = {}
    starts = (work.start.replace(selector=None), work.start)  # adaptation has no selector
    for name, images, start in zip(STEPS, (2 * rows, rows), starts, strict=True):
        function = w.bind(getattr(steps, name), work)
        found[name] = program(function, (start, batch), images, device, repeat)
    return found


def selection(work: w.Work, device: Device, repeat: int) -> Values:
    """The query steps of SPL and PPL: segmenter, selector, inconsistency mask, PPL's points."""
    images = work.config.eval_batch_size
    found = {}
    for method in QUERIES:
        function, batch = _query(work, method), w.to_ask(work, images)
        each = (work.start, jax.tree.map(lambda x: x[:1], batch))
        found[method] = program(function, (work.start, batch), images, device, repeat, each)
    return found


def _query(work: w.Work, method: str) -> Callable:
    config = work.config.copy_and_resolve_references()
    config.method = method
    size = w.native_size(config.target, config.input.size)
    number = asking.most(config, size)
    return functools.partial(
        infer_steps.query, networks=work.networks, size=size, number=number, config=config
    )


def input_(work: w.Work, device: Device, repeat: int) -> Values:
    """The input pipeline alone, and training from it compared with training from memory.

    "starved_share" is the share of steps at which the device had finished the previous step before
    the next batch was ready. "transfers" is the number of arrays in a batch; "transfer_seconds" is
    the time to copy them to the device.
    """
    config, number = work.config, 8 * repeat
    filled = 2 * config.input.threads + 2  # batches made before the clock starts are not timed

    def batches(first: int) -> Any:
        last = first + filled + number
        return pipeline.batches(work.source, work.target, None, config, first, last)

    with batches(0) as stream:
        ready = list(itertools.islice(stream, filled))[:4]
        start = time.perf_counter()
        for _ in stream:
            pass
        alone = (time.perf_counter() - start) / number
    adapt = jax.jit(w.bind(steps.adapt_step, work))

    def train(stream: Any) -> tuple[float, float]:
        now: Any = work.start.replace(selector=None)
        starved = 0
        for counted in range(-filled, number):
            if counted == 0:
                jax.block_until_ready(now)
                start = time.perf_counter()
            batch = next(stream)
            starved += counted > 0 and now.step.is_ready()
            now, _ = adapt(now, batch)
        jax.block_until_ready(now)
        return (time.perf_counter() - start) / number, starved / (number - 1)

    in_memory, _ = train(itertools.cycle(ready))
    with batches(0) as stream:
        real, starved = train(stream)
    return {
        "transfers": len(jax.tree.leaves(ready[0])),
        "transfer_seconds": statistics.median(seconds(lambda: w.put(ready[0]), repeat)),
        "images_per_second": 2 * config.batch_size / alone,
        "step_seconds_in_memory": in_memory,
        "step_seconds": real,
        "idle_share": max(0.0, 1 - in_memory / real),
        "starved_share": starved,
    }


def evaluate(work: w.Work, device: Device, repeat: int) -> Values:
    """The network's predictions alone, and the whole evaluation with reading and counting."""
    config, images = work.config, work.config.eval_batch_size
    size = w.native_size(config.val, config.input.size)
    infer = functools.partial(
        infer_steps.predict,
        networks=work.networks,
        size=size,
        views=views(config),
        flip=config.evaluation.flip,
    )
    batch = w.to_ask(work, images)["image"]
    found = program(infer, (work.start.shipped, batch), images, device, repeat)
    table = loading.table_from_config(config.classes)
    config = config.copy_and_resolve_references()
    config.parallel = "jit"
    mapped = make_inference(infer_steps.predict, config, work.classes, views(config))
    whole_batch = functools.partial(mapped, work.start.shipped)
    domain = w.drawn("target", size, work.classes, 2 * images)
    whole = seconds(lambda: evaluation.evaluate(whole_batch, domain, table, config)["mIoU"], repeat)
    return {
        "predict": found,
        "evaluate": {"images_per_second": 2 * images / statistics.median(whole)},
    }


def predict(
    work: w.Work, device: Device, repeat: int, count: int = 500, batches: int = 8
) -> Values:
    """Predicting a folder of files (read, segment, write) compared with images in memory.

    The images are drawn and have the size of the target's. The two are timed in turn, `repeat`
    times; "share" is the median of the ratios.
    """
    config = work.config.copy_and_resolve_references()
    config.parallel = "jit"
    table = loading.table_from_config(config.classes)
    size = w.native_size(config.target, config.input.size)
    run = make_restored(config, table, 0, work.start.shipped)
    images = w.to_ask(work, config.eval_batch_size)["image"]
    domain = w.drawn("target", size, work.classes, count)
    found = []
    with tempfile.TemporaryDirectory() as name:
        photos = pathlib.Path(name, "photos")
        for index, image in enumerate(domain.ids):
            files.write_atomic(photos / f"{image}.jpg", encode_jpeg(domain.read_image(index)))
        streamed = folder.load(str(photos), "", table)
        for number in range(repeat):
            [alone] = seconds(lambda: [run.predict(images, size) for _ in range(batches)], 1)
            out = pathlib.Path(name, f"out_{number}")
            start = time.perf_counter()
            predict_folder(run, streamed, out)
            whole = count / (time.perf_counter() - start)
            found.append((batches * len(images) / alone, whole))
    shares = [whole / alone for alone, whole in found]
    return {
        "images": count,
        "in_memory_images_per_second": statistics.median(alone for alone, _ in found),
        "files_images_per_second": statistics.median(whole for _, whole in found),
        "share": statistics.median(shares),
    }


def growth(
    work: w.Work, device: Device, repeat: int, counts: tuple[int, ...] = (100, 1000, 10_000)
) -> Values:
    """How the time to select in an image grows with its pixels and with the number of classes, and
    how memory grows with the number of target images."""
    config = work.config.copy_and_resolve_references()
    config.method = "labor_ppl"
    height, width = w.native_size(config.target, config.input.size)
    cases = [
        ("pixels", n * height * width, (n * height, width), work.classes) for n in (1, 2, 4, 8)
    ]
    cases += [
        ("classes", n * work.classes, (height, width), n * work.classes) for n in (1, 2, 4, 8)
    ]
    found: Values = {"pixels": [], "classes": [], "images": []}
    for what, amount, size, classes in cases:
        random = np.random.default_rng(0)
        shape = (1, -(-size[0] // 8), -(-size[1] // 8), classes)
        maps = {n: random.normal(size=shape).astype(np.float32) for n in ("c1", "c2", "main")}
        maps["features"] = np.zeros((*shape[:3], 1), np.float32)
        maps = w.put(maps | {"taken": np.zeros((1, *size), bool), "key": w.keys(1)})
        select = jax.jit(
            functools.partial(
                infer_steps.select, size=size, number=asking.most(config, size), config=config
            )
        )
        taken = min(seconds(functools.partial(select, maps), repeat))
        found[what].append({what: amount, "seconds": taken})
    for count in counts:
        found["images"].append({"images": count, **_asking(work, count)})
    return found


def _asking(work: w.Work, count: int) -> Values:
    """The most memory that the process holds while it makes a stage's queries about `count` tiny
    images, written and joined as the loop does it; and the size of their file.
    """
    config = work.config.copy_and_resolve_references()
    config.method, config.input.size, config.parallel = "labor_spl", (48, 64), "jit"
    mapped = parallel.map_inference(
        functools.partial(
            infer_steps.query, networks=work.networks, size=(48, 64), number=0, config=config
        ),
        "jit",
    )

    def infer(images: np.ndarray, taken: np.ndarray, key: np.ndarray, *_: object) -> Values:
        return mapped(work.start, {"image": images, "taken": taken, "key": key})

    domain = w.drawn("target", (48, 64), work.classes, count)
    held = [0]

    def made() -> Iterator[q.Query]:
        for asked in asking.ask(1, domain, infer, config, workdir):
            yield asked.query
            held.append(max(held.pop(), resident_bytes()))

    with tempfile.TemporaryDirectory() as workdir:
        q.write_queries(workdir, 1, made(), part=0)
        q.join_parts(workdir, 1, parts=1)
        written = q.queries_path(workdir, 1).stat().st_size
    return {"queries_bytes": written, "process_bytes": held[0]}


def resident_bytes() -> int:
    """Memory that this process holds now, in bytes; without Linux's /proc, the most it has held."""
    pages = pathlib.Path("/proc/self/statm")
    if not pages.exists():
        return peak_bytes()
    return int(pages.read_text().split()[1]) * resource.getpagesize()


def peak_bytes() -> int:
    """The most memory that the device has held, in bytes; of this process if JAX cannot tell."""
    stats = jax.devices()[0].memory_stats() or {}
    held = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in KiB, on Linux
    return stats.get("peak_bytes_in_use", held)


def profile(work: w.Work, device: Device, repeat: int) -> Values:
    """The costliest source lines of the train steps and the query steps, from a trace of each."""
    batch, asked = w.batch(work), w.to_ask(work, work.config.eval_batch_size)
    programs: dict[str, tuple[Callable, Any]] = {
        name: (w.bind(getattr(steps, name), work), batch) for name in STEPS
    }
    programs |= {method: (_query(work, method), asked) for method in QUERIES}
    found = {}
    for name, (function, seen) in programs.items():
        arguments = w.put((work.start, seen))
        compiled = compiled_with_lines(function, arguments)
        found[name] = {"costliest": costliest(compiled, arguments, repeat)}
    return found


ALL = {"step": step, "selection": selection, "input": input_, "evaluate": evaluate}
PARTS = ALL | {"predict": predict, "profile": profile, "growth": growth}
"""By the NAME that a user gives; the name "all" stands for those in ALL."""


def run(name: str, config: ml_collections.ConfigDict, repeat: int) -> Values:
    """The device, the figures of each part that is asked for, and the most memory held.

    Raises:
      UserError: there is no such part, or the config is wrong.
    """
    if name not in PARTS and name != "all":
        raise UserError(f"NAME: {name!r} is not one of {', '.join(PARTS)}, all, compile")
    if repeat < 1:
        raise UserError(f"--repeat: {repeat} is too few; give 1 or more")
    plugins.load(config.plugins)
    config = localized(config)
    check(config)
    found = find()
    work = w.make(config)
    parts = ALL if name == "all" else {name: PARTS[name]}
    measured = {part: function(work, found, repeat) for part, function in parts.items()}
    return {"device": found._asdict(), **measured, "peak_bytes": peak_bytes()}
