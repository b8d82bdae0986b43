# Everything is done in .venv, from requirements.lock; nothing outside this folder is touched.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format bench lock clean

help: ## List the verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

setup: .venv/ready ## Make .venv with the program in it at .venv/bin/kustomer-klaviyo

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.x")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.8"
	$(BIN)/uv pip sync --quiet requirements.lock
	$(BIN)/uv pip install --quiet --no-deps --editable .
	touch $@

demo: setup ## Start everything with both vendors simulated, and watch events go from Kustomer to Klaviyo
	$(BIN)/kustomer-klaviyo demo

test: setup ## Run all tests
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --cov --cov-report=term:skip-covered

lint: setup ## Check style, types and the floors of the house
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Put the code into its form
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: setup ## Measure speed and memory, each figure beside its yardstick, into bench-results.json
	$(BIN)/python bench/run.py

lock: setup ## Write requirements.lock anew from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --group dev --upgrade --no-emit-index-url --no-header \
		pyproject.toml --output-file requirements.lock

clean: ## Remove what the verbs made
	rm -rf .venv .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis bench-results.json
