"""Files that `transformers` wrote, and the features that it computes with them.

`make_transformers_dinov2.py` made them, with random weights and smooth positions.
"""

import pathlib

import jax
import numpy as np
import pytest

from labor_jax.config import default_config
from labor_jax.models import dinov2, positions
from labor_jax.models.build import build_segmenter
from labor_jax.models.vision_transformer import Size
from labor_jax.weights.pretrained import load_weights

HERE = pathlib.Path(__file__).parent
BACKBONES = {"plain": "dinov2_small", "reg": "dinov2_small_reg"}


def features(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Ours and theirs of one image of 224x224, [patches, F] float32 each."""
    image = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    config = default_config().model
    config.update({"backbone": BACKBONES[kind], "output_stride": 14, "head": "linear"})
    network = build_segmenter(config, 5)
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), image, train=False))
    fresh = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
    variables = load_weights(str(HERE / f"transformers_dinov2_{kind}.safetensors"), config, fresh)
    ours = jax.jit(lambda: network.apply(variables, image, method="levels"))()[-1]
    with np.load(HERE / "transformers_dinov2.npz") as theirs:
        return np.asarray(ours).reshape(-1, ours.shape[-1]), theirs[kind]


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setitem(dinov2.SIZES, "dinov2_small", Size(12, 2, 2))


def test_features_with_registers_are_those_of_transformers():
    ours, theirs = features("reg")
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_features_without_registers_differ_by_the_hubs_offset_of_positions_alone(monkeypatch):
    """The hub moves the centres of resized positions by a tenth of a patch; transformers do not."""
    ours, theirs = features("plain")
    largest = np.abs(theirs).max()
    assert 1e-4 * largest < np.abs(ours - theirs).max() < 1e-2 * largest
    monkeypatch.setattr(positions, "OFFSET", 0.0)
    ours, theirs = features("plain")
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * largest)
