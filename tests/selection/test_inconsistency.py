"""Equation 4 and SPL's mask against plain NumPy."""

import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labor_jax.selection.inconsistency import inconsistency_mask, mean_probability

SHAPE = (2, 3, 4, 5)
# Few values, so that ties between classes are common.
LOGITS = hnp.arrays(np.float32, SHAPE, elements=st.sampled_from([-2.0, 0.0, 1.0, 30.0]))

mask_of = jax.jit(inconsistency_mask)
mean_of = jax.jit(mean_probability)


@given(LOGITS, LOGITS)
def test_the_mask_is_where_the_first_largest_classes_differ(logits1, logits2):
    expected = np.zeros(SHAPE[:3], bool)
    for place in np.ndindex(SHAPE[:3]):
        expected[place] = logits1[place].argmax() != logits2[place].argmax()
    np.testing.assert_array_equal(mask_of(logits1, logits2), expected)


@given(LOGITS, LOGITS)
def test_the_mean_probability_is_the_mean_of_two_softmaxes(logits1, logits2):
    e1, e2 = (np.exp(x.astype(np.float64)) for x in (logits1, logits2))
    expected = (e1 / e1.sum(-1, keepdims=True) + e2 / e2.sum(-1, keepdims=True)) / 2
    np.testing.assert_allclose(mean_of(logits1, logits2), expected, rtol=1e-5, atol=1e-30)


@given(LOGITS)
def test_heads_that_agree_leave_the_mask_empty(logits):
    assert not mask_of(logits, 2 * logits + 1).any()
