"""The class of the highest score, whatever the number of classes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from labor_jax.models.likeliest import SLICE, likeliest


@settings(deadline=None)
@given(
    st.sampled_from([1, 2, SLICE, SLICE + 1, 2 * SLICE, 5 * SLICE + 3]),
    st.integers(0, 10**6),
    st.integers(1, 9),
)
def test_it_is_the_first_of_the_highest(classes, seed, levels):
    # Few levels, so that many scores are equal.
    scores = np.random.default_rng(seed).integers(-levels, levels, (4, 3, classes))
    scores = scores.astype(np.float32)
    np.testing.assert_array_equal(likeliest(scores), scores.argmax(-1))
