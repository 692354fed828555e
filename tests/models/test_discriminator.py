import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.filling import filled, fresh

from labor_jax.models.discriminator import Discriminator


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
