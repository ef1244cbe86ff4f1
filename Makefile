# make run         the quick benchmark, results in results/quick
# make test        the tests and the style checks
# make regression  whether speedups are still those of the baseline
# All first install the pinned requirements into .venv, once.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements.lock
INSTALLED := $(VENV)/.installed
KERNEL := $(wildcard fastism/backends/*.cpp fastism/backends/*.h)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
SNAKEMAKE_ARGS ?=
# Two processes; the threads of PyTorch in both of them would wait for each other.
PYTEST_ARGS ?= --numprocesses 2
# The backends other than the default one under which the tests marked "keras" are repeated.
OTHER_KERAS_BACKENDS := jax torch

export TF_CPP_MIN_LOG_LEVEL ?= 3
export MPLBACKEND ?= Agg

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run regression test lint format install clean distclean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(INSTALLED) ## run the quick benchmark: speedup table and figure in results/quick
	$(BIN)/snakemake --cores all $(SNAKEMAKE_ARGS)

regression: $(INSTALLED) ## compare speedups with the baseline; fails where one is worse
	$(BIN)/snakemake --cores all regression $(SNAKEMAKE_ARGS)

test: lint ## check the style, then run the tests, those that use Keras on each of its backends
	OMP_NUM_THREADS=1 $(BIN)/pytest $(PYTEST_ARGS)
	set -e; for backend in $(OTHER_KERAS_BACKENDS); do \
	    echo "Tests that use Keras, on $$backend:"; \
	    OMP_NUM_THREADS=1 KERAS_BACKEND=$$backend $(BIN)/pytest -m keras $(PYTEST_ARGS); \
	done

lint: $(INSTALLED) ## check the style only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED) ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(INSTALLED) ## install the pinned requirements and this project into .venv

# The stamp is written last: an interrupted install is taken up again, a finished one is skipped.
$(INSTALLED): $(LOCK) pyproject.toml setup.py $(KERNEL) | $(BIN)/python
	@echo "Installing the pinned requirements into $(VENV), once; this takes some minutes."
	$(PIP) --constraint $(LOCK) "$$(grep '^torch==' $(LOCK))"
	$(PIP) --requirement $(LOCK)
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	    echo "$(PYTHON) was not found. Install Python 3.11, or name one: make PYTHON=/path/to/python"; \
	    exit 1; }
	$(PYTHON) -m venv --clear $(VENV)

clean: ## remove results and caches, keep .venv
	rm -rf results .snakemake .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## remove .venv as well
	rm -rf $(VENV)
