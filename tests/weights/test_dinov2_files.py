"""DINOv2's files of the hub and of Hugging Face: in, out again, and refused by name."""

import functools
import pathlib
import re

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict
from support.filling import filled

from labor_jax.config import default_config
from labor_jax.infer.convert import convert
from labor_jax.models import dinov2
from labor_jax.models.build import build_segmenter
from labor_jax.models.vision_transformer import Size
from labor_jax.util.errors import UserError
from labor_jax.weights import pretrained, tensor_files
from labor_jax.weights.pretrained import load_weights

IMAGE = np.zeros((1, 28, 28, 3), np.uint8)
BACKBONES = ("dinov2_small", "dinov2_small_reg", "dinov2_giant", "dinov2_giant_reg")


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """The small one and the giant have two and three blocks of few channels."""
    monkeypatch.setitem(dinov2.SIZES, "dinov2_small", Size(12, 2, 2))
    monkeypatch.setitem(dinov2.SIZES, "dinov2_giant", Size(18, 3, 3, "swiglu"))


def model(backbone: str) -> ConfigDict:
    c = default_config().model
    c.update({"backbone": backbone, "output_stride": 14, "head": "linear"})
    return c


@functools.cache
def variables(backbone: str) -> dict:
    return filled(build_segmenter(model(backbone), 5), IMAGE, seed=2)


def flat(values: dict) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf) for name, leaf in flatten_dict(values, sep="/").items()}


def backbone_of(values: dict) -> dict[str, np.ndarray]:
    return {name: leaf for name, leaf in flat(values).items() if "/backbone/" in name}


def hub(values: dict) -> dict[str, np.ndarray]:
    """The backbone's tensors as the hub has them, restated."""
    tensors = {}
    for name, value in backbone_of(values).items():
        path = name.removeprefix("params/backbone/")
        path = re.sub(r"/(kernel|scale)$", "/weight", path)
        path = re.sub(r"^patch_embed/", "patch_embed/proj/", path)
        path = re.sub(r"^blocks/(qkv|proj)/", r"blocks/attn/\1/", path)
        path = re.sub(r"^blocks/(fc1|fc2|w12|w3)/", r"blocks/mlp/\1/", path)
        if not path.startswith("blocks/"):
            four = value.ndim == 4
            tensors[path.replace("/", ".")] = value.transpose(3, 2, 0, 1) if four else value
            continue
        for i, block in enumerate(value):
            tensors[f"blocks.{i}.{path.removeprefix('blocks/').replace('/', '.')}"] = block.T
    return tensors


def hugging_face(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The hub's tensors under the names that `transformers` gives them."""
    renamed = {}
    for key, value in tensors.items():
        for old, new in (
            (r"^(cls_token|mask_token|register_tokens)", r"embeddings.\1"),
            (r"^pos_embed", "embeddings.position_embeddings"),
            (r"^patch_embed\.proj", "embeddings.patch_embeddings.projection"),
            (r"^norm\.", "layernorm."),
            (r"^blocks\.", "encoder.layer."),
            (r"attn\.proj", "attention.output.dense"),
            (r"ls(\d)\.gamma", r"layer_scale\1.lambda1"),
            (r"mlp\.w12", "mlp.weights_in"),
            (r"mlp\.w3", "mlp.weights_out"),
        ):
            key = re.sub(old, new, key)
        if ".attn.qkv." not in key:
            renamed[key] = value
            continue
        for name, part in zip(("query", "key", "value"), np.split(value, 3), strict=True):
            renamed[key.replace("attn.qkv", f"attention.attention.{name}")] = part
    return renamed


@pytest.fixture
def write(tmp_path):
    def to(tensors: dict, name: str = "weights.safetensors") -> str:
        path = tmp_path / name
        path.write_bytes(tensor_files.encode(tensors, path.suffix))
        return str(path)

    return to


def assert_same(ours: dict, expected: dict) -> None:
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        assert ours[name].dtype == value.dtype
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_both_kinds_of_file_give_the_same_parameters_bit_for_bit(write, backbone):
    values = variables(backbone)
    fresh = jax.tree.map(np.zeros_like, values)
    tensors = hub(values)
    for kind in (tensors, hugging_face(tensors)):
        path = write(kind)
        loaded = load_weights(path, model(backbone), fresh)
        assert_same(backbone_of(loaded), backbone_of(values))
        shapes = {name: leaf.shape for name, leaf in flat(values).items()}
        _, account = pretrained.fit(pretrained.open_weights(path), shapes)
        assert set(account.taken) == set(kind) and not account.left_out
        assert account.missing == ("main",)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_hubs_file_goes_out_as_it_came_in_and_hugging_faces_as_the_hubs(
    write, tmp_path, backbone
):
    tensors = hub(variables(backbone))
    for number, kind in enumerate((tensors, hugging_face(tensors))):
        out = tmp_path / f"out_{number}.safetensors"
        lines = convert(write(kind), str(out), backbone_only=False)
        assert f"{backbone}, no heads, style pytorch" in lines[0]
        assert_same(tensor_files.read(out).tensors, tensors)


def test_a_whole_segmenter_goes_out_and_comes_back(write):
    values = variables("dinov2_small_reg")
    tensors, reasons = pretrained.export(flat(values), "dinov2_small_reg", ())
    assert reasons == {} and list(tensors)[:2] == [
        "blocks.0.attn.proj.bias",
        "blocks.0.attn.proj.weight",
    ]
    fresh = jax.tree.map(np.zeros_like, values)
    loaded = load_weights(write(tensors), model("dinov2_small_reg"), fresh)
    assert_same(flat(loaded), flat(values))


def test_a_file_inside_of_another_network_is_found(write):
    values = variables("dinov2_small")
    inside = {f"dinov2.{key}": value for key, value in hugging_face(hub(values)).items()}
    path = write(inside | {"classifier.weight": np.ones((3, 24), np.float32)})
    loaded = load_weights(path, model("dinov2_small"), jax.tree.map(np.zeros_like, values))
    assert_same(backbone_of(loaded), backbone_of(values))
    assert pretrained.open_weights(path).left_out == {"classifier.weight": "outside of dinov2."}


# --------------------------------------------------------------------------------------- refusals


def refused(path: str, backbone: str = "dinov2_small") -> str:
    with pytest.raises(UserError) as error:
        load_weights(path, model(backbone), jax.tree.map(np.zeros_like, variables(backbone)))
    message = str(error.value)
    assert path in message and "\n" not in message and len(message) < 1000
    return message


def test_each_tensor_that_is_gone_misnamed_misshapen_or_whole_numbers_is_named(write):
    tensors, told = hub(variables("dinov2_small")), 0
    for kind in (tensors, hugging_face(tensors)):
        for number, (key, value) in enumerate(kind.items()):
            others = {k: v for k, v in kind.items() if k != key}
            damaged, words = (
                (others, f"{key} is missing"),
                (others | {f"{key}s": value}, f"{key}s is unknown"),
                (others | {key: value[..., :-1]}, f"{key} is {value[..., :-1].shape}, not"),
                (others | {key: value.astype(np.int8)}, f"{key} holds int8"),
            )[number % 4]
            assert words in refused(write(damaged))
            told += 1
    assert told > 70


def test_a_truncated_file_is_refused(write, tmp_path):
    for kind in (".safetensors", ".npz"):
        path = write(hub(variables("dinov2_small")), f"whole{kind}")
        data = pathlib.Path(path).read_bytes()
        for share in np.linspace(0, 1, 20, endpoint=False):
            cut = tmp_path / f"cut{kind}"
            cut.write_bytes(data[: int(share * len(data))])
            refused(str(cut))


def test_another_size_or_kind_of_dinov2_is_told(write):
    for own, other in (
        ("dinov2_small", "dinov2_giant"),
        ("dinov2_small_reg", "dinov2_small"),
        ("dinov2_giant", "dinov2_giant_reg"),
    ):
        message = refused(write(hub(variables(own))), other)
        assert f"looks like {own}, but model.backbone is {other};" in message
    tensors = hub(variables("dinov2_small"))
    tensors |= {k.replace(".1.", ".2."): v for k, v in tensors.items() if k.startswith("blocks.1.")}
    assert "a vision transformer of 3 blocks and 12 channels" in refused(write(tensors))


FOREIGN = {
    "DINOv3": [
        ("rope_embed.periods", "blocks.0.ls1.gamma", "storage_tokens"),
        ("embeddings.register_tokens", "layer.0.attention.q_proj.weight"),
        ("model.layer.3.attention.o_proj.weight", "norm.weight"),
    ],
    "SegFormer": [
        ("segformer.encoder.block.0.0.attention.self.query.weight", "decode_head.bias"),
        ("backbone.block1.0.attn.q.weight", "backbone.patch_embed1.proj.weight"),
    ],
    "": [
        ("cls_token", "pos_embed", "blocks.0.attn.qkv.weight", "head.weight"),  # DeiT, DINO, MAE
        ("vision_model.encoder.layers.0.self_attn.q_proj.weight",),  # CLIP
        ("encoder.layer.0.attention.attention.query.weight", "pooler.dense.weight"),  # ViT
    ],
}


@pytest.mark.parametrize(
    ("name", "keys"), [(n, keys) for n, many in FOREIGN.items() for keys in many]
)
def test_a_foreign_file_is_refused_and_one_of_a_licence_of_its_own_says_so(write, name, keys):
    message = refused(write({key: np.ones(3, np.float32) for key in keys}))
    if name:
        assert f"it looks like {name}, whose weights have a licence of their own" in message
    else:
        assert "not the weights of a known network" in message
