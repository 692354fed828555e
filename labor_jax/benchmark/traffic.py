"""What a compiled program computes and moves, with loops counted as often as they run.

XLA's own cost analysis counts a loop's body once.
"""

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

__all__ = ["COLLECTIVES", "FREE", "SLICES", "UPDATE", "WIDTH", "Traffic", "operations", "traffic"]

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
FREE = ("parameter", "constant", "get-tuple-element", "tuple", "bitcast", "iota", "after-all")
"""Instructions that move nothing: they name values that are there."""
SLICES = ("slice", "dynamic-slice")
UPDATE = "dynamic-update-slice"
WIDTH = {"pred": 1, "bf16": 2} | {
    f"{k}{bits}": bits // 8 for k in "fsu" for bits in (8, 16, 32, 64)
}
"""Bytes of an element."""


class Traffic(NamedTuple):
    """Bytes that one device moves in a call.

    Attributes:
      memory: to and from its main memory, with the padding of layouts.
      collective: results of exchanges with other devices.
    """

    memory: float
    collective: float


def operations(program: Any) -> float:
    """The floating-point operations of a program's matrix products and convolutions.

    Zeros that a transposed convolution only seems to multiply do not count. Of a condition's
    branches the costliest does.

    Args:
      program: a Jaxpr.
    """
    total = 0.0
    for equation in program.eqns:
        inner = [operations(part) for part in _parts(equation.params)]
        of_all = max(inner) if "branches" in equation.params else sum(inner)
        total += of_all * (equation.params["length"] if equation.primitive.name == "scan" else 1)
        shapes = [getattr(variable.aval, "shape", ()) for variable in equation.invars]
        out = math.prod(getattr(equation.outvars[0].aval, "shape", ())) if equation.outvars else 0
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            total += 2 * out * math.prod(shapes[0][axis] for axis in contracted)
        if equation.primitive.name == "conv_general_dilated":
            kernel, (to, come_from, *_) = shapes[1], equation.params["dimension_numbers"].rhs_spec
            by_output = out * math.prod(kernel) // kernel[to]
            by_input = math.prod(shapes[0]) * math.prod(kernel) // kernel[come_from]
            total += 2 * min(by_output, by_input // equation.params["feature_group_count"])
    return total


def _parts(params: dict[str, Any]) -> Iterator[Any]:
    """The programs within an equation's parameters."""
    for value in jax.tree.leaves(list(params.values())):
        if hasattr(value, "eqns"):
            yield getattr(value, "jaxpr", value)


def traffic(text: str) -> Traffic:
    """The traffic of a program, from the text of its compiled form [ours].

    Each instruction reads its operands and writes its result, as far as they are in main memory. Of
    an operand that it only takes a slice of, or puts a slice into, it moves the slice.
    """
    computations = dict(_computations(text))
    entry = re.search(r"^ENTRY %?([\w.\-]+)", text, re.M)
    assert entry is not None, "a compiled program has an entry"
    return _of_computation(entry[1], computations)


class _Instruction(NamedTuple):
    """A line `name = shape kind(arguments)rest` of a program's text."""

    name: str
    shape: str
    kind: str
    arguments: str
    rest: str

    @property
    def operands(self) -> list[str]:
        return re.findall(r"%([\w.\-]+)", self.arguments)


def _computations(text: str) -> Iterator[tuple[str, list[_Instruction]]]:
    name, found = "", list[_Instruction]()
    for line in text.splitlines():
        if head := re.match(r"(?:ENTRY )?%?([\w.\-]+) \(.*\{$", line):
            name, found = head[1], []
        elif line.startswith("}"):
            yield name, found
        elif parsed := re.match(r"\s+(?:ROOT )?%?([\w.\-]+) = (.*?) ([a-z][\w\-]*)\((.*)$", line):
            arguments, _, rest = parsed[4].partition(")")
            found.append(_Instruction(parsed[1], parsed[2], parsed[3], arguments, rest))


def _of_computation(name: str, computations: dict[str, list[_Instruction]]) -> Traffic:
    shapes = {instruction.name: instruction.shape for instruction in computations[name]}
    memory = collective = 0.0
    for instruction in computations[name]:
        kind, shape = instruction.kind.removesuffix("-start"), instruction.shape
        if kind in FREE or kind.endswith(("-done", "-update")):
            continue
        if kind in ("while", "conditional", "call"):
            names = re.findall(r"(?:body|to_apply|computations)=\{?%?([\w.\-]+)", instruction.rest)
            count = re.search(r'"known_trip_count":\{"n":"(\d+)"', instruction.rest)
            for part in (_of_computation(name, computations) for name in names):
                memory += (int(count[1]) if count else 1) * part.memory
                collective += (int(count[1]) if count else 1) * part.collective
            continue
        if kind in COLLECTIVES:
            collective += _bytes(shape, everywhere=True)
        operands = [shapes.get(operand, "") for operand in instruction.operands]
        if kind == "fusion":
            called = re.search(r"calls=%?([\w.\-]+)", instruction.rest)
            memory += _of_fusion(shape, operands, computations[called[1]] if called else [])
        elif kind in SLICES:
            memory += 2 * _bytes(shape)
        elif kind == UPDATE:
            memory += 2 * _bytes(operands[1])
        elif kind != instruction.kind:  # the result of a start names its operands, too
            memory += _bytes(shape)
        else:
            memory += _bytes(shape) + sum(map(_bytes, operands))
    return Traffic(memory, collective)


def _of_fusion(shape: str, operands: list[str], inside: list[_Instruction]) -> float:
    """Bytes that a fused instruction reads and writes."""
    within = {instruction.name: instruction for instruction in inside}
    updates = [instruction for instruction in inside if instruction.kind == UPDATE]
    total = _bytes(shape)
    for update in updates:
        whole, part = (within[name].shape for name in update.operands[:2])
        total -= min(total, _bytes(whole, everywhere=True) - _bytes(part, everywhere=True))
    for parameter in inside:
        if parameter.kind != "parameter":
            continue
        size = _bytes(operands[int(parameter.arguments)])
        uses = [other for other in inside if parameter.name in other.operands]
        if uses and all(use.kind in SLICES for use in uses):
            size = min(size, sum(_bytes(use.shape, everywhere=True) for use in uses))
        if any(update.operands[0] == parameter.name for update in updates):
            size = 0
        total += size
    return total


def _bytes(shape: str, everywhere: bool = False) -> float:
    """Bytes of an array or tuple in main memory, or `everywhere`, padded as its layout is tiled."""
    total = 0
    pattern = r"(\w+)\[([\d,]*)\](?:\{([\d,]*)(?::([^}]*))?\})?"
    for kind, sides, order, layout in re.findall(pattern, shape):
        if kind not in WIDTH or (re.search(r"S\([1-9]", layout) and not everywhere):
            continue
        padded = [int(side) for side in sides.split(",") if side]
        tile = re.search(r"T\(([\d,]+)\)", layout)
        minor = [int(axis) for axis in order.split(",") if axis]
        for axis, width in zip(minor, reversed(tile[1].split(",") if tile else []), strict=False):
            padded[axis] = -(-padded[axis] // int(width)) * int(width)
        total += WIDTH[kind] * math.prod(padded)
    return total
