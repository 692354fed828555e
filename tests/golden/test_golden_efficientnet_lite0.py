"""EfficientNet-Lite0 computes what the published network computes, at each of its stages."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support import golden

from labor_jax.models.efficientnet_lite0 import EfficientNetLite0

KEYS = (
    (r"^stem/", "_conv_stem/"),
    (r"^stem_bn/", "_bn0/"),
    (r"^block_(\d+)/(expand|project|depthwise)/", r"_blocks/\1/_\2_conv/"),
    (r"^block_0/depthwise_bn/", "_blocks/0/_bn1/"),
    (r"^block_(\d+)/expand_bn/", r"_blocks/\1/_bn0/"),
    (r"^block_(\d+)/depthwise_bn/", r"_blocks/\1/_bn1/"),
    (r"^block_(\d+)/project_bn/", r"_blocks/\1/_bn2/"),
    (r"/(kernel|scale)$", "/weight"),
    (r"/(mean|var)$", r"/running_\1"),
    (r"/", "."),
)


def published(path: tuple) -> str:
    key = "/".join(entry.key for entry in path[1:])
    for pattern, replacement in KEYS:
        key = re.sub(pattern, replacement, key)
    return key


def variables(network: EfficientNetLite0, dtype: type) -> dict:
    """Weights of the recipe. A depthwise kernel is [C, 1, K, K] there and [K, K, 1, C] here."""
    image = jax.ShapeDtypeStruct((1, 64, 96, 3), dtype)
    shapes = jax.eval_shape(network.init, jax.random.key(0), image)

    def fill(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        shape = tuple(leaf.shape[axis] for axis in (3, 2, 0, 1)) if leaf.ndim == 4 else leaf.shape
        value = golden.weight(published(path), shape).astype(dtype)
        return value.transpose(2, 3, 1, 0) if leaf.ndim == 4 else value

    return jax.tree_util.tree_map_with_path(fill, shapes)


@pytest.mark.parametrize("size", [(64, 96), (65, 97)], ids=str)
def test_every_stage_agrees_with_the_published_network(size):
    reference = golden.load("efficientnet_lite0")
    network = EfficientNetLite0(output_stride=32, batch_norm="frozen")
    image = golden.nhwc(golden.rng(f"input{size}").standard_normal((1, 3, *size)))
    outputs = network.apply(
        variables(network, np.float32), jnp.asarray(image, jnp.float32), method="stages"
    )
    names = ["stem", *(f"stage{number}" for number in range(7))]
    for name, ours in zip(names, outputs, strict=True):
        wanted = np.moveaxis(reference[f"{size[0]}x{size[1]}_{name}"], 0, -1)
        scale = np.abs(wanted).max()
        got = np.asarray(ours[0, ..., : wanted.shape[-1]])
        np.testing.assert_allclose(got / scale, wanted / scale, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("stride", [pytest.param(8, marks=pytest.mark.slow), 16])
def test_a_smaller_output_stride_sees_the_same_features_more_densely(stride):
    # With dilation for strides, every second output is the original's: away from the border, where
    # TensorFlow's padding of a strided convolution is not that of a dilated one.
    size = (257, 257)  # odd: padding is alike on both sides
    image = jnp.asarray(golden.rng("image").standard_normal((1, *size, 3)), jnp.float32)
    coarse = EfficientNetLite0(output_stride=32, batch_norm="frozen")
    values = variables(coarse, np.float32)
    wanted = coarse.apply(values, image)[-1]
    dense = EfficientNetLite0(output_stride=stride, batch_norm="frozen").apply(values, image)[-1]
    every = 32 // stride
    np.testing.assert_allclose(dense[:, ::every, ::every], wanted, atol=2e-4)
