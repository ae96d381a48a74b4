# Two commands on a fresh machine with Python 3.11+, git and make: `make demo` and `make test`.
# Each installs what it needs into .venv (see .ci/install), again only when pyproject.toml changes.

PYTHON ?=
ARGS ?=
BIN := .venv/bin
# MLflow holds back the versions of what we test against, so the comparison has its own home.
BENCH_BIN := .venv-bench/bin

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test lint type layers unit soak bench train-drift bench-drift venv clean

export PYTHON

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s%s\n", $$1, $$2 }' Makefile

demo: .venv/installed-demo ## record, ask, export and verify on real data, in under a minute
	@$(BIN)/provgraph demo $(ARGS)

test: lint type layers unit ## all checks and tests

lint: .venv/installed-test ## formatting and style
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .

type: .venv/installed-test ## types, strictly
	$(BIN)/mypy

layers: .venv/installed-test ## who may import whom
	$(BIN)/lint-imports --no-logo

unit: .venv/installed-test ## tests; some of them: make unit ARGS='tests/seal -k merkle'
	$(BIN)/python -m pytest $(ARGS)

soak: .venv/installed-test .venv/installed-fuzz ## long tests: many processes, big files, crashes over and over
	$(BIN)/python -m pytest tests/soak $(ARGS)

bench: .venv-bench/installed-bench ## speed and size, against MLflow in the same run
	$(BENCH_BIN)/python -m tests.bench $(ARGS)

train-drift: .venv/installed-test ## measure drift cases, train the ranker that ships (an hour; goes on where it stopped)
	$(BIN)/python -m tests.bench.drift.generate 0 2000 1
	$(BIN)/python -m tests.bench.drift.store 0 2000 0 1
	$(BIN)/python -m tests.bench.drift.training

bench-drift: .venv/installed-test ## how often drift verdicts are right, on the cases that train-drift made
	$(BIN)/python -m tests.bench.drift.report

venv: .venv/installed-test ## only make the environment for development

clean: ## remove environments, caches and builds
	rm -rf .venv .venv-bench build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf tests/independent/node/node_modules tests/browser/node/node_modules tests/independent/python/site-packages*
	find provgraph tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The interpreter stands among the prerequisites for the case that its symlink leads nowhere.
.venv/installed-%: pyproject.toml .venv/bin/python
	@sh .ci/install .venv $*
	@touch $@

.venv-bench/installed-%: pyproject.toml .venv-bench/bin/python
	@sh .ci/install .venv-bench $*
	@touch $@

.venv/bin/python .venv-bench/bin/python: ;
