"""What the programs import: never TensorFlow or torch, and nothing heavy before it is needed."""

import importlib
import inspect
import json
import os
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import labor_jax
from labor_jax.__main__ import COMMANDS

ROOT = pathlib.Path(__file__).parents[1]
MODULES = sorted(m.name for m in pkgutil.walk_packages(labor_jax.__path__, "labor_jax."))
HEAVY = ("jax", "flax", "grain", "orbax", "tensorflow_datasets", "matplotlib", "cv2")


def imported_by(code: str, **environment: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after running some code."""
    code += "\nimport json, sys; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )
    return set(json.loads(ended.stdout.splitlines()[-1]))


def test_neither_tensorflow_nor_torch_is_imported_by_any_module_or_by_reading_data(tiny_dir):
    code = f"""
import importlib
for name in {MODULES}:
    importlib.import_module(name)
from labor_jax.config import default_config
from labor_jax.data import labels, loading, pipeline
c = default_config()
for spec in (c.source, c.target):
    spec.domain = "toytown/tiny"
source, target = (loading.load(s, {tiny_dir!r}, labels.CAMVID) for s in (c.source, c.target))
c.input.size, c.batch_size = (32, 32), 2
with pipeline.batches(source, target, None, c, 0, 1) as batches:
    next(batches)
"""
    found = imported_by(code)
    assert {"jax", "tensorflow_datasets", "labor_jax"} <= found
    assert not {"tensorflow", "torch"} & found


def test_a_tensorflow_that_is_installed_would_not_be_touched(tmp_path):
    # Modules of these names that end the program: the report, Orbax and TFDS must not try them.
    for name in ("tensorflow", "torch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('was imported')\n")
    code = (
        "import labor_jax.loop.schedule, labor_jax.data.builders.prepared, labor_jax.infer.stream"
    )
    found = imported_by(code, PYTHONPATH=str(tmp_path))
    assert "jax" in found and not {"tensorflow", "torch"} & found


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("argument", ["--help", "--nonsense=1"])
def test_help_and_a_mistyped_flag_of_a_command_need_nothing_heavy(name, argument):
    code = f"from labor_jax.__main__ import main; main([{name!r}, {argument!r}])"
    assert not imported_by(code) & set(HEAVY)


def test_importing_labor_jax_imports_nothing_heavy():
    found = imported_by("import labor_jax; assert 'load' in dir(labor_jax)")
    assert "labor_jax" in found and not found & {*HEAVY, "numpy", "absl", "ml_collections"}


def test_every_public_name_is_there_when_it_is_asked_for():
    for name in labor_jax.__all__:
        assert getattr(labor_jax, name) is not None
    with pytest.raises(AttributeError, match="module 'labor_jax' has no attribute 'nonsense'"):
        _ = labor_jax.nonsense


@pytest.mark.parametrize("name", MODULES)
def test_a_module_that_lists_its_public_names_lists_all_that_it_defines(name):
    module = importlib.import_module(name)
    if not hasattr(module, "__all__"):
        return
    defined = {
        public
        for public, value in vars(module).items()
        if (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == name
        and not public.startswith("_")
    }
    assert defined - {"main"} <= set(module.__all__)
