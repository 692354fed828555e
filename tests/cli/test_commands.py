"""`labor-jax`: every program under one name; and the wheel, which needs no checkout."""

import importlib
import os
import pathlib
import re
import subprocess
import sys
import venv
import zipfile

import pytest
from support import commands
from support.commands import call

from labor_jax import __main__ as labor_jax_commands
from labor_jax.cli import demo
from labor_jax.config import files
from labor_jax.util.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
COMMANDS = labor_jax_commands.COMMANDS


def test_help_lists_every_command_with_what_it_does():
    ended = call("--help")
    assert ended.status == 0
    for command, module in COMMANDS.items():
        summary = importlib.import_module(module).__doc__.partition("\n")[0]
        assert f"  {command:<16} {summary}\n" in ended.stdout and summary.endswith(".")
    assert ended == call() == call("help")


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("predcit", "did you mean predict?"),
        ("prepare-dta", "did you mean prepare-data?"),
        ("sing", "labor-jax --help lists those there are"),
    ],
)
def test_an_unknown_command_is_told_with_the_nearest_one(command, hint):
    assert call(command) == (2, "", f"error: unknown command {command!r}; {hint}\n")


FLAGS = {
    "demo": ["quick", "config", "workdir"],
    "run": ["config", "workdir", "distributed"],
    "annotate": ["workdir", "port"],
    "live": ["config", "workdir", "port"],
    "evaluate": ["workdir", "scales", "split"],
    "predict": ["workdir", "scales", "images", "tile"],
    "export": ["workdir", "format"],
    "compare": ["config", "workdir", "budgets"],
    "prepare-data": ["dataset", "config", "manual_dir"],
    "convert-weights": ["backbone_only"],
    "benchmark": ["config", "repeat"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_says_how_it_is_called_and_tells_its_own_flags(command):
    status, told, errors = call(command, "--help")
    assert status == 0 and not errors
    assert f"\n    labor-jax {command} " in told
    named = set(re.findall(r"^  --(?:\[no\])?(\w+)", told, re.MULTILINE))
    assert named >= set(FLAGS[command])
    assert not named & {"helpfull", "verbosity", "flagfile"}, "only its own"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_mistyped_flag_is_told_with_the_nearest_one(command):
    flag = FLAGS[command][-1]
    line = commands.the_line(call(command, f"--{flag[:-1]}=x"))
    assert line == f"unknown flag --{flag[:-1]}; did you mean --{flag}?"


def test_a_command_may_be_called_again_with_other_flags(tmp_path):
    for name in ("a", "b"):
        line = commands.the_line(call("evaluate", f"--workdir={tmp_path / name}"))
        assert f"no run in '{tmp_path / name}'" in line
    assert "--workdir is missing" in commands.the_line(call("evaluate"))


def test_a_run_is_the_same_by_its_command_and_by_its_module():
    flags = ["--config=toytown:quick"]
    command = [sys.executable, "-m", "labor_jax.main", *flags]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == call("run", *flags)


@pytest.mark.parametrize("length", [1, 10**7], ids=["what waits to be written", "a pipe's fill"])
def test_a_reader_that_has_seen_enough_is_not_told_of_it(length):
    lines = (
        "import sys; from labor_jax.util import errors; "
        f"sys.exit(errors.exit_status(lambda: print('x' * {length})))"
    )
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-c", lines], cwd=ROOT, stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([], ["--config=toytown:frozen", "--workdir=runs/toytown"]),
        (["--quick"], ["--config=toytown:quick", "--workdir=runs/toytown-quick", "--quick"]),
        (
            ["--workdir=w", "--config.seed=1"],
            ["--config=toytown:frozen", "--workdir=w", "--config.seed=1"],
        ),
    ],
)
def test_the_demo_is_a_run_of_toytown(given, wanted):
    assert demo.with_defaults(given) == wanted


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
def test_a_mistake_in_a_config_file_is_told_by_its_line(tmp_path, monkeypatch, line, words):
    monkeypatch.chdir(tmp_path)
    head = "from labor_jax.config import default_config\ndef get_config(variant=''):\n"
    body = f"    c = default_config()\n    {line}\n    return c\n"
    (tmp_path / "mine.py").write_text(head + body)
    told = commands.the_line(call("run", "--config=mine.py", "--workdir=run"))
    assert told.startswith("mine.py") and words in told
    assert not (tmp_path / "run").exists()


def test_a_config_file_without_get_config_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("def config():\n    return None\n")
    told = commands.the_line(call("run", "--config=mine.py", "--workdir=run"))
    assert told == "mine.py: there is no function get_config; name it so"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["evaluate"], "--workdir is missing; give --workdir=…"),
        (["evaluate", "--workdir"], "--workdir has no value; give --workdir=…"),
        (["evaluate", "--workdir=x", "y"], "unexpected 'y'; flags are --name=value"),
        (["demo", "--config.stages=x"], "flag --config.stages=x: 'x' is no whole number"),
        (
            ["demo", "--config.input.flip=maybe"],
            "flag --config.input.flip=maybe: 'maybe' is neither",
        ),
        (["predict", "--workdir=x", "--images=y", "--out=z", "--tile=9"], "--tile: '9' is no size"),
        (["convert-weights", "a"], "DST is missing; give SRC DST, as --help tells"),
        (["prepare-data"], "--dataset, --config: give one of the two"),
        (["prepare-data", "--dataset=folder"], "--images is missing; give --images=…"),
        (["benchmark", "all", "--config.nothing=1"], "unknown key 'nothing'"),
        (["annotate", "--workdir=x", "--format=cvat"], "unknown flag --format; --help lists"),
    ],
)
def test_a_newcomers_mistake_is_told_in_one_line(given, line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert commands.the_line(call(*given)).startswith(line)
    assert not list(tmp_path.iterdir())


def test_a_missing_flag_and_a_mistyped_command_of_annotate_are_told_plainly():
    told = commands.the_line(call("run", "--config=toytown"))
    assert told == "--workdir is missing; give --workdir=…"
    told = commands.the_line(call("annotate", "exprot", "--workdir=x"))
    assert told.startswith("'exprot' is neither export nor import")


def test_export_writes_files_of_its_formats_and_refuses_other_names(
    finished, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for flags in (["--format=safetensors"], ["--format=safetensors", "--out=town.safetensors"]):
        assert call("export", f"--workdir={finished}", *flags).status == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["segmenter.safetensors", "town.safetensors"]
    for kind, out, ends in (
        ("stablehlo", "x.onnx", "zip"),
        ("safetensors", "x.pth", "safetensors"),
    ):
        refused = call("export", f"--workdir={finished}", f"--format={kind}", f"--out={out}")
        assert commands.the_line(refused) == f"--out: give a name that ends in .{ends}"


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
    for path in (ROOT / "configs").rglob("*.py"):
        assert f"labor_jax/{path.relative_to(ROOT).as_posix()}" in names
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
