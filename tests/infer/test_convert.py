"""`labor-jax convert-weights`: files to files, runs to files, and a line for every tensor."""

import pathlib
import re

import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from support import commands

from labor_jax.infer import restore
from labor_jax.infer.convert import convert
from labor_jax.util.errors import UserError
from labor_jax.weights import tensor_files
from labor_jax.weights.pretrained import load_weights

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    """The finished run's segmenter as a file."""
    path = tmp_path_factory.mktemp("exported") / "segmenter.safetensors"
    convert(str(finished), str(path), False)
    return path


def rewritten(path, folder, **changes):
    """The file with some tensors changed, renamed (a string) or left out (None)."""
    tensors = dict(tensor_files.read(path).tensors)
    for key, change in changes.items():
        value = tensors.pop(key)
        if change is not None:
            tensors |= {change: value} if isinstance(change, str) else {key: change}
    changed = folder / "changed.safetensors"
    changed.write_bytes(tensor_files.encode(tensors, ".safetensors"))
    return changed


def test_a_runs_segmenter_goes_out_and_comes_back_bit_for_bit(finished, exported):
    run = restore.restore(finished)
    variables = {k: dict(v) for k, v in run.segmenter.variables.items()}
    zeros = {k: _zeros(tree) for k, tree in variables.items()}
    loaded = flatten_dict(load_weights(exported, run.config.model, zeros))
    for name, value in flatten_dict(variables).items():
        np.testing.assert_array_equal(loaded[name], value)


def _zeros(tree):
    return {k: _zeros(v) if isinstance(v, dict) else np.zeros_like(v) for k, v in tree.items()}


def test_a_file_becomes_another_of_the_same_tensors(exported, tmp_path):
    told = "\n".join(convert(str(exported), str(tmp_path / "other.npz"), False))
    convert(str(tmp_path / "other.npz"), str(tmp_path / "back.safetensors"), False)
    assert (tmp_path / "back.safetensors").read_bytes() == exported.read_bytes()
    assert "resnet18, deeplab_v2 of 4 branches, 11 classes" in told
    tensors = tensor_files.read(exported).tensors
    counts = sum(name.endswith("num_batches_tracked") for name in tensors)
    assert f"taken       {len(tensors) - counts}" in told
    assert re.search(rf"left out +{counts} .*PyTorch's counts of batches", told)
    assert re.search(rf"written +{len(tensors)} ", told)


def test_the_backbone_alone_can_be_written(exported, tmp_path):
    backbone, again = (str(tmp_path / f"{name}.safetensors") for name in ("backbone", "again"))
    told = convert(str(exported), backbone, True) + convert(backbone, again, False)
    tensors = tensor_files.read(again).tensors
    whole = tensor_files.read(exported).tensors
    assert set(tensors) == {name for name in whole if not re.match(r"layer[56]\.", name)}
    assert any(re.match(r"left out +16 .*--backbone_only$", line) for line in told)
    assert any("no heads" in line for line in told)


def test_what_a_file_lacks_or_has_too_much_is_an_error_and_nothing_is_written(exported, tmp_path):
    changed = rewritten(
        exported,
        tmp_path,
        **{
            "layer1.0.conv1.weight": "layer1.0.conv9.weight",
            "bn1.bias": None,
            "layer6.conv2d_list.1.bias": np.zeros(3, np.float32),
        },
    )
    with pytest.raises(UserError) as error:
        convert(str(changed), str(tmp_path / "out.safetensors"), False)
    for words in (
        "layer1.0.conv1.weight is missing",
        "bn1.bias is missing",
        "layer1.0.conv9.weight is unknown",
        "layer6.conv2d_list.1.bias is (3,), not (11,)",
    ):
        assert words in str(error.value)
    assert not (tmp_path / "out.safetensors").exists()


def test_a_missing_head_is_told_and_half_a_head_refused(exported, tmp_path):
    aux = [k for k in tensor_files.read(exported).tensors if k.startswith("layer5.")]
    without = rewritten(exported, tmp_path, **dict.fromkeys(aux))
    told = convert(str(without), str(tmp_path / "main.safetensors"), False)
    assert "missing          aux: not written" in told
    with pytest.raises(UserError, match=r"layer5\.conv2d_list\.0\.bias is missing"):
        half = rewritten(exported, tmp_path, **dict.fromkeys(k for k in aux if k[-4:] == "bias"))
        convert(str(half), str(tmp_path / "half.safetensors"), False)


def test_a_resnet_that_there_is_not_is_named(tmp_path):
    keys = [f"layer3.{block}.conv{n}.weight" for block in range(36) for n in (1, 2, 3)]
    path = tmp_path / "resnet152.safetensors"
    path.write_bytes(
        tensor_files.encode({k: np.zeros(1, np.float32) for k in keys}, ".safetensors")
    )
    with pytest.raises(
        UserError, match=r"resnet152\.safetensors looks like resnet152; there is only .*resnet101, "
    ):
        convert(str(path), str(tmp_path / "out.safetensors"), False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.pth", "out.npz"], "absent.pth: no such file"),
        (
            ["absent.pth", "out.pth"],
            "out.pth: give a DST that ends in .safetensors or .npz; PyTorch",
        ),
        (["absent.pth"], "DST is missing; give SRC DST"),
        (["a.pth", "b.pth", "c.pth"], "unexpected 'c.pth'"),
    ],
)
def test_a_mistaken_call_is_one_line(arguments, words):
    assert words in commands.the_line(commands.call("convert-weights", *arguments))
