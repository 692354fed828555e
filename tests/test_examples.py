"""Every example in a docstring does what it says."""

import doctest
import importlib
import pathlib

import numpy as np
import pytest

import labor_jax

ROOT = pathlib.Path(__file__).parents[1]
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "labor_jax").rglob("*.py")
    if "\n>>> " in path.read_text() or "    >>> " in path.read_text()
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module_run(name, finished):
    names = {"labor_jax": labor_jax, "np": np, "workdir": finished}
    failed, tried = doctest.testmod(importlib.import_module(name), extraglobs=names)
    assert tried and not failed


def test_every_public_function_has_an_example():
    told = labor_jax.__doc__
    for name in labor_jax.__all__:
        assert f"labor_jax.{name}" in told or name in ("Predictor", "UserError")
