import functools

import jax
import jax.numpy as jnp
import numpy as np

from labor_jax.models.batch_norm import BatchNorm

X = 3 + 2 * np.random.default_rng(0).standard_normal((8, 5, 3, 4)).astype(np.float32)


def test_a_fresh_frozen_norm_is_the_identity_in_training_too():
    norm = BatchNorm(kind="frozen")
    y, _ = norm.init_with_output(jax.random.key(0), X, train=True)
    np.testing.assert_allclose(y, X, rtol=1e-5)


def test_frozen_statistics_do_not_move():
    norm = BatchNorm(kind="frozen")
    values = norm.init(jax.random.key(0), X)
    _, moved = norm.apply(values, X, train=True, mutable=["batch_stats"])
    np.testing.assert_array_equal(moved["batch_stats"]["mean"], np.zeros(4))


def test_training_normalises_by_the_batch_and_moves_unbiased_statistics():
    norm = BatchNorm(kind="sync")
    values = norm.init(jax.random.key(0), X)
    y, moved = norm.apply(values, X, train=True, mutable=["batch_stats"])
    flat = X.reshape(-1, 4).astype(np.float64)
    expected = (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5)
    np.testing.assert_allclose(y.reshape(-1, 4), expected, atol=1e-5)
    np.testing.assert_allclose(moved["batch_stats"]["mean"], 0.1 * flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(
        moved["batch_stats"]["var"], 0.9 + 0.1 * flat.var(0, ddof=1), rtol=1e-5
    )


def test_a_larger_momentum_moves_the_statistics_less():
    norm = BatchNorm(kind="sync", momentum=0.99)
    _, moved = norm.apply(norm.init(jax.random.key(0), X), X, train=True, mutable=["batch_stats"])
    mean = X.reshape(-1, 4).astype(np.float64).mean(0)
    np.testing.assert_allclose(moved["batch_stats"]["mean"], 0.01 * mean, rtol=1e-5)


def test_statistics_that_may_not_move_are_only_used():
    norm = BatchNorm(kind="sync")
    values = norm.init(jax.random.key(0), X)
    y = norm.apply(values, X, train=True)
    np.testing.assert_allclose(y.mean((0, 1, 2)), np.zeros(4), atol=1e-5)


def test_adaptsegnets_replicas_normalise_alone_and_move_by_their_mean():
    norm = BatchNorm(kind="adaptsegnet", axis_name="batch")
    alone = BatchNorm(kind="sync")
    values = alone.init(jax.random.key(0), X)
    parts = X.reshape(4, 2, 5, 3, 4)
    apply = functools.partial(norm.apply, values, train=True, mutable=["batch_stats"])
    y, moved = jax.vmap(apply, axis_name="batch")(parts)
    each = [alone.apply(values, part, train=True, mutable=["batch_stats"]) for part in parts]
    np.testing.assert_allclose(y, np.stack([out for out, _ in each]), atol=1e-5)
    for name in ("mean", "var"):
        expected = np.mean([stats["batch_stats"][name] for _, stats in each], axis=0)
        for replica in moved["batch_stats"][name]:
            np.testing.assert_allclose(replica, expected, rtol=1e-5)


def test_replicas_together_are_one_big_batch():
    """Values, running statistics and gradients, over a named axis of four."""
    shared = BatchNorm(kind="sync", axis_name="batch")
    alone = BatchNorm(kind="sync")
    values = alone.init(jax.random.key(0), X)
    weights = np.random.default_rng(1).standard_normal(X.shape).astype(np.float32)

    def loss(norm, x, weights):
        y, moved = norm.apply(values, x, train=True, mutable=["batch_stats"])
        return (jnp.square(y) * weights).sum(), (y, moved)

    def gradient(norm):
        return jax.grad(lambda x, weights: loss(norm, x, weights), has_aux=True)

    whole, (y, moved) = jax.jit(gradient(alone))(X, weights)
    split = (X.reshape(4, 2, 5, 3, 4), weights.reshape(4, 2, 5, 3, 4))
    parts, (y_parts, moved_parts) = jax.jit(jax.vmap(gradient(shared), axis_name="batch"))(*split)
    np.testing.assert_allclose(y_parts.reshape(X.shape), y, atol=1e-5)
    np.testing.assert_allclose(parts.reshape(X.shape), whole, atol=1e-4)
    for one, replicas in zip(jax.tree.leaves(moved), jax.tree.leaves(moved_parts), strict=True):
        for replica in replicas:
            np.testing.assert_allclose(replica, one, rtol=1e-5)
