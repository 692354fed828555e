"""A run that trains DINOv2's adapters, and all that is done with one afterwards."""

import io
import zipfile

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from support.frozen_runs import weights_of

from labor_jax.infer import convert, evaluate, export, restore, steps
from labor_jax.loop import resume, schedule
from labor_jax.models import adapters, dinov2
from labor_jax.models.vision_transformer import Size
from labor_jax.train import state
from labor_jax.train.checkpoint import Checkpoints
from labor_jax.weights import tensor_files

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def narrow():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(dinov2.SIZES, "dinov2_small", Size(24, 2, 2))
        yield


@pytest.fixture(scope="module")
def config(make_config, narrow, tmp_path_factory):
    values = {
        "model.backbone": "dinov2_small_reg",
        "model.output_stride": 14,
        "model.head": "linear",
        "model.lora_rank": 2,
        "model.drop_path": 0.2,
        "input.size": (43, 57),
        "adapt": "none",
        "stages": 1,
        "checkpoint_every": 2,
        "optimizer.name": "adamw",
        "optimizer.learning_rate": 1e-2,
        "optimizer.average": 0.9,
    }
    made = make_config("labor_ppl", **values)
    made.model.weights = weights_of(made, tmp_path_factory.mktemp("weights"))
    return made


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    """The DIR of a finished run, and its summary."""
    workdir = tmp_path_factory.mktemp("run")
    values = schedule.run(config, workdir)
    assert values["status"] == "finished" and values["budget"]["points"] > 0
    return workdir, values


def saved(config, workdir) -> dict[str, np.ndarray]:
    """The newest checkpoint's arrays by path."""
    checkpoints = Checkpoints(workdir, restore.loading.table_from_config(config.classes))
    now = resume.starting_state(config, checkpoints._table, checkpoints)
    checkpoints.close()
    leaves = jax.tree_util.tree_leaves_with_path(jax.device_get(now))
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def test_a_run_that_is_interrupted_ends_as_if_it_had_not_been(config, run, tmp_path, monkeypatch):
    save, died = Checkpoints.save, []

    def once(self, step, *args, **kwargs):
        save(self, step, *args, **kwargs)
        if step in (2, 8) and step not in died:
            self.wait()
            died.append(step)
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", once)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            schedule.run(config, tmp_path / "run")
    schedule.run(config, tmp_path / "run")
    one, other = saved(config, run[0]), saved(config, tmp_path / "run")
    assert one.keys() == other.keys() and died == [2, 8]
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_the_backbone_stays_as_the_file_has_it_and_is_kept_once(config, run):
    arrays = saved(config, run[0])
    theirs = tensor_files.read(config.model.weights).tensors
    kernels = arrays[".segmenter.fixed['backbone']['blocks']['qkv']['kernel']"]
    np.testing.assert_array_equal(kernels[1].T, theirs["blocks.1.attn.qkv.weight"])
    assert sum("['qkv']" in name for name in arrays) == 2  # kernel and bias
    trained = [name for name in arrays if name.startswith(".average.params['backbone']")]
    assert len(trained) == 4 and all("adapter_" in name for name in trained)


def test_what_is_loaded_has_merged_adapters_and_predicts_as_the_run_does(config, run):
    workdir, values = run
    restored = restore.restore(workdir)
    names = flatten_dict(restored.segmenter.params, sep="/")
    assert not any(map(adapters.is_adapter, names)) and restored.config.model.lora_rank == 0
    scores = evaluate.evaluate(
        restored.predict, restored.load_domain("val"), restored.table, restored.config
    )
    assert abs(scores["mIoU"] - values["mIoU"]) < 0.05
    images = np.random.default_rng(0).integers(0, 256, (3, 43, 57, 3), np.uint8)
    checkpoints = Checkpoints(workdir, restored.table)
    now = resume.starting_state(config, restored.table, checkpoints)
    checkpoints.close()
    unmerged = steps.probabilities(
        now.shipped,
        images,
        networks=state.make_networks(config, 11, axis_name=None),
        size=(43, 57),
    )
    found = restored.probabilities(images, (43, 57))
    np.testing.assert_allclose(found, unmerged, atol=1e-4)


def test_files_of_it_are_plain_dinov2s_and_predict_the_same(run, tmp_path):
    workdir, _ = run
    restored = restore.restore(workdir)
    images = np.random.default_rng(0).integers(0, 256, (3, 43, 57, 3), np.uint8)
    wanted = np.asarray(restored.predict(images, (43, 57)))
    with zipfile.ZipFile(io.BytesIO(export.stablehlo(restored, "a.zip"))) as file:
        program = jax.export.deserialize(bytearray(file.read("model.stablehlo")))
    assert (np.asarray(jax.jit(program.call)(images)) == wanted).mean() > 0.999
    path = tmp_path / "a.safetensors"
    path.write_bytes(export.safetensors(restored))
    again = restore.restore(path)
    np.testing.assert_array_equal(np.asarray(again.predict(images, (43, 57))), wanted)
    convert.convert(str(workdir), str(tmp_path / "b.safetensors"), backbone_only=True)
    tensors = tensor_files.read(tmp_path / "b.safetensors").tensors
    assert tensors.keys() == {k for k in tensor_files.read(path).tensors if "main" not in k}
