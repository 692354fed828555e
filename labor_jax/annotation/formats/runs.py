"""Masks as run lengths, in the dialects of the tools.

CVAT and COCO have run lengths of zeros and ones in turn, zeros first; COCO also packs them into
text. Label Studio packs the values of an RGBA picture, flattened, whose alpha channel is the mask.
Its bytes hold bits:

    32 bits        how many values there are
    5 bits         the width of a value in bits, less 1
    4 x 4 bits     four widths that a run's length can have, less 1
    then runs:
      1 bit        1: one value, repeated; 0: as many values as the length says
      2 bits       which of the four widths the length has
      that many    the length, less 1
      the rest     the value, or the values

Runs that are not exactly as long as their mask are refused: they may have been cut.
"""

import ast
import re
from collections.abc import Iterable, Sequence

import numpy as np

from labor_jax.annotation.formats.regions import MISFIT, whole
from labor_jax.util.tally import LeftOut

WIDTHS = (3, 4, 8, 16)
"""The widths of run lengths, in bits, in what `pack_bits` writes."""
LONGEST = 2**40
"""A run's length that no mask has."""


def counts_of(flat: np.ndarray) -> list[int]:
    """The run lengths of a flat mask, [N] bool: of zeros and ones in turn, zeros first."""
    change = np.flatnonzero(np.diff(np.concatenate([[False], flat])))
    return np.diff(np.concatenate([[0], change, [flat.size]])).astype(int).tolist()


def from_counts(counts: Iterable[object], length: int) -> np.ndarray:
    """The flat mask, [length] bool, of run lengths as `counts_of` gives them.

    Raises:
      LeftOut: one is no whole number or negative, or they are not as long as the mask.
    """
    numbers = [count if type(count) is int else whole(count) for count in counts]
    if min(numbers, default=0) < 0:
        raise LeftOut(MISFIT, f"a run of {min(numbers)} pixels")
    if sum(numbers) != length:
        raise LeftOut(MISFIT, f"runs of {sum(numbers):.12g} pixels in a mask of {length}")
    return np.repeat(np.arange(len(numbers)) % 2 == 1, numbers)


def unpack_text(text: str) -> list[int]:
    """The run lengths of COCO's compressed string [cited: cocoapi, maskApi.c].

    A character holds five bits, and a sixth that tells whether the number goes on. From the fourth
    run on the string holds the difference to the length two runs before.

    Raises:
      LeftOut: it is no such string, or it was cut.
    """
    if re.fullmatch(r"b(['\"]).*\1", text, re.DOTALL):  # bytes that were written as Python's text
        text = ast.literal_eval(text).decode("latin-1")
    if strange := re.search(r"[^0-o]", text):
        raise LeftOut(MISFIT, f"{strange[0]!r} in compressed run lengths")
    counts: list[int] = []
    value, shift = 0, 0
    for code in (ord(character) - 48 for character in text):
        value |= (code & 0x1F) << shift
        shift += 5
        if value > LONGEST:
            raise LeftOut(MISFIT, "a run that is longer than any mask")
        if not code & 0x20:
            if code & 0x10:
                value -= 1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value, shift = 0, 0
    if shift:
        raise LeftOut(MISFIT, "compressed run lengths that end within a number")
    return counts


def pack_bits(values: np.ndarray) -> list[int]:
    """Compresses values, [N] uint8, into bytes as Label Studio has them."""
    bits = [f"{values.size:032b}", f"{8 - 1:05b}", *(f"{width - 1:04b}" for width in WIDTHS)]
    starts = np.flatnonzero(np.append(True, np.diff(values) != 0)[: values.size])
    for start, length in zip(starts, np.diff(np.append(starts, values.size)), strict=True):
        value = int(values[start])
        while length > 0:
            part = min(int(length), 1 << WIDTHS[-1])
            choice = next(i for i, width in enumerate(WIDTHS) if part <= 1 << width)
            bits.append(f"1{choice:02b}{part - 1:0{WIDTHS[choice]}b}{value:08b}")
            length -= part
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


def unpack_bits(data: Sequence[int], length: int) -> np.ndarray:
    """The values, [length], of Label Studio's compressed bytes.

    Raises:
      LeftOut: they are no bytes, or they have another number of values.
    """
    try:
        text = "".join(f"{byte:08b}" for byte in bytes(data))
    except (TypeError, ValueError):
        raise LeftOut(MISFIT, "run lengths that are no bytes") from None
    at = 0

    def take(count: int) -> int:
        nonlocal at
        at += count
        if at > len(text):
            raise LeftOut(MISFIT, "run lengths that were cut")
        return int(text[at - count : at], 2)

    number, word = take(32), take(5) + 1
    widths = [take(4) + 1 for _ in range(4)]
    if number != length:
        raise LeftOut(MISFIT, f"run lengths of {number} values in a mask of {length}")
    values, i = np.zeros(number, np.uint32), 0
    while i < number:
        repeats = take(1)
        run = 1 + take(widths[take(2)])
        if i + run > number:
            raise LeftOut(MISFIT, "run lengths that are longer than their mask")
        values[i : i + run] = take(word) if repeats else [take(word) for _ in range(run)]
        i += run
    return values
