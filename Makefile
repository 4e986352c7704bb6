# Everything runs in a virtual environment of its own, from pinned dependencies; only Python 3.11 and make are needed.
PYTHON ?= $(shell for each in python3.11 python3 python; do \
	$$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$each && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test check fix bench docs up sandbox lock clean

help: ## Print these verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Synchronise a sample fleet with local stand-ins of Driveri and Motive
	@$(BIN)/driverlink demo

test: $(INSTALLED) ## Run every test
	@$(BIN)/pytest tests/unit/domain --cov --cov-report=term
	@$(BIN)/pytest --ignore tests/unit/domain --numprocesses 2 --dist loadfile --no-loadscope-reorder

check: $(INSTALLED) ## Check format, lint, types, import contracts, generated pages, and run every test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python deploy/sandbox/make_sample.py --check
	$(BIN)/python docs/generate.py --check
	@$(MAKE) --no-print-directory test

fix: $(INSTALLED) ## Format, and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED) ## Write the generated reference pages anew
	$(BIN)/python docs/generate.py

bench: $(INSTALLED) ## Measure against the budgets, on a real Kafka and PostgreSQL
	@$(BIN)/python -m tests.benchmarks

up: ## Start everything in containers: Kafka, PostgreSQL, the services and the sandboxes
	@$(PYTHON) -m deploy.compose.up

sandbox: $(INSTALLED) ## Run local stand-ins of the Driveri and Motive APIs until Ctrl-C
	@$(BIN)/driverlink sandbox

lock: $(INSTALLED) ## Pin the dependencies anew, with hashes (needs uv on the path)
	uv pip compile -q pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header -o requirements.txt
	uv pip compile -q pyproject.toml --group dev -c requirements.txt --universal --python-version 3.11 --generate-hashes --no-header -o requirements-dev.txt
	echo hatchling | uv pip compile -q - -c requirements-dev.txt --universal --python-version 3.11 --generate-hashes --no-header -o deploy/image/build-requirements.txt

clean: ## Remove the virtual environment and what the demo made
	rm -rf $(VENV) demo-data

$(INSTALLED): requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@echo "installing the pinned dependencies ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@
