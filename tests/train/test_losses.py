"""Losses as (sum, count), against NumPy and the published programs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labor_jax.config import default_config
from labor_jax.train import losses
from labor_jax.util.errors import UserError

SHAPE = (2, 3, 4, 5)
LOGITS = hnp.arrays(np.float32, SHAPE, elements=st.floats(-80, 80, width=32))
LABELS = hnp.arrays(np.uint8, SHAPE[:3], elements=st.sampled_from([0, 1, 2, 3, 4, 255]))

cross_entropy = jax.jit(losses.cross_entropy)


def log_softmax(logits):
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


@given(LOGITS, LABELS)
def test_cross_entropy_sums_and_counts_the_labelled_pixels(logits, labels):
    log_p = log_softmax(logits)
    expected = [-log_p[p][labels[p]] for p in np.ndindex(labels.shape) if labels[p] != 255]
    total, count = cross_entropy(logits, labels)
    np.testing.assert_allclose(total, sum(expected), rtol=1e-5, atol=1e-4)
    assert count == len(expected)


def test_without_a_labelled_pixel_the_loss_is_0_and_teaches_nothing():
    labels = jnp.full(SHAPE[:3], 255, jnp.uint8)
    logits = jnp.asarray(np.random.default_rng(0).normal(size=SHAPE) * 1e4, jnp.float32)
    loss, gradient = jax.value_and_grad(
        lambda x: losses.normalise(losses.cross_entropy(x, labels), None)
    )(logits)
    assert loss == 0
    assert not gradient.any()


def test_ignored_pixels_get_no_gradient_and_others_do():
    labels = np.full(SHAPE[:3], 255, np.uint8)
    labels[1, 2, 3] = 4
    gradient = jax.grad(lambda x: losses.cross_entropy(x, labels)[0])(jnp.zeros(SHAPE))
    expected = np.zeros(SHAPE)
    expected[1, 2, 3] = [0.2, 0.2, 0.2, 0.2, -0.8]
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


@given(LABELS, st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_balanced_weights_are_of_mean_1_and_lift_a_class_by_a_power_of_its_share(labels, balance):
    weights = np.asarray(losses.balanced(labels, SHAPE[-1], balance, None))
    pixels = np.bincount(labels[labels < 255], minlength=SHAPE[-1])
    assert weights[labels < 255].sum() == pytest.approx(pixels.sum(), rel=1e-5)
    found = {c: weights[labels == c] for c in np.flatnonzero(pixels)}
    for c, d in itertools.combinations(found, 2):
        np.testing.assert_allclose(
            found[c][0] / found[d], (pixels[c] / pixels[d]) ** -balance, rtol=1e-5
        )


def test_balance_1_makes_all_classes_that_are_there_count_alike():
    labels = np.uint8([[[0, 0, 0, 0, 0, 2, 255, 255]]])
    weights = np.asarray(losses.balanced(labels, 5, 1.0, None))
    assert weights[labels == 0].sum() == pytest.approx(3) == pytest.approx(weights[0, 0, 5])


@given(LOGITS, LABELS)
def test_weights_are_in_the_sum_of_the_cross_entropy_and_not_in_its_count(logits, labels):
    weights = np.random.default_rng(0).random(labels.shape).astype(np.float32)
    log_p = log_softmax(logits)
    expected = [
        -weights[p] * log_p[p][labels[p]] for p in np.ndindex(labels.shape) if labels[p] != 255
    ]
    total, count = cross_entropy(logits, labels, weights)
    np.testing.assert_allclose(total, sum(expected), rtol=1e-5, atol=1e-4)
    assert count == len(expected)


def test_a_loss_is_the_sum_over_devices_by_the_count_over_all_devices():
    totals, counts = jnp.array([6.0, 1.0, 0.0, 0.0]), jnp.array([1.0, 6.0, 0.0, 0.0])
    parts = jax.vmap(lambda t, c: losses.normalise((t, c), "batch"), axis_name="batch")(
        totals, counts
    )
    np.testing.assert_allclose(parts, totals / 7, rtol=1e-6)


def test_nothing_to_count_gives_0():
    assert losses.normalise((jnp.float32(0), jnp.float32(0)), None) == 0


@pytest.mark.parametrize("domain", [losses.SOURCE, losses.TARGET])
def test_vanilla_is_the_binary_cross_entropy_of_a_sigmoid(domain):
    logits = np.linspace(-5, 5, 24).reshape(2, 3, 4, 1)
    p = 1 / (1 + np.exp(-logits))
    expected = -(domain * np.log(p) + (1 - domain) * np.log(1 - p))
    total, count = losses.adversarial(jnp.asarray(logits, jnp.float32), domain, "vanilla")
    assert count == 24
    np.testing.assert_allclose(total, expected.sum(), rtol=1e-5)


def test_least_squares_is_the_squared_distance_to_the_domain():
    total, count = losses.adversarial(jnp.array([[[[3.0], [1.0]]]]), losses.TARGET, "ls")
    assert (total, count) == (4, 2)


def test_a_very_sure_discriminator_gives_a_finite_loss_and_gradient():
    def loss(x):
        return losses.adversarial(x, losses.SOURCE, "vanilla")[0]

    value, gradient = jax.value_and_grad(loss)(jnp.full((1, 1, 1, 1), 500.0))
    np.testing.assert_allclose([value, gradient.item()], [500, 1])


def test_fooling_means_answering_source_for_the_target():
    assert losses.SOURCE == 0 and losses.TARGET == 1
    looks_like_source, _ = losses.adversarial(
        jnp.full((1, 1, 1, 1), -3.0), losses.SOURCE, "vanilla"
    )
    looks_like_target, _ = losses.adversarial(jnp.full((1, 1, 1, 1), 3.0), losses.SOURCE, "vanilla")
    assert looks_like_source < looks_like_target


def test_discrepancy_is_a_mean_over_classes_too():
    # Two heads that are sure of different classes differ by 1 in two of C elements.
    for classes in (2, 10):
        one = 100.0 * jax.nn.one_hot(jnp.zeros((1, 2, 3), int), classes)
        other = 100.0 * jax.nn.one_hot(jnp.ones((1, 2, 3), int), classes)
        total, count = losses.discrepancy(one, other)
        np.testing.assert_allclose(total / count, 2 / classes, rtol=1e-6)


def test_weight_similarity_is_the_cosine_of_all_parameters_as_one_vector():
    one = {"a": jnp.array([[1.0, 2.0]]), "b": jnp.array([2.0])}
    np.testing.assert_allclose(losses.weight_similarity(one, one), 1, rtol=1e-6)
    opposite = jax.tree.map(lambda x: -3 * x, one)
    np.testing.assert_allclose(losses.weight_similarity(one, opposite), -1, rtol=1e-6)
    other = {"a": jnp.array([[2.0, 1.0]]), "b": jnp.array([0.0])}
    np.testing.assert_allclose(losses.weight_similarity(one, other), 4 / 3 / 5**0.5, rtol=1e-6)


# -------------------------------------------------------------------------- losses of one's own


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(losses, "_OPTIONAL", dict(losses._OPTIONAL))


def brier(logits, labels, config):
    """Squared distance of the probabilities from the label's one-hot vector."""
    valid = labels != 255
    distance = jnp.square(jax.nn.softmax(logits) - jax.nn.one_hot(labels, logits.shape[-1]))
    return jnp.where(valid, distance.sum(-1), 0.0).sum(), valid.sum(dtype=jnp.float32)


def test_a_loss_of_ones_own_is_switched_on_by_its_weight(registered):
    losses.loss("brier", domain="source")(brier)
    config = default_config()
    assert not list(losses.switched_on(config))
    config.loss.consistency = 0.1
    with config.unlocked():
        config.loss.own.brier = 0.5
    losses.check_names(config)
    found = {name: (optional.function, w) for name, optional, w in losses.switched_on(config)}
    assert found == {"consistency": (losses.local_consistency, 0.1), "brier": (brier, 0.5)}


def test_losses_of_ones_own_are_added_up_in_one_order_however_they_were_imported(registered):
    losses.loss("second", domain="source")(brier)
    losses.loss("first", domain="source")(brier)
    config = default_config()
    config.loss.consistency = 0.1
    config.loss.own.second = config.loss.own.first = 0.5
    found = [name for name, _, _ in losses.switched_on(config)]
    assert found == ["consistency", "first", "second"]


def test_a_weight_of_a_loss_that_is_not_there_is_refused_by_name(registered):
    config = default_config()
    with config.unlocked():
        config.loss.own.brier = 0.5
    with pytest.raises(UserError, match=r"config\.loss\.own\.brier: .* none is registered; name"):
        losses.check_names(config)
    losses.loss("brier2", domain="source")(brier)
    with pytest.raises(UserError, match=r"there is brier2; name its module in config\.plugins"):
        losses.check_names(config)


def test_a_name_that_is_taken_and_an_unknown_domain_are_refused(registered):
    with pytest.raises(UserError, match=r"loss 'negative' is registered by .*losses and by .*;"):
        losses.loss("negative", domain="target")(brier)
    with pytest.raises(ValueError, match="domain='both' is neither"):
        losses.loss("brier", domain="both")
