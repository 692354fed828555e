"""A batch in equal parts, one after the other to save memory; sums and random keys over devices."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from labor_jax.util import rng


def sum_over_devices(tree: Any, config: ml_collections.ConfigDict, axis_name: str | None) -> Any:
    """The elementwise sum of the devices' pytrees.

    An all-reduce adds in an order that depends on how the devices are connected, and so do the
    sum's last bits. With `config.ordered_sums` an all-gather comes first and the sum is always in
    the devices' order.

    Args:
      tree: this device's pytree of arrays.
      axis_name: the mapped axis; None on one device.
    """
    if axis_name is None:
        return tree
    if not config.ordered_sums:
        return jax.lax.psum(tree, axis_name)
    return jax.tree.map(lambda x: jax.lax.all_gather(x, axis_name).sum(0), tree)


def accumulate(
    function: Callable[[Any, Any], tuple[Any, Any]], carry: Any, batch: Any, parts: int
) -> tuple[Any, Any]:
    """Calls `function(carry, part)` for equal parts of a batch, one after the other.

    Args:
      function: gives the next carry, and a pytree.
      batch: pytree of [B, ...].
      parts: divides B.
    Returns:
      The last carry; the sum of the pytrees.
    """
    if parts == 1:
        return function(carry, batch)
    batch = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)
    first = jax.tree.map(lambda x: x[0], batch)
    zero = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function, carry, first)[1]
    )

    def add(now: Any, part: Any) -> tuple[Any, None]:
        carry, total = now
        carry, more = function(carry, part)
        return (carry, jax.tree.map(jnp.add, total, more)), None

    return jax.lax.scan(add, (carry, zero), batch)[0]


def in_parts(function: Callable[[Any], Any], batch: Any, parts: int) -> Any:
    """`function(batch)`, computed for equal parts of the batch one after the other.

    Args:
      function: of a pytree of [B, ...] for any B, gives a pytree of [B, ...].
      parts: divides B.
    """
    if parts == 1:
        return function(batch)
    split = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)
    out = jax.lax.map(function, split)
    return jax.tree.map(lambda y: y.reshape(-1, *y.shape[2:]), out)


def keys_of_images(
    seed: int, name: str, step: jax.Array, images: int, axis_name: str | None
) -> jax.Array:
    """A random key for each of this device's images, [images]; the same however a batch is split.

    Args:
      seed, name, step: as `rng.key`.
      images: of the batch on this device.
      axis_name: the mapped axis; None on one device.
    """
    first = 0 if axis_name is None else images * jax.lax.axis_index(axis_name)
    of_step = rng.key(seed, name, step)
    return jax.vmap(jax.random.fold_in, (None, 0))(of_step, first + jnp.arange(images))


def for_each(
    function: Callable[[Any], Any], inputs: dict[str, Any], apart: bool = False
) -> dict[str, Any]:
    """`function` of each input, by name; in one call where all inputs have the same shapes.

    Args:
      function: of a pytree of [B, ...] for any B, gives a pytree of [B, ...].
      inputs: pytrees of [B, ...] of one structure.
      apart: one call for each input in any case.
    """
    shapes = {tuple(leaf.shape for leaf in jax.tree.leaves(x)) for x in inputs.values()}
    if apart or len(shapes) > 1:
        return {name: function(x) for name, x in inputs.items()}
    out = function(jax.tree.map(lambda *each: jnp.concatenate(each), *inputs.values()))
    parts = jax.tree.transpose(
        jax.tree.structure(out),
        jax.tree.structure([0] * len(inputs)),
        jax.tree.map(lambda x: jnp.split(x, len(inputs)), out),
    )
    return dict(zip(inputs, parts, strict=True))
