"""DINOv3 computes what `transformers` computes with a file that it wrote, of random weights.

`make_transformers_dinov3.py` made them.
"""

import pathlib

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from labor_jax.config import default_config
from labor_jax.infer.convert import convert
from labor_jax.models import dinov3, positions, vision_transformer
from labor_jax.models.build import build_segmenter
from labor_jax.models.normalise import normalise
from labor_jax.models.vision_transformer import Size, VisionTransformer
from labor_jax.util.errors import UserError
from labor_jax.weights import licences, tensor_files
from labor_jax.weights.pretrained import load_weights

HERE = pathlib.Path(__file__).parent
NETWORK = VisionTransformer(Size(24, 2, 2), dinov3.KIND, levels=1)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setitem(dinov3.SIZES, "dinov3_small", NETWORK.size)


@pytest.fixture(scope="module")
def params():
    """By path, float32."""
    config = default_config().model
    config.update({"backbone": "dinov3_small", "output_stride": 16, "head": "linear"})
    config.accept_licence = "dinov3"
    image = jax.ShapeDtypeStruct((1, 32, 32, 3), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(dinov3.SIZES, "dinov3_small", NETWORK.size)
        shapes = jax.eval_shape(build_segmenter(config, 5).init, jax.random.key(0), image)
        fresh = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        loaded = load_weights(HERE / "transformers_dinov3.safetensors", config, fresh)
    return flatten_dict(loaded["params"]["backbone"], sep="/")


def distance(params: dict, network: VisionTransformer = NETWORK) -> float:
    """How far all tokens are from those of transformers, as a share of the largest."""
    image = np.random.default_rng(0).integers(0, 256, (1, 80, 112, 3), np.uint8)
    seen = normalise(image, "pytorch")
    tree = {"params": unflatten_dict(params, sep="/")}
    found = np.asarray(jax.jit(lambda: network.apply(tree, seen, method="tokens"))())[-1, 0]
    with np.load(HERE / "transformers_dinov3.npz") as theirs:
        wanted = theirs["tokens"]
    return np.abs(found - wanted).max() / np.abs(wanted).max()


def test_all_tokens_are_those_of_transformers(params):
    assert distance(params) < 1e-5


def swapped(size: tuple[int, int], channels: int) -> np.ndarray:
    """Angles with columns before rows."""
    return np.roll(positions.turns(size, channels), channels // 4, axis=1)


TRAPS = {
    "epsilon of DINOv2": ("kind", dinov3.KIND._replace(epsilon=1e-6)),
    "periods of another base": ("PERIOD", 10000.0),
    "columns before rows": ("turns", swapped),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_a_trap_that_is_walked_into_is_seen(params, trap, monkeypatch):
    where, change = TRAPS[trap]
    network = NETWORK.clone(kind=change) if where == "kind" else NETWORK
    if where != "kind":
        owner = positions if where == "PERIOD" else vision_transformer
        monkeypatch.setattr(owner, where, change)
    assert distance(params, network) > 3e-5


def test_without_a_word_on_its_licence_the_file_is_refused_and_with_it_goes_out_as_it_came(
    tmp_path,
):
    source = HERE / "transformers_dinov3.safetensors"
    out = tmp_path / "out.safetensors"
    with pytest.raises(UserError, match=r"it looks like DINOv3, .*--accept_licence=dinov3 to conv"):
        convert(str(source), str(out), backbone_only=False)
    lines = convert(str(source), str(out), backbone_only=False, accepted="dinov3")
    assert "dinov3_small, no heads, style pytorch" in lines[0]
    theirs, ours = tensor_files.read(source).tensors, tensor_files.read(out).tensors
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        np.testing.assert_array_equal(ours[key], value, err_msg=key)


def test_which_backbones_weights_have_a_licence_of_their_own_is_known():
    assert "Meta" in licences.of_backbone("dinov3_small")
    assert licences.of_backbone("dinov2_small") == ""


def test_metas_own_file_is_told_from_a_dinov2_and_what_to_give_instead(tmp_path):
    file = tmp_path / "dinov3_vits16.safetensors"
    keys = ("storage_tokens", "blocks.0.ls1.gamma", "rope_embed.periods")
    file.write_bytes(
        tensor_files.encode({key: np.ones(3, np.float32) for key in keys}, ".safetensors")
    )
    with pytest.raises(UserError, match=r"it is DINOv3's own file; give Hugging Face's"):
        convert(str(file), str(tmp_path / "out.npz"), backbone_only=False, accepted="dinov3")
