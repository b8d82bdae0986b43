# Everything is installed in .venv, from requirements/*.lock. Only a missing Chromium is installed elsewhere (make test).
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv
# What `make test` runs: a folder, a file, or a test (T=tests/integration/web/test_webhook_endpoint.py::test_...).
T ?= tests
COMPILE := $(UV) pip compile --quiet --universal --generate-hashes --upgrade --no-emit-index-url --no-header --no-annotate

.DEFAULT_GOAL := help
.PHONY: help setup demo unit test cover lint check format fuzz chaos bench lock clean

help: ## List the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

setup: .venv/ready ## Install the program into .venv

.venv/ready: requirements/uv.lock requirements/run.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.x")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/uv.lock
	$(UV) pip install --quiet --require-hashes --requirement requirements/run.lock
	$(UV) pip install --quiet --no-deps --editable .
	touch $@

# The tools for tests and checks, on top of the program.
.venv/dev: .venv/ready requirements/dev.lock
	$(UV) pip install --quiet --require-hashes --requirement requirements/dev.lock
	touch $@

# The browser tests need a Chromium.
.venv/chromium: .venv/dev
	$(BIN)/python tests/support/chromium_install.py
	touch $@

demo: setup ## Start everything with both vendors simulated, and watch events go from Kustomer to Klaviyo
	$(BIN)/kustomer-klaviyo demo

unit: .venv/dev ## Run the unit tests: no database, no sockets, no browser
	$(BIN)/pytest -q tests/unit

test: .venv/chromium ## Run all tests, or some: make test T=tests/integration
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile $(T)

cover: .venv/chromium ## Run all tests and fail when they reach less of the code than the floor in pyproject.toml
	$(BIN)/coverage erase
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --cov --cov-report=term:skip-covered

lint: .venv/dev ## Check style, types, imports, spelling and abandoned words
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

check: lint test ## Everything that must pass before a change is accepted

format: .venv/dev ## Format the code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

fuzz: .venv/dev ## Send 200,000 malformed webhooks to a real server (N=1000 SEED=7 for others)
	PYTHONPATH=tests:bench $(BIN)/python bench/fuzz.py $(or $(N),200000) $(if $(SEED),--seed $(SEED))

chaos: .venv/dev ## Kill and disturb everything for MINUTES=1, then check that nothing is lost (SEED=7 repeats a round)
	PYTHONPATH=tests $(BIN)/python -m chaos.run_chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))

bench: .venv/dev ## Measure each figure beside its yardstick (PARTS="intake delivery" for some, SCALE=0.1 for smaller)
	$(BIN)/python bench/run_bench.py $(PARTS) $(if $(SCALE),--scale $(SCALE))

lock: .venv/dev ## Upgrade the pinned dependencies in requirements/
	echo uv | $(COMPILE) - --output-file requirements/uv.lock
	$(COMPILE) pyproject.toml --output-file requirements/run.lock
	$(COMPILE) --group dev --constraint requirements/run.lock pyproject.toml --output-file requirements/dev.lock

clean: ## Remove what these commands made
	rm -rf .venv .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis bench-results.json
