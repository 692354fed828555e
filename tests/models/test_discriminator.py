import golden
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from filling import filled, fresh

from labor_jax.losses import adversarial
from labor_jax.models import Discriminator


def test_output_and_losses_agree_with_the_published_program():
    reference = golden.load("discriminator")
    logits = 3 * golden.rng("d_logits").standard_normal((2, 19, 64, 96))
    maps = golden.nhwc(np.asarray(jax.nn.softmax(logits, axis=1), np.float32))
    network = Discriminator()
    shapes = jax.eval_shape(network.init, jax.random.key(0), maps)
    output = network.apply(golden.variables(shapes, np.float32), maps)
    np.testing.assert_allclose(output, golden.nhwc(reference["output"]), rtol=1e-4)
    for kind, name in (("vanilla", "bce"), ("ls", "mse")):
        for domain, side in ((0.0, "source"), (1.0, "target")):
            total, count = adversarial(output, domain, kind)
            np.testing.assert_allclose(total / count, reference[f"{name}_{side}"], rtol=1e-4)


def test_small_maps_still_get_a_patch():
    network, maps = Discriminator(8), jnp.ones((2, 64, 48, 11))
    output = network.apply(filled(network, maps), maps)
    assert output.shape == (2, 2, 1, 1)
    assert output.dtype == jnp.float32


def test_maps_without_a_patch_are_refused():
    with pytest.raises(ValueError, match="31x64 is too small"):
        Discriminator(8).init(jax.random.key(0), jnp.ones((1, 31, 64, 11)))


def test_fresh_weights_fill_the_bounds_of_pytorch():
    params = fresh(Discriminator(8), jnp.ones((1, 32, 32, 11)))["params"]
    bound = (16 * 16) ** -0.5  # conv3 sees 16 channels
    kernel = np.abs(params["conv3"]["kernel"])
    assert 0.99 * bound < kernel.max() <= bound
    assert 0 < np.abs(params["conv3"]["bias"]).max() <= bound
