"""Run lengths of every dialect come back the same; those that do not add up are refused."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.filed import packed

from labor_jax.annotation.formats import runs
from labor_jax.util.tally import LeftOut

FLAT = hnp.arrays(bool, st.integers(1, 200))


@given(st.lists(st.integers(0, 100_000), max_size=12))
def test_cocos_packed_run_lengths_are_unpacked(counts):
    assert runs.unpack_text(packed(counts)) == counts


def read_bits(data):
    """Label Studio's packed runs as its converter reads them, bit by bit."""
    bits = "".join(str(int(byte) >> k & 1) for byte in data for k in range(7, -1, -1))
    at = 0

    def read(size):
        nonlocal at
        at += size
        return int(bits[at - size : at], 2)

    number, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    out = []
    while len(out) < number:
        repeats = read(1)
        length = read(sizes[read(2)]) + 1
        out += [read(word)] * length if repeats else [read(word) for _ in range(length)]
    return out


@given(hnp.arrays(np.uint8, st.integers(1, 300), elements=st.sampled_from([0, 0, 255])))
def test_label_studios_packed_runs_are_what_its_converter_reads(values):
    packed_runs = runs.pack_bits(values)
    assert read_bits(packed_runs) == values.tolist()
    np.testing.assert_array_equal(runs.unpack_bits(packed_runs, values.size), values)


def test_label_studios_long_runs_and_single_values_are_read():
    values = np.repeat(np.array([0, 255, 0], np.uint8), [70_000, 9, 200_000])
    np.testing.assert_array_equal(runs.unpack_bits(runs.pack_bits(values), values.size), values)
    # Four values one by one: 32-bit count, 5-bit word size, four 4-bit sizes, 0, size 0, 3, ...
    bits = f"{4:032b}{7:05b}" + "".join(f"{s - 1:04b}" for s in (3, 4, 8, 16))
    bits += "0" + "00" + f"{3:03b}" + "".join(f"{v:08b}" for v in (1, 2, 3, 255))
    data = [int(bits[i : i + 8].ljust(8, "0"), 2) for i in range(0, len(bits), 8)]
    assert runs.unpack_bits(data, 4).tolist() == [1, 2, 3, 255]


@given(FLAT)
def test_run_lengths_start_with_zeros_and_come_back(mask):
    counts = runs.counts_of(mask)
    assert sum(counts) == mask.size and (counts[0] == 0) == bool(mask.flat[0])
    assert all(count > 0 for count in counts[1:])
    np.testing.assert_array_equal(runs.from_counts(counts, mask.size), mask)


@given(FLAT, st.sampled_from([int, float, str]))
def test_run_lengths_are_read_as_numbers_or_as_text(mask, kind):
    counts = [kind(count) for count in runs.counts_of(mask)]
    np.testing.assert_array_equal(runs.from_counts(counts, mask.size), mask)


@given(FLAT, st.data())
def test_run_lengths_that_were_cut_are_refused(mask, data):
    counts = runs.counts_of(mask)
    left = counts[: data.draw(st.integers(0, len(counts) - 1))]
    if sum(left) < mask.size:
        with pytest.raises(LeftOut, match="runs of"):
            runs.from_counts(left, mask.size)
    text = packed(counts)
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    with pytest.raises(LeftOut):
        runs.from_counts(runs.unpack_text(cut), mask.size)
    bits = runs.pack_bits(255 * mask.astype(np.uint8))
    with pytest.raises(LeftOut):
        runs.unpack_bits(bits[: data.draw(st.integers(0, len(bits) - 2))], mask.size)


@pytest.mark.parametrize("counts", [[-1, 11], [5.5, 4.5], [5, None], [5, True], ["a"], [1e400]])
def test_run_lengths_that_are_no_numbers_of_pixels_are_refused(counts):
    with pytest.raises(LeftOut):
        runs.from_counts(counts, 10)


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=9))
def test_bytes_that_python_wrote_as_text_are_read(counts):
    text = packed(counts)
    assert runs.unpack_text(str(text.encode())) == runs.unpack_text(text) == counts


@given(st.text(max_size=40))
def test_any_text_is_run_lengths_or_refused(text):
    with contextlib.suppress(LeftOut):
        assert all(isinstance(count, int) for count in runs.unpack_text(text))


@given(st.lists(st.integers(-1, 256), max_size=40), st.integers(0, 100))
def test_any_bytes_are_a_mask_or_refused(data, length):
    with contextlib.suppress(LeftOut):
        assert len(runs.unpack_bits(data, length)) == length
