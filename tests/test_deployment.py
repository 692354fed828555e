"""Exported segmenters: read back by labor_jax, and run where there is none."""

import io
import json
import subprocess
import sys
import zipfile

import cv2
import jax
import numpy as np
import pytest
from support import commands, tiny

import labor_jax
from labor_jax.infer import export, restore
from labor_jax.infer.segmenter import Predictor
from labor_jax.models.resize import shrink
from labor_jax.util.errors import UserError
from labor_jax.weights import tensor_files

NETWORKS = (("resnet18", "pytorch"), ("mobilenet_v2", "tensorflow"))


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda p: p[0])
def run(request):
    backbone, style = request.param
    with pytest.MonkeyPatch.context() as patch:
        tiny.shallow(patch)
        values = {"model.backbone": backbone, "model.style": style, "model.weights": "at/home.npz"}
        yield tiny.make_run(**values)


def pictures(count, height, width):
    return np.random.default_rng(2).integers(0, 256, (count, height, width, 3), np.uint8)


# ------------------------------------------------------------------------------------- weights


def test_exported_weights_give_the_same_labels_without_the_run(run, tmp_path):
    path = tmp_path / "town.safetensors"
    path.write_bytes(export.safetensors(run))
    loaded, mine = labor_jax.load(path), Predictor(run)
    (image,) = pictures(1, 50, 70)
    np.testing.assert_array_equal(loaded.predict(image), mine.predict(image))
    assert loaded.classes == mine.classes and loaded.palette == mine.palette
    assert loaded.run.step == run.step == 7
    again = export.safetensors(loaded.run)
    assert again == path.read_bytes()


def test_exported_weights_carry_the_names_of_other_programs_and_a_licence(run, tmp_path):
    path = tmp_path / "town.safetensors"
    path.write_bytes(export.safetensors(run))
    keys = tensor_files.read(path).tensors
    assert "layer1.0.conv1.weight" in keys or "00_bn/scale" in keys
    assert "trained on images of toytown" in tensor_files.texts(path)["licence"]


def test_what_is_exported_says_nothing_of_this_machine(run):
    told = json.dumps(export.metadata(run, tiny.SIZE))
    assert "home.npz" in told and "at/home" not in told
    for key in ("data_dir", "manual_dir", "images"):
        assert f'"{key}": "' not in told.replace('"images": "[batch', "")


def test_a_file_that_does_not_tell_its_classes_is_refused(tmp_path):
    path = tmp_path / "some.safetensors"
    path.write_bytes(tensor_files.encode({"a": np.zeros(3, np.float32)}, ".safetensors"))
    with pytest.raises(
        UserError, match=r"some\.safetensors: is no file of .*export --format=safetensors"
    ):
        labor_jax.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(
        UserError, match=r"some\.safetensors: is no file of .*export --format=safetensors"
    ):
        labor_jax.load(path)


def test_a_computation_is_not_taken_for_weights_and_weights_not_for_a_run(run, tmp_path, capsys):
    path = tmp_path / "town.stablehlo.zip"
    path.write_bytes(export.stablehlo(run, path.name))
    with pytest.raises(UserError, match=r"is run by jax alone.*--format=safetensors"):
        labor_jax.load(path)
    told = commands.the_line(commands.call("evaluate", f"--workdir={path}"))
    assert "a file names no images to score on" in told


def test_an_exported_file_that_lacks_a_head_is_refused(run, tmp_path):
    path = tmp_path / "town.safetensors"
    path.write_bytes(export.safetensors(run))
    texts, tensors = tensor_files.texts(path), tensor_files.read(path).tensors
    left = {key: value for key, value in tensors.items() if not key.startswith(("layer6", "main"))}
    beside = {restore.BESIDE: texts[restore.BESIDE]}
    path.write_bytes(tensor_files.encode(left, ".safetensors", beside))
    with pytest.raises(UserError, match="of its heads are missing; export it again"):
        labor_jax.load(path)


# ------------------------------------------------------------------------------------- programs

ALONE = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("labor_jax", "flax", "ml_collections", "cv2"):
            raise ImportError(name)
sys.meta_path.insert(0, Nothing())
{readme}
for batch in (1, 3):
    images = np.load("images.npy")[:batch]
    np.save(f"labels{{batch}}.npy", model.call(images))
"""


@pytest.mark.parametrize("times", [1, 2])
def test_the_program_needs_jax_alone_and_gives_the_same_labels_for_any_batch(run, times, tmp_path):
    size = tuple(times * length for length in tiny.SIZE)
    (tmp_path / "town.zip").write_bytes(export.stablehlo(run, "town.zip", size))
    with zipfile.ZipFile(tmp_path / "town.zip") as file:
        told = file.read("README.txt").decode()
    lines = [line[4:] for line in told.splitlines() if line.startswith("    ")]
    readme = "\n".join(line for line in lines if not line.startswith("pip "))
    images = pictures(3, *size)
    np.save(tmp_path / "images.npy", images)
    ended = subprocess.run(
        [sys.executable, "-c", ALONE.format(readme=readme)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("['")
    predictor = Predictor(run)
    wanted = np.stack([predictor.predict(image) for image in images])
    for batch in (1, 3):
        labels = np.load(tmp_path / f"labels{batch}.npy")
        assert labels.dtype == np.uint8
        np.testing.assert_array_equal(labels, wanted[:batch])


def test_the_program_is_for_every_platform_and_says_what_its_numbers_mean(run):
    with zipfile.ZipFile(io.BytesIO(export.stablehlo(run, "town.zip"))) as file:
        program = jax.export.deserialize(bytearray(file.read("model.stablehlo")))
        about = json.loads(file.read("metadata.json"))
    assert program.platforms == export.PLATFORMS == ("cpu", "cuda", "tpu")
    assert about["classes"][1] == {
        "number": 1,
        "name": "tree",
        "colour": [60, 20, 0],
        "label_value": 1,
    }
    assert about["input"]["size"] == about["input"]["size_of_the_network"] == [*tiny.SIZE]
    assert "Apache-2.0" in about["licence"] and "home.npz" in about["licence"]
    assert set(about["versions"]) == {"labor_jax", "jax"}


def test_a_size_below_the_networks_is_refused(run):
    with pytest.raises(UserError, match=r"--size: 31x40 is smaller than the network's 32x40"):
        export.stablehlo(run, "town.zip", (31, 40))


# ------------------------------------------------------------------------------------- shrinking


@pytest.mark.parametrize("ratio", [(1, 1), (2, 2), (1, 2), (3, 3), (4, 4), (2, 3)])
def test_shrinking_by_whole_numbers_is_opencvs_to_the_bit(ratio):
    size = (18, 20)
    images = pictures(2, *(times * length for times, length in zip(ratio, size, strict=True)))
    wanted = [cv2.resize(x, size[::-1], interpolation=cv2.INTER_AREA) for x in images]
    np.testing.assert_array_equal(shrink(images, size), wanted)


@pytest.mark.parametrize(("of", "to"), [((45, 60), (18, 20)), ((60, 61), (48, 53))])
def test_shrinking_by_other_ratios_is_opencvs_but_for_a_level_in_a_few_pixels(of, to):
    images = pictures(2, *of)
    wanted = np.stack([cv2.resize(x, to[::-1], interpolation=cv2.INTER_AREA) for x in images])
    apart = np.abs(np.asarray(shrink(images, to), int) - wanted)
    assert apart.max() <= 1 and (apart > 0).mean() < 0.01
