"""The page of made-up runs, and the same tables as Markdown."""

import re
import urllib.parse

import numpy as np
import pytest
from support.fabricate import TABLE
from support.made_up import target, write_cells
from support.pages import Page

from labor_jax.compare import intervals, page, results, tables
from labor_jax.report import charts, template

METHODS, BUDGETS = ["random", "labor_ppl", "labor_spl"], ["10points", "100clicks", "2.2%"]
SECTIONS = (
    "references",
    "curves",
    "results",
    "ranks",
    "differences",
    "classes",
    "examples",
    "runs",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The page, its Markdown and the figures of runs with three seeds and two shares of errors."""
    workdir = tmp_path_factory.mktemp("compare")
    about, done = write_cells(workdir, METHODS, BUDGETS, 3, (0.0, 0.05))
    path = page.write(workdir, about, done, target((24, 32)).take([1, 4]), TABLE)
    return Page(path.read_text()), (workdir / "compare.md").read_text(), about, done


def rows(text, first):
    """The cells of each row of a Markdown table that begins with a cell."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_page_has_every_section_and_needs_nothing_from_outside(made):
    html = made[0]
    assert {*SECTIONS, "errors"} <= set(html.ids)
    assert len(html.ids) == len(set(html.ids))
    reports = {f"{urllib.parse.quote(r.cell.name)}/report.html" for r in made[3]}
    for link in html.links:
        assert link.startswith("data:image/") or link[1:] in html.ids or link in reports, link
    assert not html.count("script") and not html.count("link")


def test_every_figure_of_the_results_is_the_runs_own(made):
    _, text, about, done = made
    (row,) = [r for r in rows(text, "`labor_ppl`") if r[1] == "10 points" and len(r) == 12][:1]
    group = results.groups(done)["labor_ppl", about.budgets[0], 0.0]
    mious = [r.miou for r in group]
    gaps = [100 * results.gap_closed(done)[r.cell] for r in group]
    assert row[2] == f"{np.mean(mious):.1f} ± {np.std(mious, ddof=1):.1f}" and row[3] == "3"
    assert row[4] == f"{np.mean(gaps):.0f} ± {np.std(gaps, ddof=1):.0f}"
    assert row[5:7] == ["10.0", "10.0"] and row[8] == "20 s"
    assert row[9] == "70.0" and float(row[10]) == pytest.approx(100 * group[0].void, abs=0.06)
    wrong = [r[11] for r in rows(text, "`labor_ppl`") if r[1] == "10 points" and len(r) == 12]
    assert wrong == ["0", "5.00"]
    assert rows(text, "`source_only`")[0][4] == "0" and rows(text, "`full`")[0][4] == "100"
    assert rows(text, "`full`")[0][8] == template.ABSENT, "nobody clicks a full label map"


def test_markdown_tables_are_whole(made):
    _, text, _, _ = made
    tables = re.findall(r"(?:^\|.*\|\n)+", text, re.M)
    assert len(tables) == 2 + 6 + 6 + 1 + 6
    for table in tables:
        lines = table.splitlines()
        assert len({line.count("|") for line in lines}) == 1
        assert set(lines[1]) <= set("|-:") and len(lines) > 2
    assert "labor_spl is not run with 10 points" in text


def test_differences_are_paired_by_seed_with_both_intervals(made):
    _, text, about, done = made
    row = rows(text, f"`labor_ppl` {tables.MINUS} `random`")[0]
    groups = results.groups(done)
    first, second = (groups[m, about.budgets[0], 0.0] for m in ("random", "labor_ppl"))
    found = [b.miou - a.miou for a, b in zip(first, second, strict=True)]
    weights = intervals.resamples(12)
    samples = [
        [intervals.resampled_mious(r.confusions, weights) for r in group]
        for group in (first, second)
    ]
    assert row[1:3] == [tables.signed(np.mean(found)), "3"]
    assert row[3] == tables.between(intervals.over_seeds(found))
    assert row[4] == tables.between(intervals.over_images(*samples))
    assert float(row[5]) >= intervals.p_value(found) - 0.005  # corrected for several rows
    assert row[6] == f"{intervals.least_seen(found):.1f}"


def test_a_finding_says_what_to_use_and_how_sure_that_is(tmp_path):
    for seeds, words in (
        (1, "One seed cannot show that"),
        (3, "with 3 seeds, differences below"),
    ):
        about, done = write_cells(
            tmp_path / str(seeds), ["random", "labor_ppl"], ["10points"], seeds
        )
        done = [r._replace(miou=r.miou + 5 * (r.cell.method == "labor_ppl")) for r in done]
        (line,) = tables.findings(about, results.groups(done), done)
        assert "labor_ppl has the highest mean" in line and words in line
        assert "the first in" in line


def test_only_seeds_that_both_have_are_compared(tmp_path):
    about, done = write_cells(tmp_path, ["random", "labor_ppl"], ["10points"], 3)
    done = [
        r for r in done if (r.cell.method, r.cell.seed) not in {("random", 0), ("labor_ppl", 2)}
    ]
    (table,) = tables.difference_tables(about, results.groups(done))
    assert table.rows[0][2:4] == ["1", template.ABSENT]


def test_what_errors_cost_is_a_table_of_its_own(made):
    html, text, about, done = made
    groups = results.groups(done)
    clean, wrong = (groups["random", about.budgets[0], e] for e in (0.0, 0.05))
    change = np.mean([b.miou - a.miou for a, b in zip(clean, wrong, strict=True)])
    assert "change, 5 % wrong" in html.text
    assert [tables.signed(change)] in [r[4:5] for r in rows(text, "`random`") if len(r) == 6]


def test_with_one_kind_of_answers_nothing_is_said_of_errors(tmp_path):
    about, done = write_cells(tmp_path, METHODS, BUDGETS, 1)
    path = page.write(tmp_path, about, done, target((24, 32)).take([1]), TABLE)
    html = Page(path.read_text())
    assert "errors" not in html.ids and "no errors" not in html.text
    assert "±" not in (tmp_path / "compare.md").read_text().split("## Results")[1]


def test_the_examples_show_every_method_on_the_same_images(made):
    html = made[0]
    names = target((24, 32)).ids
    assert names[1] in html.text and names[4] in html.text
    # 10 points: two methods; the other budgets: three. Beside them the image and the truth.
    assert html.count("svg", **{"class": "picture"}) == 2 * (2 + 2 + 3 + 3)
    assert html.text.count("labor_spl. Asked:") == 2 * 2


def test_a_comparison_that_has_just_begun_has_a_page(tmp_path):
    about, done = write_cells(tmp_path, METHODS, BUDGETS, 1)
    for some in ([], done[:1], done[:4]):
        path = page.write(tmp_path, about, some, target((24, 32)).take([1]), TABLE)
        html = Page(path.read_text())
        assert set(SECTIONS) <= set(html.ids)
        assert f"{len(some)} of 11 runs" in html.text


def test_names_are_escaped(tmp_path):
    about, done = write_cells(tmp_path, METHODS, BUDGETS, 1)
    about = about._replace(config="<script>alert(1)</script>")
    path = page.write(tmp_path, about, done, target((24, 32)).take([1]), TABLE)
    assert not Page(path.read_text()).count("script")


@pytest.mark.parametrize(
    ("value", "text"), [(1.25, "+1.2"), (-0.3, f"{tables.MINUS}0.3"), (-0.04, "+0.0")]
)
def test_differences_have_signs_and_no_negative_zero(value, text):
    assert tables.signed(value) == text


# ------------------------------------------------------------------------------ charts


@pytest.mark.parametrize(
    "bounds", [(1, 1), (4, 40), (20, 100), (0.21, 5), (0.03, 9e4), (12, 1e7), (7, 7)]
)
def test_logarithmic_ticks_are_few_and_hold_the_data(bounds):
    ticks = charts.log_ticks(*bounds)
    assert 2 <= len(ticks) <= 11 and ticks == sorted(set(ticks))
    assert ticks[0] <= bounds[0] * (1 + 1e-9) and ticks[-1] >= bounds[1] * (1 - 1e-9)


def places(svg):
    return [
        (float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)
    ]


def test_on_a_logarithmic_axis_equal_factors_are_equal_steps():
    line = charts.Series("a", [(1, 1.0), (10, 2.0), (100, 3.0)], dots=True)
    (a, _), (b, _), (c, _) = places(charts.line_chart([line], "x", "t", log=True))
    assert b - a == pytest.approx(c - b, abs=0.2) and b > a


def test_error_bars_reach_as_far_as_they_say_and_there_is_room_for_them():
    line = charts.Series("a", [(1, 40.0), (2, 50.0)], dots=True, errors=[5.0, 0.0])
    svg = charts.line_chart([line], "x", "t")
    (x, middle), (_, above) = places(svg)
    ((at, low, high),) = re.findall(r'class="error" d="M([\d.]+) ([\d.]+)V([\d.]+)', svg)
    assert float(at) == x
    assert float(low) - middle == pytest.approx((middle - above) / 2, abs=0.2)
    assert middle - float(high) == pytest.approx((middle - above) / 2, abs=0.2)
    assert float(low) <= 260 - charts.BOTTOM


def test_a_seventh_series_has_another_shape():
    series = [charts.Series(str(n), [(1, n)], color=n, dots=True) for n in range(1, 9)]
    svg = charts.line_chart(series, "x", "t")
    assert svg.count("<circle") == 6 and svg.count('class="dot"') == 2


def test_names_of_levels_do_not_lie_on_each_other():
    line = charts.Series("a", [(1, 40.0), (2, 50.0)])
    svg = charts.line_chart([line], "x", "t", levels=[("one", 44.0), ("two", 44.1), ("<x>", 48.0)])
    heights = sorted(float(y) for y in re.findall(r'class="name" x="[\d.]+" y="([\d.-]+)"', svg))
    assert len(heights) == 3 and min(np.diff(heights)) >= 11.9 and "&lt;x&gt;" in svg
