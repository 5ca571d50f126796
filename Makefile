# Everything Kith needs is installed below this folder, at pinned versions.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup run stop test tests simulate fuzz soak lint format bench synth deploy destroy clean

help: ## Show this help
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: .venv/.installed node_modules/.installed .venv-engine/.installed ## Install everything, at pinned versions

.venv/.installed: requirements.txt lambdas/requirements.txt constraints.txt pyproject.toml
	@local/check-host.sh
	@echo "Installing Python packages into .venv ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

.venv-engine/.installed: local/requirements.txt
	@echo "Installing the local AWS engine into .venv-engine ..."
	@$(PYTHON) -m venv .venv-engine
	@.venv-engine/bin/pip install --quiet --disable-pip-version-check -r local/requirements.txt
	@touch $@

node_modules/.installed: package.json package-lock.json
	@local/check-host.sh
	@echo "Installing the CDK command line into node_modules ..."
	@npm ci --silent --no-audit --no-fund
	@touch $@

lint: setup ## Check style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: setup ## Rewrite the code in the project's style
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

test: setup ## Run all tests, from nothing
	@$(MAKE) --no-print-directory --jobs=2 lint tests

# As many processes as tests/conftest.py says, which also says what shares one.
tests: setup
	@$(BIN)/python -m pytest -m "not soak" --numprocesses auto --maxprocesses 5 --dist loadscope --no-loadscope-reorder

# `make simulate SEEDS=0:1000 STEPS=60 STORE=dynamo`: docs/reliability.md
SEEDS ?= 0:200
STEPS ?= 60
STORE ?= dynamo
FAULTS ?=

simulate: setup ## Run worlds that go wrong in every way, each from a seed
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS) --steps $(STEPS) --store $(STORE) --faults "$(FAULTS)" --met

# `make fuzz TIME=600`: docs/reliability.md
TIME ?= 300

fuzz: setup ## Fuzz everything that reads bytes, for so many seconds
	@$(BIN)/python -m tests.fuzz --time $(TIME)

# `make soak SOAK_S=28800`: what can go on for any time (worlds, engines, fuzzing) goes on for that long in all
SOAK_S ?= 600

soak: setup ## Run what takes longer than `make test` allows, and for as long as asked
	@SOAK_S=$(SOAK_S) $(BIN)/python -m pytest -m soak

bench: setup ## Measure speed and cost, as ratios against peers of the same run
	@$(BIN)/python -m benchmarks

clean: ## Remove everything that was installed or built; the local cloud must be stopped
	@rm -rf .venv .venv-engine node_modules .build cdk.out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .fuzz

run: setup ## Start the local cloud, send it the sample stream, show profiles
	@PYTHON=$(BIN)/python local/check-host.sh
	@$(BIN)/python -m local.run

stop: ## End the local cloud
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m local.stop; else echo "The local cloud did not run."; fi

# `make deploy STAGE=prod SETTINGS="-c shards=4"`; settings: docs/settings.md
STAGE ?= dev
SETTINGS ?=
CDK := NODE_NO_WARNINGS=1 node_modules/.bin/cdk
CDK_CONTEXT = -c stage=$(STAGE) $(SETTINGS)

synth: setup ## Write a stage's CloudFormation template to cdk.out
	@PYTHON=$(BIN)/python local/check-host.sh
	@$(CDK) synth --quiet $(CDK_CONTEXT)

deploy: setup ## Deploy a stage to your AWS account
	@PYTHON=$(BIN)/python local/check-host.sh
	@$(CDK) bootstrap $(CDK_CONTEXT)
	@$(CDK) deploy --require-approval broadening $(CDK_CONTEXT)

# What is archived meanwhile keeps the bucket from going: then once more, when nothing is left that writes.
destroy: setup ## Remove the development stage from your AWS account, with all it holds
	@$(BIN)/python -m infra.empty_archive "$(STAGE)"
	@$(CDK) destroy --force -c stage=dev || { \
		$(BIN)/python -m infra.empty_archive "$(STAGE)" kith-dev && $(CDK) destroy --force -c stage=dev; }

.PHONY: snapshot
snapshot: setup ## Accept the template as it is, for the infrastructure tests
	@UPDATE_SNAPSHOT=1 $(BIN)/python -m pytest -q tests/infra/test_stack.py
