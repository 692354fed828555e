"""Weights and inputs of the golden numbers in tests/golden, rebuilt from their names alone.

The numbers are what the published PyTorch programs compute on weights of this recipe, where each
tensor's generator is keyed by its name in the state dict.
"""

import pathlib
import re
import zlib

import jax
import numpy as np

FOLDER = pathlib.Path(__file__).parents[1] / "golden"


def load(name: str) -> dict[str, np.ndarray]:
    with np.load(FOLDER / f"{name}.npz") as archive:
        return dict(archive)


def rng(key: str) -> np.random.Generator:
    return np.random.default_rng([0, zlib.crc32(key.encode())])


def weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor of the state dict, in PyTorch's layout."""
    noise = rng(key).standard_normal(shape)
    if key.endswith("running_var"):
        return np.exp(0.1 * noise)
    if len(shape) == 4:
        return noise / np.sqrt(np.prod(shape[1:]))
    return 1 + 0.1 * noise if key.endswith("weight") else 0.1 * noise


def torch_key(path: str) -> str:
    """The state dict's name of one of our tensors: `backbone/layer3_0/downsample_bn/scale`."""
    path = path.removeprefix("backbone/")
    path = path.replace("aux/branch_", "layer5/conv2d_list/")
    path = path.replace("main/branch_", "layer6/conv2d_list/")
    path = re.sub(r"layer(\d)_(\d+)", r"layer\1/\2", path)
    path = path.replace("downsample_conv", "downsample/0").replace("downsample_bn", "downsample/1")
    for ours, theirs in (
        ("/kernel", "/weight"),
        ("/scale", "/weight"),
        ("/mean", "/running_mean"),
        ("/var", "/running_var"),
    ):
        path = path.replace(ours, theirs)
    return path.replace("/", ".")


def variables(shapes: dict, dtype: type) -> dict:
    """Every tensor of a network's variables. shapes: its `jax.eval_shape`d initialisation."""

    def fill(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        key = torch_key("/".join(entry.key for entry in path[1:]))
        if len(leaf.shape) < 4:
            return weight(key, leaf.shape).astype(dtype)
        height, width, inputs, outputs = leaf.shape
        value = weight(key, (outputs, inputs, height, width))
        return value.transpose(2, 3, 1, 0).astype(dtype)

    return jax.tree_util.tree_map_with_path(fill, shapes)


def nhwc(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, 1, -1)
