"""docs/settings.md is the page of the fields as they are."""

import pathlib
import sys

from labor_jax.config.schema import settings

DOCS = pathlib.Path(__file__).parents[2] / "docs"
sys.path.append(str(DOCS))

import make_settings  # noqa: E402


def test_the_page_of_all_keys_is_made_from_the_fields_as_they_are():
    text = (DOCS / "settings.md").read_text()
    assert text == make_settings.page(), "python docs/make_settings.py > docs/settings.md"
    assert all(f"| `{key}` |" in text for key in settings())
