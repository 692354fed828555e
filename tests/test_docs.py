"""Pages that link to each other, the API reference, and how to cite."""

import importlib.metadata
import pathlib
import re
import subprocess
import sys
import tomllib

import pytest

import labor_jax

ROOT = pathlib.Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))

import check_links  # noqa: E402


def test_the_readme_and_the_guides_link_to_what_is_there():
    assert not check_links.broken([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs"])


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_a_page_tells_the_floors_of_the_contract_in_their_order(page):
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = [set(re.findall(r"\w+", layer)) for layer in settings["contracts"][0]["layers"]]
    text = (ROOT / page).read_text()
    lines = re.findall(r"^(?:\| (`\w+`(?:, `\w+`)*) \||((?:\w+/? +)+) \w)", text, re.MULTILINE)
    told = [set(re.findall(r"\w+", "".join(found))) for found in lines]
    assert [floor for floor in told if floor in layers] == layers


def test_paths_that_pages_name_are_there():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for path in re.findall(
            r"`((?:labor_jax|tests|configs|docs)/[a-z0-9_/.]+)`", page.read_text()
        ):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "there.html").write_text('<p id="here">x</p><a href="#nowhere">y</a>')
    (tmp_path / "a.md").write_text(
        "# A *first* heading\n\n[fine](#a-first-heading) [fine](there.html#here) [site](http://x.y/z)"
        " [gone](gone.md) [no place](there.html#there) ![no picture](no.png)\n"
        '<img src="none.jpg"> `[code](is-no-link)`\n\n```sh\n[nor](is-this)\n```\n'
    )
    links = [line.split(": ")[1] for line in check_links.broken([tmp_path])]
    assert links == ["gone.md", "there.html#there", "no.png", "none.jpg", "#nowhere"]


@pytest.mark.slow
def test_the_api_reference_has_every_module_and_no_broken_link(tmp_path):
    command = [sys.executable, ROOT / "docs" / "make_api.py", tmp_path]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0 and "Warn" not in made.stderr, made.stderr
    for path in (ROOT / "labor_jax").rglob("*.py"):
        name = path.relative_to(ROOT).with_suffix("")
        if path.name != "__main__.py":
            name = name.parent if path.name == "__init__.py" else name
            assert (tmp_path / name).with_suffix(".html").is_file(), name
    assert not check_links.broken([tmp_path])
    front = (tmp_path / "labor_jax.html").read_text()
    assert all(f'id="{name}"' in front for name in labor_jax.__all__ if name != "losses")


def test_the_citation_is_of_this_version_and_licence():
    text = (ROOT / "CITATION.cff").read_text()
    metadata = importlib.metadata.metadata("labor_jax")
    assert re.search(r"^cff-version: 1\.2\.0$", text, re.MULTILINE)
    assert re.search(rf"^version: {re.escape(labor_jax.__version__)}$", text, re.MULTILINE)
    assert re.search(rf"^license: {metadata['License-Expression']}$", text, re.MULTILINE)
