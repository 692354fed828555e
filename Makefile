# `make demo` and `make test` do all the set-up on a fresh machine with Python 3.11 or later.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint docs clean

demo: .venv/.installed
	$(BIN)/python -m labor_jax.main --config=configs/toytown.py:frozen --workdir=runs/toytown

test: .venv/.installed-tests lint
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile

lint: .venv/.installed-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# The API reference, from the docstrings: build/api/index.html.
docs: .venv/.installed-tests
	rm -rf build/api
	$(BIN)/python docs/make_api.py build/api
	$(BIN)/python docs/check_links.py README.md CONTRIBUTING.md docs build/api

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or later is needed; give one as make PYTHON=...")'
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/.installed-tests: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
