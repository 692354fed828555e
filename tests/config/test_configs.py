"""Every config in configs/ is loaded, checked, and runs."""

import pathlib

import numpy as np
import pytest
from PIL import Image
from support import fabricate_streets

from labor_jax.config import changes, checking, default_config
from labor_jax.config import files as config_files
from labor_jax.data import loading
from labor_jax.data.builders import prepared
from labor_jax.data.labels import CAMVID
from labor_jax.data.loading import table_from_config
from labor_jax.loop import schedule
from labor_jax.util import files
from labor_jax.util.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
CONFIGS = sorted(path.stem for path in (ROOT / "configs").glob("*.py"))
SLOW = ("toytown_camvid", "folder_dinov2", "camvid_dinov2")
"""Runs of networks that another config has, too."""
OF_THE_PAPER = [
    name for name in CONFIGS if name.startswith(("gta5", "synthia")) or name == "adaptsegnet"
]


def load(name, variant=""):
    return config_files.load(str(ROOT / "configs" / f"{name}.py") + (f":{variant}" * bool(variant)))


def variants(name):
    """A config's variants, read off the message for one that there is not."""
    with pytest.raises(UserError, match="no variant 'nonsense'; there is ") as error:
        load(name, "nonsense")
    return [word.strip(" :,") for word in str(error.value).split("there is ")[1].split()]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_says_its_command_and_all_its_variants_make_a_run(name):
    docstring = (ROOT / "configs" / f"{name}.py").read_text()
    assert f"python -m labor_jax.main --config=configs/{name}.py --workdir=" in docstring
    default = set(changes.flat(default_config()))
    for variant in ["", *variants(name)]:
        config = load(name, variant)
        checking.check(config)
        assert len(table_from_config(config.classes)) >= 2
        assert set(changes.flat(config)) == default, "no key of its own"
        assert not variant or f":{variant}" in docstring


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_comes_back_from_its_file_as_the_same_run(name, tmp_path):
    config = load(name)
    files.write_json(tmp_path / "config.json", config.to_dict())
    read = config_files.from_dict(files.read_json(tmp_path / "config.json"))
    assert read.to_dict() == config.to_dict()
    assert changes.differences(read, config) == []


# ------------------------------------------------------------------------------------- one step


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, tiny_dir):
    """Four of toytown's target scenes as CamVid and as plain folders have them."""
    root = tmp_path_factory.mktemp("drawn")
    spec = load("toytown", "quick").target
    scenes = loading.load(spec, tiny_dir, CAMVID)
    for split in ("train", "val"):
        for kind in ("", "annot"):
            (root / f"{split}{kind}").mkdir()
        for index in range(4):
            label = scenes.read_label(index)
            Image.fromarray(scenes.read_image(index)).save(root / split / f"{index}.png")
            Image.fromarray(np.where(label == 255, 11, label)).save(
                root / f"{split}annot" / f"{index}.png"
            )
            coarse = Image.fromarray((label % 6).astype(np.uint8))
            (root / f"{split}six").mkdir(exist_ok=True)
            coarse.save(root / f"{split}six" / f"{index}.png")
    return root


def test_toytowns_quick_variant_runs_to_its_end(finished):
    assert files.read_json(finished / "summary.json")["status"] == "finished"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * name.startswith(SLOW))
        for name in sorted({*CONFIGS} - {"toytown", *OF_THE_PAPER})
    ],
)
def test_a_config_runs_a_step(name, drawn, tiny_dir, tmp_path):
    config = load(name, "quick")
    # One step of the segmenter, with evaluation and report.
    config.stages, config.warmup_steps = 0, 1
    if not config.source.domain:  # there is no warm-up
        config.stages, config.warmup_steps, config.adapt_steps = 1, 0, 1
    config.data_dir, config.parallel = tiny_dir, "jit"
    for spec, split in ((config.source, "train"), (config.target, "train"), (config.val, "val")):
        if spec.domain == "folder":
            spec.images, spec.labels = str(drawn / split), str(drawn / f"{split}six")
        spec.manual_dir = str(drawn) if spec.domain == "camvid" else ""
    values = schedule.run(config, tmp_path / "run")
    assert values["status"] == "finished" and 0 <= values["mIoU"] <= 100
    assert (tmp_path / "run" / "report.html").exists()


@pytest.fixture(scope="module")
def prepared_streets(tmp_path_factory):
    """A data_dir made of small GTA5, SYNTHIA and Cityscapes in their sites' own layouts."""
    root = tmp_path_factory.mktemp("streets")
    for name in fabricate_streets.mini_sets(root / "manual"):
        prepared.prepare(name, str(root / "data"), str(root / "manual" / name))
    return str(root / "data")


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_THE_PAPER)
def test_a_config_of_the_paper_runs_from_the_sets_as_their_sites_ship_them(
    name, prepared_streets, tmp_path
):
    config = load(name, "quick")
    config.data_dir, config.parallel = prepared_streets, "jit"
    values = schedule.run(config, tmp_path / "run")
    assert values["status"] == "finished" and 0 <= values["mIoU"] <= 100
    assert set(values["subsets"]) == {"mIoU16", "mIoU13"}
    assert len(values["per_class_iou"]) == 19 and None not in values["per_class_iou"].values()
    if config.method == "labor_ppl":
        assert 0 < values["budget"]["points"] <= 40 * values["budget"]["images"]
    elif config.method == "labor_spl":
        assert 0 < values["budget"]["fraction"] <= config.budget.max_fraction
    else:
        assert values["budget"]["clicks"] == 0
