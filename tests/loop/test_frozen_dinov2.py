"""A run on frozen features of a narrow DINOv2, and all that is done with one afterwards."""

import io
import json
import zipfile

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from support.filling import filled

from labor_jax.data import loading
from labor_jax.data.labels import CAMVID
from labor_jax.infer import evaluate, export, restore, segmenter
from labor_jax.loop import schedule
from labor_jax.models import dinov2
from labor_jax.models.build import build_segmenter
from labor_jax.util.errors import UserError
from labor_jax.weights import pretrained, tensor_files


@pytest.fixture(scope="module")
def narrow():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(dinov2.SIZES, "dinov2_small", dinov2.Size(24, 4, 2))
        yield


@pytest.fixture(scope="module")
def make_frozen(make_config, narrow, tmp_path_factory):
    """A method's quick run, without a source, whose weights are in a file."""
    path = tmp_path_factory.mktemp("weights") / "dinov2.safetensors"

    def make(method, levels, **values):
        config = make_config(method, **{"source.domain": "", "warmup_steps": 0, "stages": 2})
        config.input.size = (43, 57)
        config.model.update({"backbone": "dinov2_small_reg", "output_stride": 14})
        config.model.update({"head": "linear", "levels": levels, "freeze": True})
        config.adapt, config.adapt_steps = "none", 20
        config.optimizer.weight_decay = 1e-2
        config.update_from_flattened_dict(values)
        if not path.exists():
            image = np.zeros((1, *config.input.size, 3), np.uint8)
            values = flatten_dict(filled(build_segmenter(config.model, 11), image), sep="/")
            values = {name: np.asarray(x) for name, x in values.items() if "/backbone/" in name}
            tensors, _ = pretrained.export(values, "dinov2_small_reg", ())
            path.write_bytes(tensor_files.encode(tensors, ".safetensors"))
        config.model.weights = str(path)
        return config

    return make


@pytest.fixture(scope="module")
def run(make_frozen, tmp_path_factory):
    """The config and the DIR of a finished run of `margin` on the last layer's features."""
    config, workdir = make_frozen("margin", 1), tmp_path_factory.mktemp("run")
    values = schedule.run(config, workdir)
    assert values["status"] == "finished" and values["budget"]["points"] > 0
    return config, workdir, values


def test_the_last_four_layers_are_four_times_the_features(run, make_frozen, tmp_path):
    values = schedule.run(make_frozen("labor_ppl", 4, **{"selector.steps": 3}), tmp_path / "run")
    assert values["status"] == "finished" and values["budget"]["points"] > 0
    kernels = [
        restore.restore(workdir).segmenter.params["main"]["kernel"]
        for workdir in (run[1], tmp_path / "run")
    ]
    assert [kernel.shape[2] for kernel in kernels] == [24, 96]
    assert all(np.asarray(kernel).any() for kernel in kernels)


def test_evaluation_from_images_gives_the_runs_score(run):
    _, workdir, values = run
    restored = restore.restore(workdir)
    images = restored.load_domain("val")
    scores = evaluate.evaluate(restored.predict, images, restored.table, restored.config)
    assert abs(scores["mIoU"] - values["mIoU"]) < 0.5  # the run's features are float16


def test_one_tile_that_is_the_whole_image_gives_its_labels(run):
    config, workdir, _ = run
    images = loading.load(config.val, config.data_dir, CAMVID)
    image = np.asarray(images.read_image(0))[:43, :57]
    predictor = segmenter.load(workdir)
    np.testing.assert_array_equal(predictor.predict(image, tile=(43, 57)), predictor.predict(image))
    parts = predictor.predict(np.tile(image, (2, 2, 1)), tile=(43, 57), overlap=14)
    assert parts.shape == (86, 114) and parts.dtype == np.uint8
    with pytest.raises(UserError, match="as one with attention does"):
        predictor.reach()


def test_exported_files_predict_what_the_run_predicts(run, tmp_path):
    _, workdir, _ = run
    restored = restore.restore(workdir)
    images = np.random.default_rng(0).integers(0, 256, (3, 43, 57, 3), np.uint8)
    wanted = np.asarray(restored.predict(images, (43, 57)))
    with zipfile.ZipFile(io.BytesIO(export.stablehlo(restored, "a.zip"))) as file:
        program = jax.export.deserialize(bytearray(file.read("model.stablehlo")))
        assert json.loads(file.read("metadata.json"))["input"]["size"] == [43, 57]
    assert (np.asarray(jax.jit(program.call)(images)) == wanted).mean() > 0.999
    path = tmp_path / "a.safetensors"
    path.write_bytes(export.safetensors(restored))
    np.testing.assert_array_equal(
        np.asarray(restore.restore(path).predict(images, (43, 57))), wanted
    )
