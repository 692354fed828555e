"""What docs/extending.md shows is run as it stands there, in a folder of its own."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

PAGE = (pathlib.Path(__file__).parents[1] / "docs" / "extending.md").read_text()
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, re.DOTALL))
(COMMANDS,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


def test_each_kind_is_shown_in_under_40_lines():
    kinds = {"my_backbone.py", "my_data.py", "my_strategy.py", "my_loss.py"}
    assert FILES.keys() == kinds | {"my_config.py"}
    assert all(len(text.splitlines()) + 1 < 40 for text in FILES.values())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """A reader's folder, in which the page's commands were run."""
    path = tmp_path_factory.mktemp("mine")
    for name, text in FILES.items():
        (path / name).write_text(text)
    for line in COMMANDS.splitlines():
        run(line, path)
    return path


def run(line: str, where: pathlib.Path) -> str:
    """What a command of the page prints."""
    command = line.replace("labor-jax", f"{sys.executable} -m labor_jax").split()
    done = subprocess.run(command, cwd=where, capture_output=True, text=True)
    assert done.returncode == 0, f"{line}\n{done.stderr[-2000:]}"
    return done.stdout


def test_the_data_set_is_prepared_and_the_backbone_trained_with_the_loss(folder):
    assert list((folder / "data" / "hills" / "1.0.0").glob("*.array_record*"))
    summary = json.loads((folder / "runs/mine/summary.json").read_text())
    assert summary["status"] == "finished" and set(summary["per_class_iou"]) == {
        "sky",
        "hill",
        "house",
    }
    metrics = [json.loads(line) for line in (folder / "runs/mine/metrics.jsonl").open()]
    assert any(record.get("loss/focal", 0.0) > 0.0 for record in metrics)


def test_the_strategy_asks_its_points(folder):
    for stage in (1, 2):
        queries = (folder / f"runs/mine/queries/stage_{stage}.jsonl").read_text().splitlines()
        assert len(queries) == 12
        assert all(len(json.loads(query)["points"]) == 3 for query in queries)


def test_its_queries_are_shown_to_people_on_the_data_sets_own_images(folder):
    said = run("labor-jax annotate export --workdir=runs/mine --format=png --out=tasks", folder)
    assert said.startswith("12 images with what is asked of them")
