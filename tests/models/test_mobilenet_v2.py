import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from support.filling import filled, fresh

from labor_jax.config import default_config
from labor_jax.models.mobilenet_v2 import MobileNetV2
from labor_jax.weights.pretrained import load_weights

IMAGES = np.random.default_rng(0).uniform(-1, 1, (1, 48, 81, 3)).astype(np.float32)


def random_tensors() -> dict[str, np.ndarray]:
    """What an .npz holds, classifier included, of a scale that keeps every ReLU6 busy."""
    shapes = jax.eval_shape(MobileNetV2().init, jax.random.key(0), IMAGES)["params"]
    rng = np.random.default_rng(0)
    tensors = {}
    for name, leaf in sorted(flatten_dict(shapes, sep="/").items()):
        scale = 1.5 / np.sqrt(np.prod(leaf.shape[:3])) if name.endswith("kernel") else 0.3
        tensors[name] = (scale * rng.standard_normal(leaf.shape)).astype(np.float32)
    for name, inputs, outputs in (("51_conv", 320, 1280), ("52_conv", 1280, 1001)):
        tensors[f"{name}/kernel"] = np.zeros((1, 1, inputs, outputs), np.float32)
        tensors[f"{name}/bias"] = np.zeros(outputs, np.float32)
    return tensors


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    return random_tensors()


def windows(x: np.ndarray, stride: int, dilation: int):
    """The nine inputs of each output, TensorFlow's SAME padding restated."""
    x = x.astype(np.float64)
    counts = [-(-length // stride) for length in x.shape[1:3]]
    pads = [
        max((count - 1) * stride + 2 * dilation + 1 - length, 0)
        for count, length in zip(counts, x.shape[1:3], strict=True)
    ]
    x = np.pad(x, ((0, 0), *((pad // 2, pad - pad // 2) for pad in pads), (0, 0)))
    for row in range(3):
        for column in range(3):
            rows = np.arange(counts[0]) * stride + row * dilation
            columns = np.arange(counts[1]) * stride + column * dilation
            yield row, column, x[:, rows][:, :, columns]


def restated(tensors: dict[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """MobileNetV2 at output stride 16, in NumPy from the numbers of the layers alone."""
    block_input = outputs = None
    kept = {}
    for name in sorted({name.split("/")[0] for name in tensors}):
        number, kind = int(name[:2]), name[3:]
        if number > 50:
            break
        kernel, bias = tensors[f"{name}/kernel"], tensors[f"{name}/bias"]
        if number % 3 == 0:
            block_input = x
        if kind == "dw":
            stride = 2 if number in (4, 10, 19) else 1
            dilation = 2 if number in (43, 46, 49) else 1
            outputs = sum(w * kernel[r, c, 0] for r, c, w in windows(x, stride, dilation))
        elif number == 0:
            outputs = sum(w @ kernel[r, c] for r, c, w in windows(x, 2, 1))
        else:
            outputs = x @ kernel[0, 0]
        outputs = outputs + bias
        projects = number > 0 and number % 3 == 2
        if not projects:
            outputs = np.clip(outputs, 0, 6)
        elif number > 2 and outputs.shape == block_input.shape:
            outputs = outputs + block_input
        x = kept[number] = outputs
    return kept[38], kept[50]


def assert_agree(tensors: dict[str, np.ndarray], params: dict) -> None:
    ours = jax.jit(MobileNetV2(output_stride=16).apply)({"params": params}, IMAGES)
    for value, expected in zip(ours[-2:], restated(tensors, IMAGES), strict=True):
        scale = np.abs(expected).max()
        assert scale > 0.1
        np.testing.assert_allclose(value / scale, expected / scale, atol=1e-4)


def loaded(path: str | os.PathLike) -> dict:
    shapes = jax.eval_shape(MobileNetV2().init, jax.random.key(0), IMAGES)["params"]
    blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    config = default_config().model
    config.backbone, config.style = "mobilenet_v2", "tensorflow"
    return load_weights(path, config, {"params": {"backbone": blank}})["params"]["backbone"]


def test_a_file_of_weights_gives_the_published_network(tmp_path, tensors):
    np.savez(tmp_path / "weights.npz", **tensors)
    assert_agree(tensors, loaded(tmp_path / "weights.npz"))


@pytest.mark.skipif("LABOR_JAX_MOBILENET" not in os.environ, reason="names the ImageNet weights")
def test_the_imagenet_weights_give_the_published_network():
    path = os.environ["LABOR_JAX_MOBILENET"]
    with np.load(path) as archive:
        assert_agree(dict(archive), loaded(path))


def test_stride_8_features_subsampled_are_those_of_stride_16():
    """SAME padding centres a stride of two on odd positions when the size is even."""
    image = IMAGES[:, :32, :64]
    dense, sparse = (MobileNetV2(width=0.25, output_stride=stride) for stride in (8, 16))
    params = filled(dense, image)
    outputs = (jax.jit(network.apply)(params, image) for network in (dense, sparse))
    for fine, coarse in zip(*(levels[-2:] for levels in outputs), strict=True):
        np.testing.assert_allclose(fine[:, 1::2, 1::2], coarse, atol=1e-5)


def test_a_fresh_network_keeps_the_scale_of_its_input():
    network = MobileNetV2(width=0.5)
    last = jax.jit(network.apply)(fresh(network, IMAGES), IMAGES)[-1]
    assert 0.05 < float(last.std()) < 5
