"""A trained segmenter is restored without what chose its labels."""

import json
import shutil

import pytest
from support import tiny

from labor_jax.infer import export, restore
from labor_jax.util import files
from labor_jax.util.errors import UserError
from labor_jax.weights import tensor_files


@pytest.fixture
def told_otherwise(finished, tmp_path):
    """A copy of a finished run whose config.json has other values."""

    def make(section=None, **values):
        workdir = tmp_path / "run"
        workdir.mkdir()
        shutil.copytree(finished / "checkpoints", workdir / "checkpoints")
        config = files.read_json(finished / "config.json")
        (config[section] if section else config).update(values)
        files.write_json(workdir / "config.json", config)
        return workdir

    return make


def test_a_segmenter_is_restored_where_its_strategys_module_is_gone(finished, told_otherwise):
    workdir = told_otherwise(method="strategy_of_mine", plugins=["no_such_module"])
    assert restore.restore(workdir).step == restore.restore(finished).step


def test_the_module_of_a_backbone_of_ones_own_is_needed(told_otherwise):
    workdir = told_otherwise(plugins=["no_such_module"])
    config = files.read_json(workdir / "config.json")
    config["model"]["backbone"] = "backbone_of_mine"
    files.write_json(workdir / "config.json", config)
    with pytest.raises(UserError, match=r"^config\.plugins: 'no_such_module' cannot be imported"):
        restore.restore(workdir)


def test_a_setting_of_inference_that_is_wrong_is_told(told_otherwise):
    workdir = told_otherwise(section="evaluation", scales=[0.0])
    with pytest.raises(UserError, match=r"^config\.evaluation\.scales: "):
        restore.restore(workdir)


def test_an_exported_segmenter_tells_the_module_of_a_backbone_of_ones_own(tmp_path):
    run, path = tiny.make_run(), tmp_path / "segmenter.safetensors"
    run.config.plugins = ("no_such_module",)
    path.write_bytes(export.safetensors(run))
    assert restore.restore(path).step == run.step  # the backbone is ours
    told = json.loads(tensor_files.texts(path)[restore.BESIDE])
    told["config"]["model"]["backbone"] = "backbone_of_mine"
    beside = {restore.BESIDE: json.dumps(told)}
    path.write_bytes(tensor_files.encode(tensor_files.read(path).tensors, ".safetensors", beside))
    with pytest.raises(UserError, match=r"^config\.plugins: 'no_such_module' cannot be imported"):
        restore.restore(path)
