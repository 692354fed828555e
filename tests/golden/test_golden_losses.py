"""The losses and the mask are the published programs'."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import golden

from labor_jax.models.discriminator import Discriminator
from labor_jax.selection.inconsistency import inconsistency_mask
from labor_jax.train import losses


def test_the_discriminator_and_its_four_losses_are_the_published_ones():
    reference = golden.load("discriminator")
    logits = 3 * golden.rng("d_logits").standard_normal((2, 19, 64, 96))
    maps = golden.nhwc(np.asarray(jax.nn.softmax(logits, axis=1), np.float32))
    network = Discriminator()
    shapes = jax.eval_shape(network.init, jax.random.key(0), maps)
    output = network.apply(golden.variables(shapes, np.float32), maps)
    np.testing.assert_allclose(output, golden.nhwc(reference["output"]), rtol=1e-4)
    for kind, name in (("vanilla", "bce"), ("ls", "mse")):
        for domain, side in ((losses.SOURCE, "source"), (losses.TARGET, "target")):
            loss = losses.normalise(losses.adversarial(output, domain, kind), None)
            np.testing.assert_allclose(loss, reference[f"{name}_{side}"], rtol=1e-4)


@pytest.fixture(scope="module")
def heads() -> list[jax.Array]:
    """The logits of two disagreeing heads, [2, 33, 65, 19] float32 each."""
    shape = (2, 19, 33, 65)
    logits = (2 * golden.rng(f"disc_logits{i}").standard_normal(shape) for i in (1, 2))
    return [jnp.asarray(golden.nhwc(x), jnp.float32) for x in logits]


def test_the_discrepancy_and_its_gradient_are_the_published_ones(heads):
    reference = golden.load("discrepancy")
    value, gradient = jax.jit(
        jax.value_and_grad(lambda x: losses.normalise(losses.discrepancy(x, heads[1]), None))
    )(heads[0])
    np.testing.assert_allclose(value, reference["value"], rtol=1e-5)
    scale = abs(reference["grad1"]).max()
    np.testing.assert_allclose(gradient, golden.nhwc(reference["grad1"]), atol=1e-4 * scale)


def test_the_mask_covers_as_much_as_the_published_program_finds(heads):
    mask = inconsistency_mask(*heads)
    assert mask.shape == (2, 33, 65) and mask.dtype == bool
    np.testing.assert_allclose(mask.mean(), golden.load("discrepancy")["mask_fraction"], rtol=1e-6)


def test_the_regularisers_of_the_pseudo_labels_are_the_published_ones():
    reference = golden.load("pseudo_label")
    logits = golden.nhwc(golden.rng("reg_logits").standard_normal((2, 19, 16, 24)))
    where = golden.rng("reg_mask").random((2, 1, 16, 24))[:, 0] < 0.4
    for loss, name in ((losses.entropy, "entropy_loss"), (losses.uniformity, "kld_loss")):
        value = losses.normalise(loss(jnp.asarray(logits, jnp.float32), where), None)
        np.testing.assert_allclose(value, reference[name], rtol=1e-5)
