"""Writes the tables of comparisons into the pages, from the files in docs/results:

python docs/make_tables.py

A page has `<!-- table NAME -->` where the table of docs/results/NAME.json begins, and
`<!-- end -->` behind it. Such a file is the compare.json that `labor-jax compare` writes.
"""

import collections
import itertools
import json
import pathlib
import re
from typing import Any

from labor_jax.compare import cells, intervals
from labor_jax.compare.tables import MINUS, between, errors_name, signed, spread

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PAGES = (ROOT / "README.md", ROOT / "docs" / "ways_to_ask.md")
PLACE = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Scores = dict[tuple[str, str | None, float], dict[int, float]]
"""By (method, budget, share of errors): the mIoU of each seed."""


def filled(page: str) -> str:
    """A page whose tables are those of the files as they are."""

    def made(found: re.Match[str]) -> str:
        begin, name, end = found.groups()
        return f"{begin}{table(json.loads((RESULTS / f'{name}.json').read_text()))}{end}"

    return PLACE.sub(made, page)


def table(comparison: dict[str, Any]) -> str:
    """What a comparison gave, in Markdown: its references, a row for each method, its findings."""
    scores: Scores = collections.defaultdict(dict)
    for run in comparison["runs"]:
        scores[run["method"], run["budget"], run["error"]][run["seed"]] = run["mIoU"]
    errors = comparison["errors"]
    columns = list(itertools.product(comparison["budgets"], errors))
    titles = [_title(budget, error, errors) for budget, error in columns]
    baseline, last = comparison["methods"][0], columns[-1]
    differences = _differences(scores, comparison["methods"], last)
    head = ["method", *titles, f"{MINUS} `{baseline}`", "95 %", "p"]
    rule = ["---", *["--:"] * (len(head) - 1)]
    lines = [_references(comparison, scores), "", _line(head), _line(rule)]

    def at_last(method: str) -> float:
        found = scores.get((method, *last), {})
        return intervals.mean_and_spread([*found.values()])[0] if found else 0.0

    for method in sorted(comparison["methods"], key=at_last, reverse=True):
        found = [spread([*scores.get((method, *column), {}).values()]) for column in columns]
        lines.append(_line([f"`{method}`", *found, *differences.get(method, ("", "", ""))]))
    lines += ["", *(f"- {finding}" for finding in comparison["findings"]), ""]
    return "\n".join(lines)


def _title(budget: str, error: float, errors: list[float]) -> str:
    title = cells.parse_budget(budget).title
    return f"{title}, {errors_name(error)}" if len(errors) > 1 or error else title


def _references(comparison: dict[str, Any], scores: Scores) -> str:
    """A sentence: what was scored, and the scores of what asks nothing or everything."""
    there = [m for m in cells.REFERENCES if (m, None, 0.0) in scores]
    told = ", ".join(f"`{m}` {spread([*scores[m, None, 0.0].values()])}" for m in there)
    seeds = max((len(found) for found in scores.values()), default=0)
    return (
        f"mIoU in percent on the {comparison['images']} images of {comparison['val']}, mean ± "
        f"standard deviation over {seeds} seed{'s' * (seeds > 1)}" + (f"; {told}." if told else ".")
    )


def _differences(
    scores: Scores, methods: list[str], column: tuple[str, float]
) -> dict[str, tuple[str, str, str]]:
    """Each method's paired difference to the first one, its interval over seeds and its p-value.

    The p-values are corrected for the number of methods (Holm).
    """
    baseline, paired = scores.get((methods[0], *column), {}), {}
    for method in methods[1:]:
        found = scores.get((method, *column), {})
        by_seed = [found[seed] - baseline[seed] for seed in sorted(found.keys() & baseline.keys())]
        if by_seed:
            paired[method] = by_seed
    chances = {m: p for m, one in paired.items() if (p := intervals.p_value(one)) is not None}
    corrected = dict(zip(chances, intervals.holm([*chances.values()]), strict=True))
    return {
        method: (
            signed(sum(one) / len(one)),
            between(intervals.over_seeds(one)),
            f"{corrected[method]:.2g}" if method in corrected else "",
        )
        for method, one in paired.items()
    }


def _line(row: list[str]) -> str:
    return f"| {' | '.join(row)} |"


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page.read_text()))
