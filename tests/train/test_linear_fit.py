"""The fit of a linear classifier to pixels' features."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from labor_jax.train.linear_fit import fit

RNG = np.random.default_rng(0)
CENTRES = RNG.standard_normal((3, 5)).astype(np.float32) * 2
LABELS = RNG.integers(0, 3, 600).astype(np.int32)
FEATURES = (CENTRES[LABELS] + RNG.standard_normal((600, 5))).astype(np.float32)
EVEN = np.ones(600, np.float32)


def loss(kernel, bias, features, labels, weights, decay):
    """What `fit` minimises, restated for features that are scaled already."""
    logits = features @ kernel + bias
    picked = jnp.take_along_axis(logits, labels[:, None], 1)[:, 0]
    share = weights / weights.sum()
    penalty = decay / 2 * jnp.square(kernel).sum()
    return (share * (jax.nn.logsumexp(logits, 1) - picked)).sum() + penalty


@pytest.mark.parametrize("decay", [1e-3, 0.1])
def test_no_gradient_is_left_at_the_fit(decay):
    weights = RNG.random(600).astype(np.float32)
    share = weights / weights.sum()
    mean = share @ FEATURES
    scaled = (FEATURES - mean) / np.sqrt(share @ np.square(FEATURES - mean))
    fitted = fit(scaled, LABELS, weights, classes=3, steps=100, decay=decay)
    gradients = jax.grad(loss, (0, 1))(fitted.kernel, fitted.bias, scaled, LABELS, weights, decay)
    assert max(float(jnp.abs(g).max()) for g in gradients) < 1e-4
    assert float(fitted.agreement) > 0.9


def test_the_scale_and_the_offset_of_a_feature_change_no_prediction():
    scale = np.array([1, 10, 0.1, 3, 5], np.float32)
    plain = fit(FEATURES, LABELS, EVEN, classes=3, steps=80, decay=1e-2)
    moved = fit(FEATURES * scale + 7, LABELS, EVEN, classes=3, steps=80, decay=1e-2)
    logits = FEATURES @ plain.kernel + plain.bias
    other = (FEATURES * scale + 7) @ moved.kernel + moved.bias
    np.testing.assert_allclose(logits - logits[:, :1], other - other[:, :1], atol=2e-2)


def test_a_pixel_of_double_weight_counts_as_two():
    twice = np.concatenate([FEATURES, FEATURES[:200]]), np.concatenate([LABELS, LABELS[:200]])
    heavy = np.where(np.arange(600) < 200, 2, 1).astype(np.float32)
    one = fit(FEATURES, LABELS, heavy, classes=3, steps=80, decay=1e-2)
    two = fit(*twice, np.ones(800, np.float32), classes=3, steps=80, decay=1e-2)
    np.testing.assert_allclose(one.kernel, two.kernel, atol=2e-3)
    assert abs(float(one.loss) - float(two.loss)) < 1e-4


def test_the_same_pixels_give_the_same_bits():
    one, two = (fit(FEATURES, LABELS, EVEN, classes=3, steps=20, decay=1e-2) for _ in range(2))
    np.testing.assert_array_equal(one.kernel, two.kernel)
    np.testing.assert_array_equal(one.bias, two.bias)
