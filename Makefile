# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?=
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev

.PHONY: help demo test lint gate eval bench train lock clean

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

lint: $(DEV_STAMP)  ## ruff, mypy --strict, import-linter; hadolint and the Compose schema
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

eval: $(DEV_STAMP)  ## what the rules are worth on the development tickets: a table, and a page in evals/runs
	$(BIN)/triagedesk eval run evals/configs/rules.toml

gate: $(DEV_STAMP)  ## hold the rules to the blessed baseline, on forty tickets
	$(BIN)/triagedesk eval run evals/configs/smoke.toml --runs evals/runs/gate > /dev/null
	$(BIN)/triagedesk eval gate "$$(ls -d evals/runs/gate/*_smoke_* | tail -1)"

train: $(DEV_STAMP)  ## the trained classifier that ships, anew from the gold tickets: the same bytes on the same machine
	OMP_NUM_THREADS=1 $(BIN)/triagedesk train $(foreach split,dev hard long extra,evals/datasets/support/$(split).jsonl) --measure-on evals/datasets/support/calibration.jsonl -o src/triagedesk/playbook/default.trained.safetensors

bench: $(DEV_STAMP)  ## every benchmark, ours and theirs, some 25 minutes; ONLY=calls runs one part, QUICK=1 little of each
	$(BIN)/python benchmarks/run.py $(if $(QUICK),--quick) $(ONLY)

lock:  ## resolve the dependencies anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra dev --extra local --extra evals --extra service --extra mcp --extra redis --extra otel --extra parquet --extra ray --extra train --extra report -c requirements.lock pyproject.toml -o requirements-dev.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra service --extra mcp --extra redis --extra otel -c requirements.lock pyproject.toml -o requirements-service.lock

clean:  ## remove what was made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* dist build
