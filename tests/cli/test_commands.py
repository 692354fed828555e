"""`labor-jax`: every program under one name; and the wheel, which needs no checkout."""

import os
import pathlib
import subprocess
import sys
import time
import venv
import zipfile

import pytest

from labor_jax import __main__ as commands
from labor_jax.config import files
from labor_jax.util.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]


def labor(*arguments, cwd=ROOT):
    command = [sys.executable, "-m", "labor_jax", *arguments]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )


def test_help_lists_every_command_with_what_it_does_at_once():
    ended = labor("--help")
    assert ended.returncode == 0
    for command, module in commands.MODULES.items():
        assert f"  {command:<16} {commands.summary(module)}" in ended.stdout
        assert commands.summary(module).endswith(".")
    assert "demo" in ended.stdout and ended.stdout == labor().stdout


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("predcit", "did you mean predict?"),
        ("prepare-dta", "did you mean prepare-data?"),
        ("sing", "labor-jax --help lists those there are"),
    ],
)
def test_an_unknown_command_is_told_with_the_nearest_one(command, hint):
    ended = labor(command)
    assert ended.returncode == 2
    assert ended.stderr == f"error: unknown command {command!r}; {hint}\n"


def test_a_command_has_its_programs_flags_and_errors():
    ended = labor("prepare_data", "--help")
    assert "--dataset" in ended.stdout and "labor-jax prepare_data" in ended.stdout
    ended = labor("predict", "--wrkdir=x")
    assert ended.returncode == 2 and "did you mean --workdir?" in ended.stderr


def test_help_of_a_program_tells_the_flags_that_several_share():
    assert "--config" in labor("run", "--help").stdout
    assert "--workdir" in labor("predict", "--help").stdout


def test_a_reader_that_has_seen_enough_is_not_told_of_it():
    # More than a pipe holds, to a reader that reads nothing.
    lines = (
        "from labor_jax.util import errors; errors.exit_on_user_error(lambda: print('x' * 10**7))()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", lines], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([], ["--config=toytown", "--workdir=runs/toytown"]),
        (["--quick"], ["--config=toytown:quick", "--workdir=runs/toytown-quick"]),
        (
            ["--workdir=w", "--config.seed=1"],
            ["--config=toytown", "--workdir=w", "--config.seed=1"],
        ),
    ],
)
def test_the_demo_is_a_run_of_toytown(given, wanted):
    assert commands.demo(given) == wanted


def test_configs_are_found_by_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = files.load(str(ROOT / "configs" / "toytown.py") + ":quick").to_dict()
    for name in ("toytown", "toytown.py", "configs/toytown.py"):
        assert files.load(f"{name}:quick").to_dict() == own
    mine = "from ml_collections import ConfigDict\ndef get_config(v): return ConfigDict({'v': v})"
    (tmp_path / "toytown.py").write_text(mine)
    assert files.load("toytown.py:mine").v == "mine", "a file that is there comes first"
    for name in ("elsewhere/toytown.py", "toytown.txt", "nonsense"):
        with pytest.raises(UserError, match=rf"no file '{name}'; give one, or one of ada"):
            files.find(name)


def test_help_of_a_run_takes_little_longer_than_importing_jax_and_flax():
    def seconds(*arguments):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True)
            times.append(time.perf_counter() - start)
        return min(times)

    imports = seconds("-c", "import jax, flax")
    assert seconds("-m", "labor_jax.main", "--help") < 1.5 * imports


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("c.warmup_stepz = 3", "line 4: unknown key 'warmup_stepz'; did you mean 'warmup_steps'?"),
        ("c.model.backbon = 'x'", "line 4: unknown key 'backbon'; did you mean 'backbone'?"),
        ("c.stages = = 1", "line 4: SyntaxError: invalid syntax"),
        ("c.method = foo", "line 4: NameError: name 'foo' is not defined"),
        ("c.budget.points_per_image = 'many'", "line 4: TypeError: Could not override field"),
        ("return 1", "get_config gives no config; end it with `return c`"),
    ],
)
def test_a_mistake_in_a_config_file_is_told_by_its_line(tmp_path, line, words):
    head = "from labor_jax.config import default_config\ndef get_config(variant=''):\n"
    body = f"    c = default_config()\n    {line}\n    return c\n"
    (tmp_path / "mine.py").write_text(head + body)
    ended = labor("run", "--config=mine.py", "--workdir=run", cwd=tmp_path)
    assert ended.returncode == 2 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("error: mine.py") and words in ended.stderr
    assert not (tmp_path / "run").exists()


def test_a_config_file_without_get_config_is_told(tmp_path):
    (tmp_path / "mine.py").write_text("def config():\n    return None\n")
    ended = labor("run", "--config=mine.py", "--workdir=run", cwd=tmp_path)
    assert ended.stderr == "error: mine.py: there is no function get_config; name it so\n"


def test_a_missing_flag_and_a_mistyped_command_of_annotate_are_told_plainly():
    assert (
        labor("run", "--config=toytown").stderr == "error: --workdir is missing; give --workdir=…\n"
    )
    ended = labor("annotate", "exprot", "--workdir=x")
    assert ended.returncode == 2 and "'exprot' is neither export nor import" in ended.stderr


def test_export_writes_files_of_its_formats_and_refuses_other_names(finished, tmp_path):
    def exported(*flags):
        command = [sys.executable, "-m", "labor_jax", "export", f"--workdir={finished}", *flags]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    for flags in (["--format=safetensors"], ["--format=safetensors", "--out=town.safetensors"]):
        assert exported(*flags).returncode == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["segmenter.safetensors", "town.safetensors"]
    for kind, out, ends in (
        ("stablehlo", "x.onnx", "zip"),
        ("safetensors", "x.pth", "safetensors"),
    ):
        refused = exported(f"--format={kind}", f"--out={out}")
        assert refused.returncode == 2
        assert refused.stderr == f"error: --out: give a name that ends in .{ends}\n"


# ------------------------------------------------------------------------------------- the wheel


@pytest.mark.slow
def test_the_wheel_and_what_it_requires_run_the_demo_in_an_empty_folder(tmp_path):
    wheels, empty = tmp_path / "wheels", tmp_path / "empty"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", f"--wheel-dir={wheels}", ROOT], check=True)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    for path in (ROOT / "configs").glob("*.py"):
        assert f"labor_jax/configs/{path.name}" in names
    assert {"labor_jax/annotation/web/page.html", "labor_jax/report/report.html.j2"} <= names
    assert wheel.stat().st_size < 2e6

    empty.mkdir()
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    into = [*pip, "--python", python, "install"]
    subprocess.run([*into, wheel], check=True, cwd=empty, env=environment)

    def run(*command):
        ended = subprocess.run(
            [str(part) for part in command],
            cwd=empty,
            capture_output=True,
            text=True,
            env=environment | {"XLA_FLAGS": ""},
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    where = run(python, "-c", "import labor_jax; print(labor_jax.__file__)").strip()
    assert pathlib.Path(where).is_relative_to(tmp_path), "the wheel's, not the checkout's"
    labor = tmp_path / "venv" / "bin" / "labor-jax"
    assert "mIoU" in run(labor, "demo", "--quick")
    workdir = empty / "runs" / "toytown-quick"
    assert (workdir / "report.html").is_file()
    run(labor, "export", f"--workdir={workdir}", "--out=town.safetensors", "--format=safetensors")
    run(labor, "export", "--workdir=town.safetensors", "--out=town.zip")
    code = "import labor_jax; print(labor_jax.load('town.safetensors').classes[0])"
    assert run(python, "-c", code) == "sky\n"
