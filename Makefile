# Everything Kith needs is installed below this folder, at pinned versions.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup run stop test soak lint format bench synth deploy destroy clean

help: ## Show this help
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: .venv/.installed node_modules/.installed .venv-engine/.installed ## Install everything, at pinned versions

.venv/.installed: requirements.txt lambdas/requirements.txt pyproject.toml
	@local/check-host.sh
	@echo "Installing Python packages into .venv ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . || \
		$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
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
