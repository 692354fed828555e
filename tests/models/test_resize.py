import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labor_jax.models.resize import interpolated, upsample, upsample_each

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def restated(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """PyTorch's `interpolate(mode="bilinear", align_corners=True)`, pixel by pixel."""
    batch, height, width, channels = x.shape
    out = np.zeros((batch, *size, channels))
    for i in range(size[0]):
        for j in range(size[1]):
            y = i * (height - 1) / (size[0] - 1) if size[0] > 1 else 0.0
            z = j * (width - 1) / (size[1] - 1) if size[1] > 1 else 0.0
            top, left = min(int(y), height - 1), min(int(z), width - 1)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            a, b = y - top, z - left
            upper = (1 - b) * x[:, top, left] + b * x[:, top, right]
            lower = (1 - b) * x[:, bottom, left] + b * x[:, bottom, right]
            out[:, i, j] = (1 - a) * upper + a * lower
    return out


@settings(max_examples=20, deadline=None)
@given(old=SIZES, new=SIZES)
def test_resizing_agrees_with_its_restatement(old, new):
    x = np.random.default_rng(0).standard_normal((2, *old, 3)).astype(np.float32)
    np.testing.assert_allclose(upsample(jnp.asarray(x), new), restated(x, new), atol=1e-5)


@pytest.mark.parametrize(
    "old, new", [((3, 2), (131, 66)), ((17, 9), (64, 129)), ((140, 7), (67, 8))]
)
def test_an_answer_of_several_blocks_agrees_with_its_restatement(old, new):
    x = np.random.default_rng(0).standard_normal((1, *old, 2)).astype(np.float32)
    np.testing.assert_allclose(upsample(jnp.asarray(x), new), restated(x, new), atol=1e-5)


def test_each_image_of_a_batch_is_resized_to_a_size_of_its_own():
    """Of the same numbers but for the last bits: a product adds its two terms in some order."""
    natives, canvas = [(45, 61), (3, 2), (7, 70), (1, 1)], (50, 70)
    x = np.random.default_rng(0).standard_normal((4, 5, 6, 3)).astype(np.float32)
    each = jax.jit(upsample_each, static_argnums=1)
    found = np.array(each(x, canvas, np.int32(natives)))
    for image, rows, (height, width) in zip(found, x[:, None], natives, strict=True):
        wanted = jax.jit(upsample, static_argnums=1)(rows, (height, width))[0]
        np.testing.assert_allclose(image[:height, :width], wanted, atol=2e-6)
        image[:height, :width] = 0
        assert not image.any()


@pytest.mark.parametrize("axis", [0, 1])
def test_the_work_is_linear_in_rows_and_columns(axis):
    def flops(times):
        shape = [(times * 16, 16), (16, times * 16)][axis]
        x = jax.ShapeDtypeStruct((1, *shape, 3), jnp.float32)
        size = tuple(8 * n for n in shape)
        return jax.jit(upsample, static_argnums=1).lower(x, size).compile().cost_analysis()["flops"]

    assert flops(16) < 1.2 * 4 * flops(4)


def test_corners_stay_what_they_are():
    x = jnp.arange(12.0).reshape(1, 3, 4, 1)
    y = upsample(x, (45, 61))[0, :, :, 0]
    corners = [float(y[i, j]) for i in (0, -1) for j in (0, -1)]
    np.testing.assert_allclose(corners, [0, 3, 8, 11], rtol=1e-6)


def test_the_gradient_is_the_transpose():
    x, g = jnp.ones((1, 3, 5, 2)), jnp.ones((1, 12, 9, 2))
    gradient = jax.grad(lambda x: (upsample(x, (12, 9)) * g).sum())(x)
    np.testing.assert_allclose(gradient.sum(), g.sum(), rtol=1e-6)
    assert gradient.min() > 0


def test_logits_keep_their_type():
    assert upsample(jnp.ones((1, 2, 2, 1), jnp.bfloat16), (4, 4)).dtype == jnp.bfloat16


def test_interpolated_features_give_the_upsampled_logits():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((5, 7, 4)).astype(np.float32)
    kernel = rng.standard_normal((4, 3)).astype(np.float32)
    whole = upsample(jnp.asarray(features @ kernel)[None], (40, 60))[0]
    rows, columns = rng.integers(0, 40, 30), rng.integers(0, 60, 30)
    at = interpolated(jnp.asarray(features), jnp.asarray(rows / 39), jnp.asarray(columns / 59))
    np.testing.assert_allclose(at @ kernel, whole[rows, columns], rtol=1e-4, atol=1e-4)
