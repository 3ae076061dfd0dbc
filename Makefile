# Each target makes .venv and installs what it needs, once and again whenever pyproject.toml changes.
#   make gans ARGS='--seeds 0-4'      passes options on
#   make test VENV=path PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
ARGS ?=

bin := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help gans screen speed test lint check coverage matrix docs dist format

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

gans: $(VENV)/.bench ## run the GAN suite: results, tables and figures under runs/gans
	@$(bin)/python -m benchmarks.run --suite gans $(ARGS)

screen: $(VENV)/.bench ## tune and compare ten methods on twelve problems: results, tables and figures under runs/
	@$(bin)/python -m benchmarks.tune --screen $(ARGS)

speed: $(VENV)/.bench ## time a step of every optimizer
	@$(bin)/python -m benchmarks.studies.speed $(ARGS)

test: $(VENV)/.test ## run all tests and doctests
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(bin)/python -m pytest -n $(WORKERS) $(ARGS)

lint: $(VENV)/.test ## check lint, format and types
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy

check: lint test ## lint, then test: what has to pass before a commit lands

coverage: $(VENV)/.test ## run the tests of the library with branch coverage: a table here, pages in build/coverage
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(bin)/python -m pytest -q -n $(WORKERS) tests minimax --ignore=tests/benchmarks --ignore=tests/docs \
		--cov=minimax --cov-branch --cov-report=term:skip-covered --cov-report=html:build/coverage $(ARGS)

matrix: ## run the tests on the lowest PyTorch and Python, the usual and the newest, each in a fresh environment (6 GB at a time)
	@$(PYTHON) .ci/matrix.py --pytest '-n $(WORKERS)' $(ARGS)

docs: $(VENV)/.docs ## build the site into site/, examples run; a broken link, example or table fails it
	@$(bin)/python -m sphinx -W --keep-going -q -b html -d build/doctrees $(ARGS) docs site
	@echo "Open site/index.html."

dist: $(VENV)/.release ## build wheel and sdist into dist/, and check what is in them, what an index shows, and that they install
	@$(bin)/python .ci/dist.py

format: $(VENV)/.test ## mend what ruff can mend, and format
	@$(bin)/ruff check --fix .
	@$(bin)/ruff format .

# $(VENV)/.EXTRA stands for "installed with that extra".
$(VENV)/.%: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("minimax needs Python 3.11 or newer: make PYTHON=... " if sys.version_info < (3, 11) else 0)'
	@test -x $(bin)/pip || $(PYTHON) -m venv $(VENV)
	@echo "Installing minimax[$*] into $(VENV): PyTorch is large, the first time takes a minute or more."
	@$(bin)/python -m pip install --quiet --quiet --progress-bar off --editable '.[$*]'
	@touch $@
