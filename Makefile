# Every target sets up what it needs: a virtual environment in .venv, from hash-locked requirements.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP = $(shell cat requirements/$(1).txt requirements/bootstrap.txt requirements/build.txt pyproject.toml | cksum | cut -d' ' -f1)
RUN := $(VENV)/.ready-run-$(call STAMP,run)
DEV := $(VENV)/.ready-dev-$(call STAMP,dev)
# A package without a wheel is built here, with build tools that are locked by hash, too.
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python
LOCKED := --compile-bytecode --require-hashes --build-constraint requirements/build.txt --requirement

.PHONY: setup demo up quick test test-slow simulate check bench pages desk-load chaos screenshots languages lock clean help
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 11

setup: $(RUN)  ## create .venv, so that ./moneyback runs every command

demo: $(RUN)  ## process believable refund requests in less than a minute (ARGS=--json for machines)
	@./moneyback demo $(ARGS)

up: $(RUN)  ## run every service until Ctrl-C, and print the addresses of the pages
	@./moneyback up $(ARGS)

quick: $(DEV)  ## run the fast tests, tests/unit and tests/contract, in a minute
	@$(BIN)/python -m pytest -m "not slow" tests/unit tests/contract $(ARGS)

test: $(DEV)  ## run the tests; they start their own servers (ARGS goes to pytest)
	@$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-slow: $(DEV)  ## run the slow tests: timing, canaries, chaos, simulation, bench
	@$(BIN)/python -m pytest -m slow $(ARGS)

simulate: $(DEV)  ## simulate the refund protocol under faults, from thousands of seeds (ARGS="--requests 250000", "--replay 7")
	@$(BIN)/python -m tests.simulation $(ARGS)

check: $(DEV)  ## check style, types and import directions, without running the code
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

bench: $(RUN)  ## measure refunds per second, CPU and latency on this machine (ARGS="-n 20000 --json", or ARGS=import)
	@./moneyback bench $(ARGS)

chaos: $(DEV)  ## kill processes and servers under load of customers and agents, then check every refund and decision (SECONDS=600 SEED=7 ARGS="--kills 500")
	@$(BIN)/python -m tests.chaos --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED)) $(ARGS)
	@$(BIN)/python -m tests.chaos.agents --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

pages: $(DEV)  ## measure the size, latency and throughput of the pages (ARGS="--seconds 5")
	@$(BIN)/python -m tests.page_load $(ARGS)

desk-load: $(DEV)  ## measure the queue of the desk with many open tasks (ARGS="--tasks 10000 --runs 50 --json")
	@$(BIN)/python -m tests.desk_load $(ARGS)

screenshots: $(DEV)  ## take a screenshot of every page in two widths and three languages (ARGS="home refund")
	@$(BIN)/python -m tests.screenshots $(ARGS)

languages: $(DEV)  ## update config/languages/*.po with the sentences for customers, and count the untranslated sentences
	@$(BIN)/python -m tests.catalogues

lock: $(DEV)  ## resolve the dependencies again and write requirements/*.txt
	@PATH="$(CURDIR)/$(BIN):$$PATH" requirements/lock.sh

.PHONY: release
release: $(DEV)  ## commit, tag and build a version without publishing it (VERSION=0.2.0)
	@BIN=$(BIN) deploy/release.sh "$(VERSION)"

clean:  ## remove the virtual environment and the files of demo, up and bench
	@if [ -x $(BIN)/moneyback ]; then $(BIN)/moneyback demo --clean; fi
	@rm -rf $(VENV)

$(VENV)/bin/uv: requirements/bootstrap.txt
	@echo "Setting up $(VENV) with $(PYTHON)" >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Moneyback needs Python 3.11 or newer. Set its path: make PYTHON=...")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --quiet --disable-pip-version-check install --require-hashes --requirement requirements/bootstrap.txt
	@touch $@

$(RUN): $(VENV)/bin/uv
	@$(INSTALL) $(LOCKED) requirements/run.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): $(VENV)/bin/uv
	@$(INSTALL) $(LOCKED) requirements/dev.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@ $(RUN)  # dev.txt contains run.txt
