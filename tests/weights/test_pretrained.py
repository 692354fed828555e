"""Weights in and out: every tensor of a file is taken, explained, or refused by its name."""

import functools
import pathlib
import re

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict
from support import golden, tiny
from support.filling import filled

from labor_jax.config import default_config
from labor_jax.models.build import build_segmenter
from labor_jax.models.mobilenet_v2 import MobileNetV2
from labor_jax.train import state
from labor_jax.util.errors import UserError
from labor_jax.weights import pretrained, tensor_files
from labor_jax.weights.pretrained import load_weights

CLASSES = 5
IMAGE = np.zeros((1, 32, 32, 3), np.uint8)


def model_config(backbone: str, **values) -> ConfigDict:
    config = default_config().model
    config.update({"backbone": backbone, "width": 0.125, "batch_norm": "frozen"} | values)
    return config


@functools.cache
def segmenter(backbone: str, **values) -> dict:
    """The variables of a narrow segmenter, in which every tensor is another."""
    return filled(build_segmenter(model_config(backbone, **values), CLASSES), IMAGE, seed=3)


def zeros(variables: dict) -> dict:
    return jax.tree.map(np.zeros_like, variables)


def flat(variables: dict) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf) for name, leaf in flatten_dict(variables, sep="/").items()}


def assert_same(ours: dict, expected: dict) -> None:
    ours, expected = flat(ours), flat(expected)
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        assert ours[name].dtype == value.dtype
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


def published(variables: dict, prefix: str = "") -> dict[str, np.ndarray]:
    """As PyTorch programs have it, by the restatement of the golden numbers."""
    tensors = {}
    for name, value in flat(variables).items():
        key = prefix + golden.torch_key(name.split("/", 1)[1])
        tensors[key] = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
        if key.endswith("running_mean"):
            counter = key.replace("running_mean", "num_batches_tracked")
            tensors[counter] = np.array(1234, np.int64)
    return tensors


def backbone_of(variables: dict) -> dict:
    return {kind: {"backbone": tree["backbone"]} for kind, tree in variables.items()}


@pytest.fixture
def write(tmp_path):
    """Writes tensors to a new file and returns its path."""

    def to(tensors: dict, suffix: str = ".safetensors") -> pathlib.Path:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}{suffix}"
        path.write_bytes(tensor_files.encode(tensors, suffix))
        return path

    return to


# -------------------------------------------------------------------------------------------- out


def test_a_resnet101_goes_out_as_the_640_tensors_of_adaptsegnet_and_advent():
    network = build_segmenter(model_config("resnet101", style="caffe", width=1.0), 19)
    leaves = flatten_dict(jax.eval_shape(network.init, jax.random.key(0), IMAGE), sep="/")
    values = {n: np.broadcast_to(np.float32(0), leaf.shape) for n, leaf in leaves.items()}
    tensors, _ = pretrained.export(values, "resnet101", (6, 12, 18, 24))

    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = {"conv1.weight", *(f"bn1.{part}" for part in norm)}
    for layer, blocks in ((1, 3), (2, 4), (3, 23), (4, 3)):
        for block in range(blocks):
            prefix = f"layer{layer}.{block}"
            for number in (1, 2, 3):
                expected.add(f"{prefix}.conv{number}.weight")
                expected |= {f"{prefix}.bn{number}.{part}" for part in norm}
        expected.add(f"layer{layer}.0.downsample.0.weight")
        expected |= {f"layer{layer}.0.downsample.1.{part}" for part in norm}
    for head in ("layer5", "layer6"):
        for branch in range(4):
            expected |= {f"{head}.conv2d_list.{branch}.{part}" for part in ("weight", "bias")}
    assert len(expected) == 640
    assert tensors.keys() == expected
    assert tensors["conv1.weight"].shape == (64, 3, 7, 7)
    assert tensors["layer3.22.conv2.weight"].shape == (256, 256, 3, 3)
    assert tensors["layer5.conv2d_list.3.weight"].shape == (19, 1024, 3, 3)
    assert tensors["layer6.conv2d_list.0.bias"].shape == (19,)


@pytest.mark.parametrize("suffix", tensor_files.WRITTEN)
@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "mobilenet_v2"])
def test_a_segmenter_goes_out_and_comes_back_bit_for_bit(write, backbone, suffix):
    variables = segmenter(backbone)
    config = model_config(backbone)
    tensors, _ = pretrained.export(flat(variables), config.backbone, config.dilations)
    if backbone != "mobilenet_v2":
        assert tensors.keys() == published(variables).keys()
    path = write(tensors, suffix)
    assert_same(load_weights(path, config, zeros(variables)), variables)


@pytest.mark.parametrize("backbone", ["resnet18", "mobilenet_v2"])
@pytest.mark.parametrize("head", ["deeplab_v3plus", "linear"])
def test_other_heads_go_out_and_come_back_and_a_file_tells_which_it_has(write, backbone, head):
    own = {"head": head, "dilations": (1, 2)}
    variables = segmenter(backbone, **own)
    config = model_config(backbone, **own)
    path = write(pretrained.export(flat(variables), backbone, config.dilations)[0])
    assert_same(load_weights(path, config, zeros(variables)), variables)
    network = pretrained.open_weights(path).network
    branches = 2 if head == "deeplab_v3plus" else 0
    assert (network.head, network.branches, network.classes) == (head, branches, CLASSES)
    with pytest.raises(UserError, match=r"is unknown"):
        load_weights(path, model_config(backbone, dilations=(1, 2)), zeros(segmenter(backbone)))


def test_two_branches_go_out_as_four_of_which_two_are_zeros(write):
    config = model_config("resnet18", dilations=(6, 12))
    variables = segmenter("resnet18", dilations=(6, 12))
    tensors, reasons = pretrained.export(flat(variables), config.backbone, config.dilations)
    for head in ("layer5", "layer6"):
        for branch in range(4):
            for part in ("weight", "bias"):
                key = f"{head}.conv2d_list.{branch}.{part}"
                assert tensors[key].any() == (branch < 2), key
                assert (key in reasons) == (branch >= 2)
    path = write(tensors)
    assert_same(load_weights(path, config, zeros(variables)), variables)
    four = load_weights(path, model_config("resnet18"), zeros(segmenter("resnet18")))
    assert_same(
        {k: four["params"]["main"][k] for k in ("branch_0", "branch_1")},
        variables["params"]["main"],
    )
    # Only what the published programs would read the same way is filled up.
    assert len(pretrained.export(flat(variables), "resnet18", (12, 6))[0]) == len(tensors) - 8


# --------------------------------------------------------------------------------------------- in


def test_torchvisions_resnet_fills_the_backbone_and_leaves_the_heads(write):
    variables = segmenter("resnet18")
    fresh = zeros(variables)
    tensors = published(backbone_of(variables))
    tensors |= {"fc.weight": np.ones((10, 64), np.float32), "fc.bias": np.ones(10, np.float32)}
    path = write(tensors)
    loaded = load_weights(path, model_config("resnet18"), fresh)
    assert_same(backbone_of(loaded), backbone_of(variables))
    for head in ("main", "aux"):
        assert_same(loaded["params"][head], fresh["params"][head])

    weights = pretrained.open_weights(path)
    values, account = pretrained.fit(weights, {k: v.shape for k, v in flat(variables).items()})
    assert account.missing == ("main", "aux")
    assert account.left_out["fc.weight"] == "the ImageNet classifier"
    assert set(account.taken) | set(account.left_out) == set(tensors)
    assert len(account.taken) == len(values) == 6 + 5 * 16 + 5 * 3 - 1
    with pytest.raises(UserError, match=r"style 'pytorch', but model\.style is 'caffe'"):
        load_weights(path, model_config("resnet18", style="caffe"), fresh)


def test_adaptsegnets_initialisation_fills_the_backbone_alone(write):
    variables = segmenter("resnet50")
    config = model_config("resnet50", style="caffe")
    tensors = published(backbone_of(variables), "Scale.")
    tensors = {k: v for k, v in tensors.items() if "num_batches" not in k}  # older than they
    for branch in range(4):
        tensors[f"Scale.layer5.conv2d_list.{branch}.weight"] = np.ones((21, 256, 3, 3), np.float32)
        tensors[f"Scale.layer5.conv2d_list.{branch}.bias"] = np.ones(21, np.float32)
    path = write(tensors)
    loaded = load_weights(path, config, zeros(variables))
    assert_same(backbone_of(loaded), backbone_of(variables))
    assert not any(value.any() for value in flat(loaded["params"]["main"]).values())
    left_out = pretrained.open_weights(path).left_out
    assert left_out["layer5.conv2d_list.0.bias"] == "another data set's head"
    with pytest.raises(UserError, match=r"style 'caffe', but model\.style is 'pytorch'"):
        load_weights(path, model_config("resnet50"), zeros(variables))


def test_a_dataparallel_checkpoint_fills_both_heads_too(write):
    variables = segmenter("resnet18")
    path = write(published(variables, "module."))
    assert_same(load_weights(path, model_config("resnet18"), zeros(variables)), variables)


def test_a_single_level_network_has_its_main_head_in_layer5(write):
    variables = segmenter("resnet50")
    tensors = published(variables)
    tensors = {k: v for k, v in tensors.items() if not k.startswith("layer5.")}
    tensors = {k.replace("layer6.", "layer5."): v for k, v in tensors.items()}
    loaded = load_weights(write(tensors), model_config("resnet50"), zeros(variables))
    assert_same(loaded["params"]["main"], variables["params"]["main"])
    assert not any(value.any() for value in flat(loaded["params"]["aux"]).values())


def test_half_precision_and_doubles_become_float32(write):
    variables = segmenter("resnet18")
    tensors = published(variables)
    expected = tensors["conv1.weight"].astype(np.float16).astype(np.float32)
    for kind in (np.float16, np.float64):
        path = write({k: v.astype(kind) if v.ndim == 4 else v for k, v in tensors.items()})
        loaded = load_weights(path, model_config("resnet18"), zeros(variables))
        kernel = np.asarray(loaded["params"]["backbone"]["conv1"]["kernel"])
        assert kernel.dtype == np.float32
        wanted = expected if kind is np.float16 else tensors["conv1.weight"]
        np.testing.assert_array_equal(kernel.transpose(3, 2, 0, 1), wanted)


def test_a_run_starts_from_a_files_parameters_and_statistics(write, monkeypatch):
    tiny.shallow(monkeypatch)
    config = tiny.make_config(**{"model.backbone": "resnet18"})
    network = build_segmenter(config.model, tiny.CLASSES)
    variables = filled(network, IMAGE, seed=5)
    tensors, _ = pretrained.export(flat(variables), config.model.backbone, config.model.dilations)
    config.model.weights = str(write(tensors))
    made = state.init_state(config, tiny.CLASSES)
    assert_same(made.segmenter.variables, variables)


# --------------------------------------------------------------------------------------- refusals


def refused(path: pathlib.Path, config: ConfigDict, variables: dict) -> str:
    with pytest.raises(UserError) as error:
        load_weights(path, config, zeros(variables))
    message = str(error.value)
    assert str(path) in message and "\n" not in message
    return message


def renamed(tensors: dict, old: str, new: str) -> dict:
    return {new if key == old else key: value for key, value in tensors.items()}


def test_a_renamed_a_missing_and_a_misshapen_tensor_are_named(write):
    variables, config = segmenter("resnet18"), model_config("resnet18")
    whole = published(variables)

    def refusal(tensors):
        return refused(write(tensors), config, variables)

    one = renamed(whole, "layer4.1.conv1.weight", "layer4.7.conv1.weight")
    assert "layer4.1.conv1.weight is missing; layer4.7.conv1.weight is unknown" in refusal(one)
    two = {k: v for k, v in one.items() if k != "layer6.conv2d_list.3.bias"}
    three = two | {"bn1.running_var": whole["bn1.running_var"][:3]}
    message = refusal(three)
    for words in (
        "layer4.1.conv1.weight is missing",
        "layer4.7.conv1.weight is unknown",
        "layer6.conv2d_list.3.bias is missing",
        "bn1.running_var is (3,), not (8,)",
    ):
        assert words in message
    assert "conv1.weight holds int8" in refusal(
        whole | {"conv1.weight": np.ones((8, 3, 7, 7), "i1")}
    )
    endless = whole | {"bn1.weight": np.array([np.nan, np.inf] * 4, np.float32)}
    message = refusal(endless)
    assert "bn1.weight has numbers that are not finite" in message
    assert message.endswith("give another file")  # no other size would mend it
    missing = {k: v for k, v in whole.items() if not k.startswith("layer2.") or "num_b" in k}
    assert re.search(r"layer2\.0\.\S+ is missing.* and \d+ more: ", refusal(missing))
    scalar = {k: np.float32(1) if k == "bn1.weight" else v for k, v in whole.items()}
    assert "bn1.weight is (), not (8,)" in refusal(scalar)


def test_a_file_of_another_network_is_told_by_what_it_looks_like(write):
    variables = segmenter("resnet50")
    path = write(published(variables))
    message = refused(path, model_config("resnet101"), variables)
    assert "looks like resnet50, but model.backbone is resnet101" in message
    path = write(published(segmenter("resnet18")))
    assert "looks like resnet18" in refused(path, model_config("resnet50"), variables)
    assert "not the weights of a known network" in refused(
        write({"a": np.ones(2, np.float32)}), model_config("resnet50"), variables
    )


def test_heads_of_other_classes_are_refused_with_the_way_to_take_the_backbone(write):
    network = build_segmenter(model_config("resnet18"), CLASSES + 1)
    path = write(published(filled(network, IMAGE)))
    message = refused(path, model_config("resnet18"), segmenter("resnet18"))
    assert f"tell {CLASSES + 1} classes apart, config.classes has {CLASSES}" in message
    assert f"--backbone_only {path}" in message


# ------------------------------------------------------------------------------------ MobileNetV2


def torchvision_tensors() -> dict[str, np.ndarray]:
    """A MobileNetV2 1.0 as torchvision names it, of a scale that keeps every ReLU6 busy."""
    rng = np.random.default_rng(0)
    tensors = {}

    def add(convolution, norm, shape):
        scale = 1.5 / np.sqrt(np.prod(shape[1:]))
        tensors[f"{convolution}.weight"] = scale * rng.standard_normal(shape)
        tensors[f"{norm}.weight"] = np.exp(0.2 * rng.standard_normal(shape[0]))
        tensors[f"{norm}.running_var"] = np.exp(0.2 * rng.standard_normal(shape[0]))
        tensors[f"{norm}.bias"] = 0.3 * rng.standard_normal(shape[0])
        tensors[f"{norm}.running_mean"] = 0.3 * rng.standard_normal(shape[0])
        tensors[f"{norm}.num_batches_tracked"] = np.array(5)

    add("features.0.0", "features.0.1", (32, 3, 3, 3))
    add("features.1.conv.0.0", "features.1.conv.0.1", (32, 1, 3, 3))
    add("features.1.conv.1", "features.1.conv.2", (16, 32, 1, 1))
    outputs = [24] * 2 + [32] * 3 + [64] * 4 + [96] * 3 + [160] * 3 + [320]
    for block, (inputs, output) in enumerate(zip([16, *outputs], outputs, strict=False), 2):
        prefix, hidden = f"features.{block}.conv", 6 * inputs
        add(f"{prefix}.0.0", f"{prefix}.0.1", (hidden, inputs, 1, 1))
        add(f"{prefix}.1.0", f"{prefix}.1.1", (hidden, 1, 3, 3))
        add(f"{prefix}.2", f"{prefix}.3", (output, hidden, 1, 1))
    add("features.18.0", "features.18.1", (1280, 320, 1, 1))
    tensors["classifier.1.weight"] = np.ones((1000, 1280))
    tensors["classifier.1.bias"] = np.ones(1000)
    assert len(tensors) == 314
    return {
        name: value.astype(np.float32) if value.dtype == np.float64 else value
        for name, value in tensors.items()
    }


def restated(tensors: dict[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """torchvision's blocks 1 to 17 in NumPy, batch norm as such; those of 96 and 320 channels.

    x: [H, W, C] float64.
    """

    def convolved(x, name, stride):
        kernel = tensors[f"{name}.weight"].astype(np.float64)  # [out, in, height, width]
        if kernel.shape[-1] == 1:
            return x @ kernel[:, :, 0, 0].T
        rows, columns = ((length - 1) // stride + 1 for length in x.shape[:2])
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        total = 0
        for row in range(3):
            for column in range(3):
                seen = padded[row:, column:][: rows * stride : stride, : columns * stride : stride]
                tap = kernel[:, :, row, column]
                total = total + (seen * tap[:, 0] if tap.shape[1] == 1 else seen @ tap.T)
        return total

    def normalised(x, name):
        part = {p: tensors[f"{name}.{p}"].astype(np.float64) for p in ("weight", "bias")}
        mean, var = (tensors[f"{name}.running_{p}"].astype(np.float64) for p in ("mean", "var"))
        return (x - mean) / np.sqrt(var + 1e-5) * part["weight"] + part["bias"]

    def step(x, convolution, norm, stride=1):
        return np.clip(normalised(convolved(x, convolution, stride), norm), 0, 6)

    x = step(x, "features.0.0", "features.0.1", 2)
    y = step(x, "features.1.conv.0.0", "features.1.conv.0.1")
    x = normalised(convolved(y, "features.1.conv.1", 1), "features.1.conv.2")
    kept = {}
    for block in range(2, 18):
        prefix = f"features.{block}.conv"
        y = step(x, f"{prefix}.0.0", f"{prefix}.0.1")
        y = step(y, f"{prefix}.1.0", f"{prefix}.1.1", 2 if block in (2, 4, 7, 14) else 1)
        y = normalised(convolved(y, f"{prefix}.2", 1), f"{prefix}.3")
        x = kept[block] = x + y if x.shape == y.shape else y
    return kept[13], kept[17]


@functools.cache
def mobilenet_shapes(batch_norm: str) -> dict:
    config = model_config("mobilenet_v2", width=1.0, batch_norm=batch_norm)
    return jax.eval_shape(build_segmenter(config, CLASSES).init, jax.random.key(0), IMAGE)


def blank_mobilenet(batch_norm: str = "folded") -> dict:
    shapes = mobilenet_shapes(batch_norm)
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)


@pytest.mark.parametrize("batch_norm", ["folded", "frozen"])
def test_torchvisions_mobilenet_gives_torchvisions_network(write, batch_norm):
    tensors = torchvision_tensors()
    config = model_config("mobilenet_v2", width=1.0, batch_norm=batch_norm)
    path, blank = write(tensors), blank_mobilenet(batch_norm)
    loaded = load_weights(path, config, blank)
    assert not any(value.any() for value in flat(loaded["params"]["main"]).values())
    values = {kind: variables["backbone"] for kind, variables in loaded.items()}
    network = MobileNetV2(style="pytorch", output_stride=32, batch_norm=batch_norm)
    for size in ((48, 66), (33, 65)):
        image = np.random.default_rng(1).standard_normal((1, *size, 3)).astype(np.float32)
        ours = jax.jit(network.apply)(values, image)
        for value, expected in zip(
            ours[-2:], restated(tensors, image[0].astype(float)), strict=True
        ):
            scale = np.abs(expected).max()
            assert scale > 0.1
            np.testing.assert_allclose(value[0] / scale, expected / scale, atol=1e-4)

    _, account = pretrained.fit(
        pretrained.open_weights(path), {k: v.shape for k, v in flat(blank).items()}
    )
    assert set(account.taken) | set(account.left_out) == set(tensors)
    assert account.left_out["features.18.0.weight"] == "the ImageNet classifier"
    message = refused(path, model_config("mobilenet_v2", width=1.0, style="tensorflow"), blank)
    assert "style 'pytorch', but model.style is 'tensorflow'" in message
    del tensors["features.3.conv.1.1.running_var"]
    tensors["features.18.0.weight"] = tensors["features.18.0.weight"][:1]  # no one cares
    message = refused(write(tensors), config, blank)
    assert ".safetensors: features.3.conv.1.1.running_var is missing: " in message


def flat_shapes() -> dict:
    return flatten_dict(mobilenet_shapes("folded"), sep="/")


def tensorflow_tensors() -> dict[str, np.ndarray]:
    """What the .npz of ImageNet weights holds."""
    rng = np.random.default_rng(0)
    tensors = {
        name.removeprefix("params/backbone/"): rng.standard_normal(leaf.shape).astype(np.float32)
        for name, leaf in flat_shapes().items()
        if "/backbone/" in name
    }
    for name, inputs, outputs in (("51_conv", 320, 1280), ("52_conv", 1280, 1001)):
        tensors[f"{name}/kernel"] = np.zeros((1, 1, inputs, outputs), np.float32)
        tensors[f"{name}/bias"] = np.zeros(outputs, np.float32)
    return tensors


def test_every_tensor_of_the_npz_is_accounted_for(write):
    tensors = tensorflow_tensors()
    config = model_config("mobilenet_v2", width=1.0, style="tensorflow")
    loaded = load_weights(write(tensors, ".npz"), config, blank_mobilenet())
    for name, value in flat(loaded["params"]["backbone"]).items():
        np.testing.assert_array_equal(value, tensors[name])

    def refusal(**changes) -> str:
        changed = {**tensors, **{name.replace("__", "/"): v for name, v in changes.items()}}
        changed = {name: value for name, value in changed.items() if value is not None}
        return refused(write(changed, ".npz"), config, blank_mobilenet())

    assert "04_dw/bias is missing" in refusal(**{"04_dw__bias": None})
    assert "53_conv/bias is unknown" in refusal(**{"53_conv__bias": np.zeros(3)})
    assert "04_dw/bias is (3,), not (96,)" in refusal(**{"04_dw__bias": np.zeros(3)})
    pytorch = model_config("mobilenet_v2", width=1.0)
    message = refused(write(tensors, ".npz"), pytorch, blank_mobilenet())
    assert "style 'tensorflow', but model.style is 'pytorch'" in message
    assert "looks like mobilenet_v2, but model.backbone is resnet18" in refused(
        write(tensors, ".npz"), model_config("resnet18"), segmenter("resnet18")
    )


# ------------------------------------------------------------------- networks inside of others


@pytest.mark.parametrize("prefix", ["backbone.", "model.encoder.", "module.backbone.body."])
def test_a_backbone_inside_another_network_is_found_and_the_rest_is_left_out(tmp_path, prefix):
    variables = segmenter("resnet18")
    own = {k: v for k, v in published(variables).items() if not re.match(r"layer[56]\.", k)}
    found = {f"{prefix}{key}": value for key, value in own.items()}
    found |= {"decode_head.weight": np.ones((3, 4, 1, 1), np.float32)}
    np.savez(tmp_path / "w.npz", **found)
    loaded = load_weights(tmp_path / "w.npz", model_config("resnet18"), zeros(variables))
    assert_same(loaded["params"]["backbone"], variables["params"]["backbone"])
    left_out = pretrained.open_weights(tmp_path / "w.npz").left_out
    assert left_out["decode_head.weight"] == f"outside of {prefix}"


def test_of_two_networks_in_a_file_none_is_guessed(tmp_path):
    own = published(segmenter("resnet18"))
    both = {f"{one}.{key}": value for one in ("student", "teacher") for key, value in own.items()}
    np.savez(tmp_path / "w.npz", **both)
    with pytest.raises(UserError, match=r"several networks, student\., teacher\.; in PyTorch"):
        pretrained.open_weights(tmp_path / "w.npz")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"conv1.weight": (16, 3, 3, 3)}, "CIFAR's: its first convolution is 3x3 and ours 7x7"),
        ({"stem.0.weight": (32, 3, 3, 3)}, "three convolutions in place of the first"),
        ({"conv1.0.weight": (32, 3, 3, 3)}, "three convolutions in place of the first"),
    ],
)
def test_a_resnet_that_only_has_the_names_of_ours_is_told_as_what_it_is(tmp_path, more, words):
    shapes = {f"layer{n}.{b}.conv1.weight": (16, 16, 3, 3) for n in (1, 2, 3) for b in range(3)}
    np.savez(tmp_path / "w.npz", **{k: np.ones(v, np.float32) for k, v in (shapes | more).items()})
    with pytest.raises(UserError, match=words) as refused:
        pretrained.open_weights(tmp_path / "w.npz")
    assert "give one trained on ImageNet" in str(refused.value)
