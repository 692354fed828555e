"""A device's peak rates: from its data sheet, or measured if it is not in the table."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Device(NamedTuple):
    """Peak rates of a device.

    Attributes:
      kind: as JAX names it.
      flops: floating-point operations a second, in dense matrix products.
      bandwidth: bytes a second to and from its memory.
      source: where the rates are from.
    """

    kind: str
    flops: float
    bandwidth: float
    source: str


_TPU = "https://cloud.google.com/tpu/docs, bfloat16"
_NVIDIA = "NVIDIA's data sheet, dense bfloat16 (float16 where there is none)"
KNOWN = {
    "TPU v4": (275e12, 1.2e12, _TPU),
    "TPU v5 lite": (197e12, 0.819e12, _TPU),
    "TPU v5": (459e12, 2.765e12, _TPU),  # v5p; the longest name that fits counts
    "TPU v6 lite": (918e12, 1.64e12, _TPU),
    "Tesla T4": (65e12, 0.32e12, _NVIDIA),
    "Tesla V100": (125e12, 0.9e12, _NVIDIA),
    "NVIDIA L4": (121e12, 0.3e12, _NVIDIA),
    "NVIDIA A100-SXM4-40GB": (312e12, 1.555e12, _NVIDIA),
    "NVIDIA A100-SXM4-80GB": (312e12, 2.039e12, _NVIDIA),
    "NVIDIA H100 80GB HBM3": (989e12, 3.35e12, _NVIDIA),
    "NVIDIA H200": (989e12, 4.8e12, _NVIDIA),
}
"""By what `device_kind` begins with: (flops, bandwidth, source), of one device."""


def find() -> Device:
    """The first device that JAX has."""
    kind = jax.devices()[0].device_kind
    return named(kind) or Device(kind, *_measured(), "measured: a float32 product, a copy")


def named(kind: str) -> Device | None:
    """The device of a kind; None where the kind is not in the table."""
    fitting = [name for name in KNOWN if kind.startswith(name)]
    return Device(kind, *KNOWN[max(fitting, key=len)]) if fitting else None


def _measured(size: int = 2048, copied: int = 2**28, repeat: int = 5) -> tuple[float, float]:
    """(flops, bandwidth) of the fastest of `repeat` products of [size, size] and of copies."""
    x = jnp.ones((size, size), jnp.float32)
    y = jnp.ones(copied // 4, jnp.float32)
    product, copy = jax.jit(jnp.matmul), jax.jit(jnp.negative)
    flops = 2 * size**3 / min(seconds(lambda: product(x, x), repeat))
    return flops, 2 * copied / min(seconds(lambda: copy(y), repeat))  # read and written


def seconds(function: Callable[[], Any], repeat: int) -> list[float]:
    """How long each of `repeat` calls took, after one that is not counted."""
    taken = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        jax.block_until_ready(function())
        taken.append(time.perf_counter() - start)
    return taken[1:]
