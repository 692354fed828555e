"""Random numbers as a function of (seed, name, step): no generator is carried along or saved."""

import zlib

import jax
import numpy as np


def key(seed: int, name: str, step: int | jax.Array = 0) -> jax.Array:
    """The JAX key of (seed, name, step)."""
    base = jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))
    return jax.random.fold_in(base, step)


def generator(seed: int, name: str, *steps: int) -> np.random.Generator:
    """A new NumPy generator, which begins the same for the same (seed, name, steps)."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *steps])


def integer(seed: int, name: str) -> int:
    """The seed of (seed, name), from 0 to 2^31 - 1, for libraries that take one."""
    return int(generator(seed, name).integers(2**31))
