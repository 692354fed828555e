"""A run on frozen features of a narrow DINOv2, and all that is done with one afterwards."""

import functools
import io
import json
import zipfile

import jax
import numpy as np
import pytest
from support.frozen_runs import weights_of

from labor_jax.annotation import queries as q
from labor_jax.data import loading, transforms
from labor_jax.data.labels import CAMVID
from labor_jax.infer import evaluate, export, restore, segmenter
from labor_jax.loop import schedule
from labor_jax.models import dinov2
from labor_jax.models.build import build_segmenter
from labor_jax.models.vision_transformer import Size
from labor_jax.selection.diversity import k_centre
from labor_jax.util.errors import UserError


@pytest.fixture(scope="module")
def narrow():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(dinov2.SIZES, "dinov2_small", Size(24, 4, 2))
        yield


@pytest.fixture(scope="module")
def make_frozen(make_config, narrow, tmp_path_factory):
    """A method's quick run, without a source, whose weights are in a file."""
    folder = tmp_path_factory.mktemp("weights")

    def make(method, levels, **values):
        config = make_config(method, **{"source.domain": "", "warmup_steps": 0, "stages": 2})
        config.input.size = (43, 57)
        config.model.update({"backbone": "dinov2_small_reg", "output_stride": 14})
        config.model.update({"head": "linear", "levels": levels, "freeze": True})
        config.adapt, config.adapt_steps = "none", 20
        config.optimizer.weight_decay = 1e-2
        config.update_from_flattened_dict(values)
        config.model.weights = weights_of(config, folder)
        return config

    return make


@pytest.fixture(scope="module")
def run(make_frozen, tmp_path_factory):
    """The config and the DIR of a finished run of `margin` on the last layer's features."""
    config, workdir = make_frozen("margin", 1), tmp_path_factory.mktemp("run")
    values = schedule.run(config, workdir)
    assert values["status"] == "finished" and values["budget"]["points"] > 0
    return config, workdir, values


@pytest.mark.slow
def test_the_last_four_layers_are_four_times_the_features(run, make_frozen, tmp_path):
    config = make_frozen("labor_ppl", 4, **{"selector.steps": 3, "ppl.distance": "features"})
    values = schedule.run(config, tmp_path / "run")
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_k_centre_asks_what_is_far_apart_among_patch_tokens(make_frozen, tmp_path):
    config = make_frozen("diversity", 1, **{"budget.points_per_image": 8})
    schedule.run(config, tmp_path / "run")
    restored = restore.restore(tmp_path / "run")
    domain = restored.load_domain("target")
    network = build_segmenter(config.model, 11)
    levels = jax.jit(functools.partial(network.apply, method="levels"))

    def cells(query, shape):
        x, y = np.transpose(query["points"])
        height, width = query["size"]
        return y * shape[0] // height, x * shape[1] // width

    earlier, later = (q.by_image(tmp_path / "run", [stage]) for stage in (1, 2))
    for index, image in enumerate(domain.ids[:4]):
        seen = transforms.resize_image(domain.read_image(index), config.input.size)
        (tokens,) = levels(restored.segmenter.variables, seen[None])
        taken = np.zeros((1, *tokens.shape[1:3]), bool)
        taken[0][cells(earlier[image][0], taken.shape[1:])] = True
        (query,) = later[image]
        number = len(query["points"])
        chosen, _ = k_centre(tokens.astype(np.float16), taken, number=number)
        asked = np.ravel_multi_index(cells(query, taken.shape[1:]), taken.shape[1:])
        assert number == 4 and set(asked.tolist()) == set(np.asarray(chosen[0]).tolist())
