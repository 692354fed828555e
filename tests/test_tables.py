"""The pages' tables are made from the files in docs/results."""

import json
import pathlib
import sys

import numpy as np
import pytest
from support import made_up

from labor_jax.compare import record

DOCS = pathlib.Path(__file__).parents[1] / "docs"
sys.path.append(str(DOCS))

import make_tables  # noqa: E402


@pytest.mark.parametrize("page", make_tables.PAGES, ids=lambda page: page.name)
def test_the_pages_have_the_tables_of_the_files_as_they_are(page):
    assert page.read_text() == make_tables.filled(page.read_text()), "python docs/make_tables.py"


def test_a_table_has_each_methods_mean_spread_and_paired_difference(tmp_path):
    about, done = made_up.write_cells(tmp_path, ["random", "margin"], ["5clicks", "20clicks"], 3)
    comparison = json.loads(record.text(about, done))
    rows = [line.split(" | ") for line in make_tables.table(comparison).splitlines()]
    margin = next(row for row in rows if row[0] == "| `margin`")
    scores = {
        (r.cell.method, r.cell.budget.amount, r.cell.seed): r.miou for r in done if r.cell.budget
    }
    for shown, clicks in zip(margin[1:3], (5, 20), strict=True):
        own = np.array([scores["margin", clicks, seed] for seed in range(3)])
        assert shown == f"{own.mean():.1f} ± {own.std(ddof=1):.1f}"
    differences = [scores["margin", 20, seed] - scores["random", 20, seed] for seed in range(3)]
    shown = float(margin[3].replace("\N{MINUS SIGN}", "-"))
    assert shown == pytest.approx(np.mean(differences), abs=0.051)
    assert "`full`" in rows[0][0] and any(row[0].startswith("- 20 clicks") for row in rows)


def test_a_comparisons_file_has_a_line_for_each_run_and_stays_small(tmp_path):
    about, done = made_up.write_cells(tmp_path, ["random", "labor_spl"], ["5clicks"], 2, (0.0, 0.1))
    lines = record.text(about, done).splitlines()
    runs = json.loads("\n".join(lines))["runs"]
    assert len(runs) == len(done) and max(map(len, lines)) < 1500
    for run, result in zip(runs, done, strict=True):
        assert run["mIoU"] == result.miou and run["error"] == result.cell.error
        assert run["clicks"] == pytest.approx(result.budget["clicks_per_image"], abs=0.01)
