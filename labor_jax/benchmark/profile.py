"""Which lines of this package a compiled program spends its time on.

JAX's profiler tells when each operation begins, by the operation's name. The program's text tells
which source line each operation comes from.
"""

import collections
import pathlib
import re
import statistics
import tempfile
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax

from labor_jax import __file__ as package

Values = dict[str, Any]

ROOT = pathlib.Path(package).parent
SHOWN = 20
"""How many of the costliest lines are kept."""


class Source(NamedTuple):
    """Where an operation comes from.

    Attributes:
      line: in this package, as "models/resize.py:47".
      kind: the JAX primitive, such as "conv_general_dilated"; of a fusion, that of its last one.
      backward: whether it is part of a gradient.
    """

    line: str
    kind: str
    backward: bool


def compiled_with_lines(function: Callable, arguments: tuple[Any, ...]) -> jax.stages.Compiled:
    """A compiled function whose text has the line numbers of the present source.

    JAX's cache of compiled programs ignores line numbers, so it may give a program compiled from an
    older source. Here they are part of the cache's key.
    """
    key = "jax_compilation_cache_include_metadata_in_key"
    before = getattr(jax.config, key)
    jax.config.update(key, True)
    try:
        return jax.jit(function).lower(*arguments).compile()
    finally:
        jax.config.update(key, before)


def costliest(
    compiled: jax.stages.Compiled, arguments: tuple[Any, ...], repeat: int
) -> list[Values]:
    """The lines that take the most time, with their shares.

    An operation's time is the median over `repeat` calls. Operations that come from one line are
    added up.

    Args:
      compiled: of `compiled_with_lines`.
      arguments: for it, on the device.
    Returns:
      {"line", "kind", "backward", "operations": how many, "seconds", "share"}, the costliest first.
    """
    text = compiled.as_text() or ""
    name = text.removeprefix("HloModule ").split(",", 1)[0]
    calls = _traced(lambda: compiled(*arguments), name, repeat)
    typical = {op: statistics.median(call.get(op, 0.0) for call in calls) for op in calls[0]}
    found, total = sources(text), sum(typical.values())
    by_source: dict[Source, list[float]] = collections.defaultdict(list)
    for op, seconds in typical.items():
        by_source[found.get(op, Source("?", op.split(".")[0], False))].append(seconds)
    rows = [
        source._asdict() | {"operations": len(own), "seconds": sum(own), "share": sum(own) / total}
        for source, own in by_source.items()
    ]
    return sorted(rows, key=lambda row: -row["seconds"])[:SHOWN]


def _traced(call: Callable[[], Any], module: str, repeat: int) -> list[dict[str, float]]:
    """The seconds of each operation of a module, by name, in each of `repeat` calls."""
    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    jax.block_until_ready(call())
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            for _ in range(repeat):
                jax.block_until_ready(call())
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")  # of this process
        data = jax.profiler.ProfileData.from_file(str(path))
    events: dict[Any, list[tuple[float, float, str]]] = collections.defaultdict(list)
    for plane in data.planes:
        for line in plane.lines:
            for event in line.events:
                stats = dict(event.stats)
                if stats.get("hlo_module") == module:
                    timed = (event.start_ns, event.end_ns, stats["hlo_op"])
                    events[stats.get("run_id")].append(timed)
    return [durations(call) for call in events.values()]


def durations(events: Iterable[tuple[float, float, str]]) -> dict[str, float]:
    """The seconds that each operation of a call took, by name.

    An operation counts until the next one begins. Its own end is of no use: one that works in other
    threads ends at once for the profiler, and a loop ends after the operations inside it.

    Args:
      events: (begin, end, name) in ns.
    """
    taken: dict[str, float] = collections.defaultdict(float)
    ordered = sorted(events)
    last = max(end for _, end, _ in ordered)
    begins = [begin for begin, _, _ in ordered[1:]] + [last]
    for (begin, _, name), following in zip(ordered, begins, strict=True):
        taken[name] += (following - begin) / 1e9
    return dict(taken)


def sources(text: str) -> dict[str, Source]:
    """Where the operations of a compiled program come from, by name, according to its text.

    An operation that XLA added, such as a copy to another layout, counts for its operand's line.
    """
    # Searched as text: the profiler's events on a CPU have no source line (JAX 0.10), and JAX has
    # no reader for the program's tables of stack frames.
    tables = dict(re.findall(r"^(\w+)\n((?:\d+ .*\n)+)", text, re.M))
    files = dict(re.findall(r'^(\d+) "(.*)"$', tables.get("FileNames", ""), re.M))
    pattern = r"^(\d+) \{file_name_id=(\d+) .*?\bline=(\d+)"
    locations = {
        number: (files[file], line)
        for number, file, line in re.findall(pattern, tables.get("FileLocations", ""), re.M)
    }
    pattern = r"^(\d+) \{file_location_id=(\d+)(?: parent_frame_id=(\d+))?"
    frames = {
        int(number): (locations[location], int(parent or 0))
        for number, location, parent in re.findall(pattern, tables.get("StackFrames", ""), re.M)
    }
    # This text counts parents from one above: no frame is its own.
    above = int(any(number == parent for number, (_, parent) in frames.items()))

    def ours(frame: int) -> str | None:
        while frame in frames:
            (file, line), parent = frames[frame]
            folders = pathlib.Path(file).parents
            if ROOT in folders and ROOT / "benchmark" not in folders:
                return f"{pathlib.Path(file).relative_to(ROOT).as_posix()}:{line}"
            frame = parent - above
        return None

    found: dict[str, Source] = {}
    operations = re.findall(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$", text, re.M)
    for name, rest in operations:
        path = re.search(r'op_name="([^"]*)"', rest)
        frame = re.search(r"stack_frame_id=(\d+)", rest)
        made_of = [found[used] for used in re.findall(r"%([\w.\-]+)", rest) if used in found]
        if path and frame and (line := ours(int(frame[1]))):
            found[name] = Source(line, path[1].rsplit("/", 1)[-1], "transpose(" in path[1])
        elif made_of:
            found[name] = made_of[0]._replace(kind=name.split(".")[0])
    return found
