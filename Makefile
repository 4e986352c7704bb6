# Everything runs in a virtual environment of its own, from pinned dependencies; only Python 3.11 and make are needed.
PYTHON ?= $(shell for each in python3.11 python3 python; do \
	$$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$each && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
UV := $(VENV)/lock/bin/uv
CHROMIUM = $(firstword $(foreach each,chromium chromium-browser google-chrome,$(shell command -v $(each))))
# What is pinned is installed as it stands: every file of pins is whole, so nothing is resolved, and nothing can rot.
PIP_INSTALL := install --quiet --disable-pip-version-check --no-deps
COMPILE = UV_PYTHON_DOWNLOADS=never $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $(UPGRADE)
# Not a verb's prerequisite, because an environment that is there already does not need the Python it was made by.
NEED_PYTHON = @test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python" >&2; exit 1; }

# Every process would compile the project again; what is compiled lies beside it and is ignored by git.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo console test covered tested test-long test-browser approve check fix bench bench-scale trace pictures docs capsules up sandbox lock clean

help: ## Print these verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## Synchronise a sample fleet with local stand-ins of Driveri and Motive
	@$(BIN)/driverlink demo

console: $(INSTALLED) ## Play the demo, keep everything running, and print a link to the console
	@$(BIN)/driverlink demo --console

# Both at once, because neither keeps the machine busy as it begins.
test: $(INSTALLED) ## Run every test, and those in a browser where there is Chromium
	@$(MAKE) --no-print-directory --jobs 2 covered tested

covered:
	@$(BIN)/pytest tests/unit/domain -m "not long and not hypothesis" --cov --cov-report=term

tested:
	@$(BIN)/python -m tests.support.servers $(BIN)/pytest --workers 4 $(if $(CHROMIUM),-m "not long")

test-long: $(INSTALLED) ## Run what takes many minutes: storms, many kills, and many examples of each law
	@$(BIN)/pytest -m "long or hypothesis" --hypothesis-profile many

test-browser: $(INSTALLED) ## Go through the console in Chromium, which it installs on Debian where there is none
	@test -n "$(CHROMIUM)" || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get install -y --no-install-recommends chromium; } \
		|| { echo "Chromium is needed: on Debian and Ubuntu, apt-get install chromium" >&2; exit 1; }
	@CI=true $(BIN)/pytest -m browser tests/browser

approve: $(INSTALLED) ## Write the texts that people read again, to be read and committed
	@$(BIN)/pytest -k approved --approve

check: $(INSTALLED) ## Check format, lint, words, types, import contracts, generated pages, released schemas, and run every test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	@! git grep -nP '(?<!here )\b(is|are) no (?!longer|more\b)' -- '*.py' '*.md' '*.html' ':!CHANGELOG.md' ':!tests/golden' || { echo 'say "is not a", or "there is no"' >&2; exit 1; }
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python deploy/sandbox/make_sample.py --check
	$(BIN)/python docs/generate.py --check
	$(BIN)/python docs/compatibility.py
	@$(MAKE) --no-print-directory test

fix: $(INSTALLED) ## Format, and mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pictures: $(INSTALLED) ## Draw the pictures of the docs again, to be looked at (needs Chromium)
	@$(BIN)/python -m docs.pictures
	@$(BIN)/python -m tests.browser.pictures

capsules: $(INSTALLED) ## Make the golden capsules again, of histories on sandboxes
	$(BIN)/python -m tests.golden.made_capsules

docs: $(INSTALLED) ## Write the generated reference pages
	$(BIN)/python docs/generate.py

bench: $(INSTALLED) ## Measure against the budgets, on a real Kafka and PostgreSQL
	@$(BIN)/python -m tests.benchmarks

bench-scale: $(INSTALLED) ## Measure large installations for hours, and go on where it was (SCALE="--accounts 100 --large 2000")
	@$(BIN)/python -m tests.benchmarks.scale $(SCALE)

trace: $(INSTALLED) ## List the modules that one changed driver passes on its way to the targets and back
	@$(BIN)/python -m tests.support.trace_change

up: ## Start everything in containers: Kafka, PostgreSQL, the services and the sandboxes
	$(NEED_PYTHON)
	@$(PYTHON) -m deploy.compose.up

sandbox: $(INSTALLED) ## Run local stand-ins of the Driveri and Motive APIs until Ctrl-C
	@$(BIN)/driverlink sandbox

lock: $(UV) ## Pin what pyproject.toml asks for, keeping the pins that fit (UPGRADE=--upgrade takes the newest)
	$(COMPILE) pyproject.toml -o requirements.txt
	$(COMPILE) pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt
	echo hatchling | $(COMPILE) - -c requirements-dev.txt -o deploy/image/build-requirements.txt
	$(COMPILE) --group lock -o requirements-lock.txt

clean: ## Remove the virtual environment and what the demo made
	rm -rf $(VENV) demo-data

$(INSTALLED): requirements-dev.txt pyproject.toml
	$(NEED_PYTHON)
	@$(PYTHON) -m venv $(VENV)
	@echo "installing the pinned dependencies, which takes a minute or two ..."
	@$(BIN)/pip $(PIP_INSTALL) --require-hashes -r requirements-dev.txt
	@$(BIN)/pip $(PIP_INSTALL) --no-index --no-build-isolation --editable .
	@$(BIN)/pip check --disable-pip-version-check || { echo "make clean, and try again" >&2; exit 1; }
	@touch $@

$(UV): requirements-lock.txt
	$(NEED_PYTHON)
	@$(PYTHON) -m venv $(VENV)/lock
	@$(VENV)/lock/bin/pip $(PIP_INSTALL) --require-hashes -r requirements-lock.txt
	@touch $@
