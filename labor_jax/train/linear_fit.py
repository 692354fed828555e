"""Fits a linear classifier to pixels' features: a convex problem, solved by L-BFGS."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

__all__ = ["Fitted", "fit"]

SMALLEST = 1e-6
"""Added to the deviation of a feature, which may be 0."""


class Fitted(NamedTuple):
    """A fitted classifier: kernel [F, C] and bias [C] float32, and how it fits.

    Attributes:
      kernel, bias: logits are features @ kernel + bias.
      loss: float32 [], the mean cross-entropy of the pixels, without the penalty.
      agreement: float32 [], the share of the pixels' weight that is classified as labelled.
    """

    kernel: jax.Array
    bias: jax.Array
    loss: jax.Array
    agreement: jax.Array


@functools.partial(jax.jit, static_argnames=("classes", "steps"))
def fit(
    features: jax.Array,
    labels: jax.Array,
    weights: jax.Array,
    *,
    classes: int,
    steps: int,
    decay: float | jax.Array,
) -> Fitted:
    """Multinomial logistic regression from zeros [ours].

    It minimises the weighted mean of the cross-entropy plus decay / 2 times the sum of the kernel's
    squares. Features are scaled to mean 0 and deviation 1 for that, and the scaling is then put
    into kernel and bias.

    Args:
      features: [P, F] float32.
      labels: [P] int32 train ids.
      weights: [P] float32, how much each pixel counts; their sum is not 0.
      classes: C.
      steps: iterations of L-BFGS.
      decay: of the kernel.
    """
    share = weights / weights.sum()
    mean = share @ features
    deviation = jnp.sqrt(share @ jnp.square(features - mean)) + SMALLEST
    scaled = (features - mean) / deviation

    def cross_entropy(logits: jax.Array) -> jax.Array:
        picked = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
        return share @ (jax.nn.logsumexp(logits, axis=1) - picked)

    def logits_of(kernel: jax.Array, bias: jax.Array) -> jax.Array:
        # Of [C, F] the gradient is a product that reads the features row by row: twice as fast.
        return jax.lax.dot_general(scaled, kernel, (((1,), (1,)), ((), ()))) + bias

    def loss(params: tuple[jax.Array, jax.Array]) -> jax.Array:
        kernel, bias = params
        return cross_entropy(logits_of(kernel, bias)) + decay / 2 * jnp.square(kernel).sum()

    solver = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(loss)

    def step(_: int, now: tuple) -> tuple:
        params, state = now
        value, grad = value_and_grad(params, state=state)
        updates, state = solver.update(grad, state, params, value=value, grad=grad, value_fn=loss)
        return optax.apply_updates(params, updates), state

    zeros = (jnp.zeros((classes, features.shape[1])), jnp.zeros(classes))
    (kernel, bias), _ = jax.lax.fori_loop(0, steps, step, (zeros, solver.init(zeros)))
    logits = logits_of(kernel, bias)
    kernel = kernel.T / deviation[:, None]
    right = share @ (logits.argmax(1) == labels).astype(jnp.float32)
    return Fitted(kernel, bias - mean @ kernel, cross_entropy(logits), right)
