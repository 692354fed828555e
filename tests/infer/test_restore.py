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


def test_a_segmenter_needs_no_module_of_a_data_set_that_it_does_not_read(told_otherwise, finished):
    workdir = told_otherwise(section="target", domain="houses_of_mine")
    config = files.read_json(workdir / "config.json")
    config["plugins"] = ["no_such_module"]
    files.write_json(workdir / "config.json", config)
    run = restore.restore(workdir)
    assert run.load_domain("val").ids
    with pytest.raises(UserError, match=r"^config\.plugins: 'no_such_module' cannot be imported"):
        run.load_domain("target")


def test_of_several_modules_only_those_are_needed_that_something_comes_from(
    told_otherwise, tmp_path, monkeypatch
):
    (tmp_path / "mine.py").write_text(
        "from labor_jax.data.labels import CAMVID, add_table\nadd_table('mine', CAMVID)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    workdir = told_otherwise(plugins=["no_such_strategy", "mine"])
    config = files.read_json(workdir / "config.json")
    config["classes"]["table"] = "mine"
    files.write_json(workdir / "config.json", config)
    assert restore.restore(workdir).step


def test_a_folder_that_moved_is_told_with_the_key_and_the_way(told_otherwise, tmp_path):
    workdir = told_otherwise(section="val", domain="folder", images=str(tmp_path / "gone"))
    with pytest.raises(UserError, match=r"^config\.val\.images: there is no folder .*gone any"):
        restore.restore(workdir).load_domain("val")


def test_a_config_of_another_program_is_no_run(tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["x"]}')
    with pytest.raises(UserError, match=r"config\.json: is no config of a run"):
        restore.restore(tmp_path)


def test_a_file_that_is_no_segmenter_is_told_by_what_it_is(tmp_path):
    path = tmp_path / "segmenter.safetensors"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UserError, match=r"is a Git LFS pointer .* `git lfs pull`"):
        restore.restore(path)
