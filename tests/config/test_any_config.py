"""Configs with any value or mistake are a config that can be used, or one line.

    pytest -m slow tests/config/test_any_config.py --seconds=120

tries as many mistakes as there is time for.
"""

import contextlib
import json
import pathlib
from typing import Any

import pytest
from hypothesis import strategies as st
from support import mutated
from support.trying import one_line, try_for

from labor_jax.config import checking, default_config, files
from labor_jax.config.schema import settings
from labor_jax.data import loading
from labor_jax.infer import restore
from labor_jax.util.errors import UserError

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[2]


def use(config: Any) -> None:
    """Checks a config as a run does, and makes what is made of it."""
    checking.check(config)
    table = loading.table_from_config(config.classes)
    assert 2 <= len(table) <= 254
    restore.views(config)


VALUES = st.recursive(
    st.one_of(
        mutated.VALUES.filter(lambda value: not isinstance(value, list | dict)),
        st.sampled_from(["#ff0000", "0", "1e9", "nan", "None", "a/../b", "\0", "ü", "'", "["]),
        st.sampled_from([256, 70000, -(2**31), 10**400, float("inf"), 1e-320]),
        st.binary(max_size=3),
        st.booleans(),
    ),
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=8,
)


def test_any_value_of_any_key_is_taken_or_one_line(seconds):
    keys = sorted(settings())

    def check(changes: dict[str, Any]) -> None:
        config = default_config()
        with config.unlocked(), config.ignore_type():
            for key, value in changes.items():
                section, _, name = key.rpartition(".")
                at = config
                for part in section.split(".") if section else ():
                    at = at[part]
                with contextlib.suppress(OverflowError):  # ml_collections makes numbers floats
                    at[name] = value
        try:
            use(config)
        except UserError as error:
            one_line(error)

    values = st.dictionaries(st.sampled_from(keys), VALUES, min_size=1, max_size=2)
    tried = try_for(seconds, values, check)
    print(f"values: {tried} tried in {seconds:.0f} s")
    assert tried > seconds


def test_any_mistake_in_a_runs_config_is_a_config_or_one_line(tmp_path, seconds):
    source = json.dumps(default_config().to_dict()).encode()

    def check(data: bytes) -> None:
        (tmp_path / "config.json").write_bytes(data)
        try:
            use(restore.read_config(tmp_path))
        except UserError as error:
            one_line(error)

    values = st.one_of(mutated.jsons(source), mutated.texts(source))
    tried = try_for(seconds, values, check)
    print(f"config.json: {tried} tried in {seconds:.0f} s")
    assert tried > seconds


@pytest.mark.filterwarnings("ignore")
def test_any_mistake_in_a_config_file_is_a_config_or_one_line(tmp_path, seconds):
    source = (ROOT / "configs" / "folder.py").read_bytes()
    path = tmp_path / "mine.py"

    def check(data: bytes) -> None:
        path.write_bytes(data)
        try:
            use(files.load(str(path)))
        except UserError as error:
            one_line(error)

    tried = try_for(seconds, mutated.texts(source), check)
    print(f"config files: {tried} tried in {seconds:.0f} s")
    assert tried > seconds
