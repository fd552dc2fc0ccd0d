# Duewatch. `make` alone lists the targets; nothing but make and Python 3.11, 3.12 or 3.13 is needed.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test fuzz verify-book check bench bench-quick contracts dashboards secrets lock python-version clean

VENV ?= .venv
BIN := $(VENV)/bin
# The first of these that is recent enough; `make PYTHON=/path/to/python3.12` overrides.
SUITABLE := import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c '$(SUITABLE)' 2>/dev/null && echo $$name && break; done)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
# Only pinned wheels whose hashes are in the repository; the lock files are complete, so nothing is resolved. Python
# compiles what it imports; to compile everything at once would take half of the installation's time.
INSTALL := $(PIP) --no-deps --no-compile --require-hashes --only-binary :all:
# Suites that need a server or tool from outside; .ci/run installs those and runs them.
OUTSIDE := kafka or redis_server or prometheus or compose
ARGS ?=

help: ## List the targets
	@echo "Duewatch: real-time credit-risk monitor. Start with: make demo"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(VENV)/.demo ## Run the whole service on the sample, with embedded broker and store (ARGS="--keep": leave it running)
	@$(BIN)/duewatch demo $(ARGS)

setup: $(VENV)/.development ## Install the locked packages and the project into .venv

test: $(VENV)/.development ## Run the tests that need nothing from outside (ARGS="-k name": some of them)
	@$(BIN)/python -c "from app.kernels import WORKING; from features.kernel import compile_kernels; compile_kernels(*WORKING)"  # once, not in each process
	@$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile --durations 12 -m "not ($(OUTSIDE))" $(ARGS)

RECORDS ?= 1000000
SEED ?= 1
fuzz: $(VENV)/.development ## Fuzz the decoder and all else that reads bytes from outside (RECORDS=1000000 SEED=1; ARGS="--processes 2")
	@$(BIN)/python -m tests.fuzz --records $(RECORDS) --seed $(SEED) $(ARGS)

CLIENTS_FILE ?= samples/data/taiwan-1000.csv.gz
verify-book: $(VENV)/.development ## Run all clients of CLIENTS_FILE through the service and compare every record with the oracle
	@CLIENTS_FILE="$(abspath $(CLIENTS_FILE))" $(BIN)/pytest tests/app/test_service.py $(ARGS)

faults: $(VENV)/.development ## Break a running group on Apache Kafka and Redis, then recompute and compare everything
	@$(BIN)/python -m tests.faults --short --duration 150s --events 60000 --every 3-6 --seed $(SEED) $(ARGS)

DURATION ?= 15m
EVENTS ?= 2000000
soak: $(VENV)/.development ## The same for DURATION with EVENTS and every kind of fault (ARGS="--redis cluster": other servers)
	@$(BIN)/python -m tests.faults --duration $(DURATION) --events $(EVENTS) --seed $(SEED) $(ARGS)

check: $(VENV)/.development ## Formatting, lint, types and the direction of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.benchmark ## Measure everything that is claimed, beside what one could take instead (ARGS="standard": a part)
	@$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(VENV)/.benchmark ## The standard job only, in less than five minutes
	@$(BIN)/python -m benchmarks standard --quick $(ARGS)

dashboards: $(VENV)/.demo ## Write grafana/dashboards from the metrics in telemetry/
	@$(BIN)/python -m grafana.generate

secrets: | python-version ## Make random secrets for docker-compose.yml where there are none
	@mkdir -p secrets
	@for name in redis_password hmac_key pseudonym_key grafana_password; do \
		[ -s secrets/$$name ] || $(PYTHON) -c 'import secrets; print(secrets.token_hex(32))' >secrets/$$name; done

contracts: $(VENV)/.demo ## Write docs/contracts from the models in messages/
	@$(BIN)/duewatch contracts export

clean: ## Remove the environment and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .duewatch
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

python-version:
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c '$(SUITABLE)' 2>/dev/null; then \
		echo "Duewatch needs Python 3.11, 3.12 or 3.13; found: $$($(or $(PYTHON),python3) --version 2>&1 || true)" >&2; \
		echo "Install one of them, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; fi

$(BIN)/python: | python-version
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Creating $(VENV) failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(BIN)/python
	@echo "Installing the locked packages into $(VENV) (once; later runs skip this)"
	@$(INSTALL) --requirement requirements/demo.txt
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.development: requirements/development.txt $(VENV)/.demo
	@echo "Installing the development tools into $(VENV)"
	@$(INSTALL) --requirement requirements/development.txt
	@touch $@

$(VENV)/.benchmark: requirements/benchmark.txt $(VENV)/.demo
	@echo "Installing the engines to compare with into $(VENV)"
	@$(INSTALL) --requirement requirements/benchmark.txt
	@touch $@

# One file builds on the other, so that a package has the same version in all of them.
LOCK = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --fork-strategy fewest \
	--generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

lock: $(VENV)/.development ## Renew requirements/*.txt from pyproject.toml
	@$(PIP) uv==0.13.9
	@$(LOCK) pyproject.toml requirements/build.in --extra embedded --extra dev \
		--output-file requirements/development.txt
	@$(LOCK) pyproject.toml requirements/build.in --extra embedded \
		--constraint requirements/development.txt --output-file requirements/demo.txt
	@$(LOCK) pyproject.toml --constraint requirements/development.txt --output-file requirements/production.txt
	@$(LOCK) requirements/build.in --constraint requirements/development.txt --output-file requirements/build.txt
	@$(LOCK) pyproject.toml requirements/build.in --extra embedded --extra benchmark \
		--constraint requirements/development.txt --override requirements/benchmark-overrides.in \
		--output-file requirements/benchmark.txt
