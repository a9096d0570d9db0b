# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.PHONY: help demo test lint gate eval bench lock clean

help:  ## say what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	@touch $@

$(DEV_STAMP): $(STAMP) requirements-dev.lock
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(STAMP)  ## set up and classify the bundled sample tickets: no key, no network but the registry
	@$(BIN)/triagedesk demo

test: $(DEV_STAMP)  ## set up and run the tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(DEV_STAMP)  ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

eval: $(DEV_STAMP)  ## what the rules are worth on the development tickets: a table, and a page in evals/runs
	$(BIN)/triagedesk eval run evals/configs/rules.toml

gate: $(DEV_STAMP)  ## hold the rules to the blessed baseline, on forty tickets
	$(BIN)/triagedesk eval run evals/configs/smoke.toml --runs evals/runs/gate > /dev/null
	$(BIN)/triagedesk eval gate "$$(ls -d evals/runs/gate/*_smoke_* | tail -1)"

bench: $(DEV_STAMP)  ## the benchmarks whose figures stand in docs/performance.md
	$(BIN)/python benchmarks/run.py

lock:  ## resolve the dependencies anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra dev --extra local --extra evals --extra service --extra mcp --extra redis --extra otel --extra parquet --extra ray --extra train --extra report -c requirements.lock pyproject.toml -o requirements-dev.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra service --extra mcp --extra redis --extra otel -c requirements.lock pyproject.toml -o requirements-service.lock

clean:  ## remove what was made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* dist build
