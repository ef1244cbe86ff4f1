# make run         the quick benchmark, results in results/quick
# make test        the tests and the style checks
# make regression  whether speedups are still those of the baseline
# All first install what they need into .venv, once: requirements/ has a lock for each purpose.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(PYTHON) -m requirements.install --environment $(VENV)
SNAKEMAKE_ARGS ?=
# What jobs say of their progress and results. Snakemake's own lines around it go into a file, which
# it names at the end.
SNAKEMAKE := $(BIN)/snakemake --quiet host reason rules progress --cores all
# Two processes; the threads of PyTorch in both of them would wait for each other. Each has half of
# the files, so that what the tests of a file share is made once; the one that is done takes tests
# from the other.
PYTEST_ARGS ?= --numprocesses 2 --dist worksteal
# The backends other than the default one under which the tests marked "keras" are repeated.
OTHER_KERAS_BACKENDS := jax torch
# The files that have tests with a mark: to import all the others takes longer than some of them run.
KERAS_TESTS = $(shell grep -rl --include='test_*.py' 'mark\.keras' tests)
PROCESSOR_TESTS = $(shell grep -rl --include='test_*.py' 'mark\.processor' tests)
AVX2_ONLY := ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2
WITHOUT_KERNELS := FASTISM_COMPILED=0 FASTISM_ONEDNN=0

export TF_CPP_MIN_LOG_LEVEL ?= 3
export MPLBACKEND ?= Agg

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run regression test lint format docs install install-all python clean distclean test-processors

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: install ## run the quick benchmark: speedup table and figure in results/quick
	$(SNAKEMAKE) $(SNAKEMAKE_ARGS)

regression: install ## compare speedups with the baseline; fails where one is worse
	$(SNAKEMAKE) regression $(SNAKEMAKE_ARGS)

test: lint ## check the style, then run the tests, those that use Keras on each of its backends
	OMP_NUM_THREADS=1 $(BIN)/pytest $(PYTEST_ARGS)
	set -e; for backend in $(OTHER_KERAS_BACKENDS); do \
	    echo "Tests that use Keras, on $$backend:"; \
	    OMP_NUM_THREADS=1 KERAS_BACKEND=$$backend $(BIN)/pytest -m keras $(PYTEST_ARGS) $(KERAS_TESTS); \
	done
	$(MAKE) test-processors

test-processors: install-all ## repeat the tests of engine and backends as on other processors
	@echo "Tests of engine and backends, as on a processor with AVX2 and no more:"
	OMP_NUM_THREADS=1 $(AVX2_ONLY) $(BIN)/pytest -m "processor and not jax" $(PYTEST_ARGS) $(PROCESSOR_TESTS)
	@echo "Tests of engine and backends, without compiled kernels and private operators of oneDNN:"
	OMP_NUM_THREADS=1 $(WITHOUT_KERNELS) $(BIN)/pytest -m "processor and torch" $(PYTEST_ARGS) $(PROCESSOR_TESTS)

lint: install-all ## check the style only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install-all ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: python ## build the site of the documentation, in site
	@$(INSTALL) run docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

install: python ## install what the benchmark needs, and this project, into .venv
	@$(INSTALL) run

install-all: python ## install what the tests and the documentation need as well
	@$(INSTALL) run test docs triton

python:
	@command -v $(PYTHON) >/dev/null || { \
	    echo "$(PYTHON) was not found. Install Python 3.11, or name one: make PYTHON=/path/to/python"; \
	    exit 1; }

clean: ## remove results and caches, keep .venv
	rm -rf results .snakemake .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## remove .venv as well
	rm -rf $(VENV)
