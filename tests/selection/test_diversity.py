"""k-centre against plain NumPy."""

import functools

import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labor_jax.selection.diversity import k_centre

B, H, W, F = 2, 3, 4, 3
FEATURES = hnp.arrays(np.float32, (B, H, W, F), elements=st.floats(0.125, 4, width=32))
TAKEN = hnp.arrays(bool, (B, H, W), elements=st.sampled_from([False, False, True]))
kernel = jax.jit(functools.partial(k_centre, number=H * W))


@given(FEATURES, TAKEN)
def test_each_cell_is_the_farthest_from_those_before_and_none_is_chosen_twice(features, taken):
    cells, found = jax.device_get(kernel(features, taken))
    for own, closed, chosen, there in zip(features, taken, cells, found, strict=True):
        flat = own.reshape(-1, F) / np.linalg.norm(own.reshape(-1, F), axis=1, keepdims=True)
        distances = 1 - flat @ flat.T
        closed = closed.ravel().copy()
        assert there.sum() == (~closed).sum() and there[: there.sum()].all()
        if not closed.any():
            from_mean = 1 - flat @ flat.mean(0)
            assert from_mean[chosen[0]] >= from_mean.max() - 1e-5
        for number, cell in enumerate(chosen[: there.sum()]):
            assert not closed[cell]
            if closed.any():
                nearest = distances[:, closed].min(1)
                assert nearest[cell] >= nearest[~closed].max() - 1e-5, number
            closed[cell] = True
