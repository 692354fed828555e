"""A user's own modules are imported by name, or refused in one line."""

import sys

import pytest

from labor_jax.util import plugins
from labor_jax.util.errors import UserError


@pytest.fixture
def beside(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_modules_are_imported_in_order(beside):
    (beside / "one_of_mine.py").write_text("named = ['one']\n")
    (beside / "two_of_mine.py").write_text("import one_of_mine\none_of_mine.named.append('two')\n")
    plugins.load(("one_of_mine", "two_of_mine"))
    assert sys.modules["one_of_mine"].named == ["one", "two"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "ModuleNotFoundError: No module named"),
        ("x = = 1", "SyntaxError: invalid syntax"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
    ],
)
def test_a_module_that_cannot_be_imported_is_told_in_one_line(beside, code, words):
    if code:
        (beside / "broken_of_mine.py").write_text(code)
    with pytest.raises(UserError, match=r"^config\.plugins: 'broken_of_mine' cannot be") as error:
        plugins.load(("broken_of_mine",))
    assert words in str(error.value) and "\n" not in str(error.value)


def test_a_module_whose_name_for_something_is_taken_is_told_what_to_rename(beside):
    (beside / "double_of_mine.py").write_text(
        "from labor_jax.selection.strategies import strategy\n"
        "strategy('margin', asks='points')(lambda seen, config: seen.noise)\n"
    )
    with pytest.raises(UserError) as error:
        plugins.load(("double_of_mine",))
    assert str(error.value) == (
        "config.plugins: 'double_of_mine': strategy 'margin' is registered by "
        "labor_jax.selection.strategies.uncertainty and by double_of_mine; rename one of the two"
    )
