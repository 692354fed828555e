"""The protocols in configs/protocols: what they say is compared, and that their commands run."""

import pathlib
import re

import pytest
from support import commands

from labor_jax.compare import cells
from labor_jax.compare import run as compare
from labor_jax.config import checking
from labor_jax.config import files as config_files
from labor_jax.selection import strategies
from labor_jax.util import files
from labor_jax.util.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
PROTOCOLS = sorted(path.stem for path in (ROOT / "configs" / "protocols").glob("*.py"))


def variants(name):
    """A protocol's variants, read off the message for one that there is not."""
    with pytest.raises(UserError, match="no variant 'nonsense'; there is ") as error:
        config_files.load(f"protocols/{name}:nonsense")
    return re.findall(r":(\w+)", str(error.value).split("there is ")[1])


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_run_of_a_protocol_has_a_config_and_its_command_is_told(name):
    docstring = (ROOT / "configs" / "protocols" / f"{name}.py").read_text()
    for variant in ["", *variants(name)]:
        path = f"configs/protocols/{name}.py{f':{variant}' * bool(variant)}"
        assert f"--config={path} --workdir=" in docstring or variant == "quick"
        config, protocol = config_files.load(path), config_files.protocol(path)
        references = cells.REFERENCES if config.source.domain else ("full",)
        budgets = list(map(cells.parse_budget, protocol.budgets))
        errors = cells.parse_errors(protocol.errors)
        plan, left_out = cells.plan(protocol.methods, budgets, 1, errors, references)
        number = len(protocol.methods) * len(budgets) * len(errors)
        assert len(plan) == number + len(references) and not left_out
        for cell in plan:
            checking.check(cells.cell_config(config, cell, "full", protocol.costs))


def test_a_budget_in_seconds_pays_for_more_points_than_pieces():
    path = "protocols/camvid:seconds"
    protocol, config = config_files.protocol(path), config_files.load(path)
    clicks = {}
    for method in protocol.methods:
        cell = cells.Cell(method, 0, cells.parse_budget(protocol.budgets[0]))
        own = cells.cell_config(config, cell, "", protocol.costs)
        clicks.setdefault(strategies.find(method).asks, own.budget.clicks_per_image)
    assert clicks["points"] > clicks["regions"] > clicks["superpixels"] > clicks["segments"] > 0


@pytest.fixture
def asked(monkeypatch):
    """What `labor-jax compare` would run with some flags."""

    def of(*flags):
        seen = []
        monkeypatch.setattr(
            compare, "run", lambda config, workdir, told: seen.append(told.protocol) or workdir
        )
        ended = commands.call("compare", "--workdir=w", *flags)
        assert ended.status == 0, ended.stderr
        return seen[0]

    return of


def test_flags_change_what_a_protocol_says_and_nothing_else(asked):
    said = config_files.protocol("protocols/camvid")
    assert asked("--config=protocols/camvid") == said
    changed = asked("--config=protocols/camvid", "--seeds=10", "--methods=margin,random")
    assert changed == said._replace(seeds=10, methods=["margin", "random"])
    costs = asked("--config=protocols/camvid:seconds", "--seconds_per_click=4").costs
    assert costs.told == "4 s a click, assumed"


def test_a_config_without_a_protocol_needs_methods_and_budgets(asked):
    assert asked("--config=toytown:quick", "--methods=random", "--budgets=4points").seeds == 3
    ended = commands.call("compare", "--workdir=w", "--config=toytown:quick", "--methods=random")
    assert "--budgets is missing" in commands.the_line(ended)


@pytest.mark.slow
def test_a_protocols_command_runs_and_another_method_adds_only_its_runs(tmp_path, tiny_dir):
    flags = ["--config=protocols/toytown_night:quick", f"--workdir={tmp_path}"]
    flags += [f"--config.data_dir={tiny_dir}", "--config.stages=1"]
    ended = commands.call("compare", *flags, "--methods=random")
    assert ended.status == 0, ended.stderr
    before = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/summary.json")}
    assert len(before) == 4
    ended = commands.call("compare", *flags)
    assert ended.status == 0, ended.stderr
    after = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/summary.json")}
    assert {p.parent.name for p in after.keys() - before.keys()} == {"typical-3clicks-seed0"}
    assert before.items() <= after.items()
    runs = files.read_json(tmp_path / "compare.json")["runs"]
    assert [run["method"] for run in runs] == ["full", "source_only", "uda", "random", "typical"]
