# Every target sets itself up from nothing; the second time it skips what is there.
PYTHON ?= python3
BIN := .venv/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e

.PHONY: install demo test test-page lint check site qgis guard bench clean

install: .venv/.ready  ## orthoforge in .venv/bin

demo: .venv/.ready  ## simulate, check, prepare, train, generate, evaluate: demo/report.html
	$(BIN)/orthoforge demo

test: .venv/.ready-dev
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "not browser"

test-page: .venv/.ready-dev  ## the tests in a browser, which take minutes
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m browser

lint: .venv/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint site test test-page

site: .venv/.ready-dev  ## the documentation as a site: build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

qgis:  ## the plugin for QGIS, packed: build/orthoforge-qgis.zip
	$(PYTHON) qgis/pack.py

guard: .venv/.ready-dev  ## ratios against references in the same process, in a minute
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.guard

bench: .venv/.ready-dev  ## print most of the figures in docs/figures.md
	$(BIN)/python -m bench

clean:
	rm -rf .venv demo build

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.ready: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) .
	touch $@

.venv/.ready-dev: pyproject.toml constraints.txt | .venv/bin/python
	$(INSTALL) '.[dev]'
	touch .venv/.ready $@
