# Every target sets up what it needs: a virtual environment in .venv, from hash-locked requirements.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP = $(shell cat requirements/$(1).txt requirements/bootstrap.txt requirements/build.txt pyproject.toml | cksum | cut -d' ' -f1)
RUN := $(VENV)/.ready-run-$(call STAMP,run)
DEV := $(VENV)/.ready-dev-$(call STAMP,dev)
# A package without a wheel is built here: what builds it is locked by its hash too.
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python
LOCKED := --compile-bytecode --require-hashes --build-constraint requirements/build.txt --requirement

.PHONY: demo up quick test test-slow simulate check bench pages chaos screenshots languages lock clean help
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 11

demo: $(RUN)  ## the main job on believable requests, in under a minute (ARGS=--json for a machine)
	@$(BIN)/moneyback demo $(ARGS)

up: $(RUN)  ## every part, kept running, with the addresses of its pages
	@$(BIN)/moneyback up $(ARGS)

quick: $(DEV)  ## the tests of the inner loop, in a minute: tests/unit and tests/contract
	@$(BIN)/python -m pytest -m "not slow" tests/unit tests/contract $(ARGS)

test: $(DEV)  ## the tests, against servers they start themselves (ARGS goes to pytest)
	@$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-slow: $(DEV)  ## the tests that take too long for `make test`: timing, canaries, chaos, simulation, bench
	@$(BIN)/python -m pytest -m slow $(ARGS)

simulate: $(DEV)  ## the protocol in thousands of seeded worlds where everything goes wrong (ARGS="--requests 250000", "--replay 7")
	@$(BIN)/python -m tests.simulation $(ARGS)

check: $(DEV)  ## what must hold of the code without running it: style, types, import directions
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

bench: $(RUN)  ## refunds a second, CPU and latency of this machine (ARGS="-n 20000 --json")
	@$(BIN)/moneyback bench $(ARGS)

chaos: $(DEV)  ## everything dies while customers ask, then the books are read (SECONDS=600 SEED=7 ARGS="--kills 500")
	@$(BIN)/python -m tests.chaos --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED)) $(ARGS)

pages: $(DEV)  ## what the pages weigh, how quickly they are served, requests a second (ARGS="--seconds 5")
	@$(BIN)/python -m tests.page_load $(ARGS)

screenshots: $(DEV)  ## a picture of every page in two widths and three languages (ARGS="home refund")
	@$(BIN)/python -m tests.screenshots $(ARGS)

languages: $(DEV)  ## gather every sentence for customers into config/languages/*.po, and count those to be translated
	@$(BIN)/python -m tests.catalogues

lock: $(DEV)  ## write requirements/*.txt anew
	@PATH="$(CURDIR)/$(BIN):$$PATH" requirements/lock.sh

.PHONY: release
release: $(DEV)  ## commit, tag and build a version; nothing is published (VERSION=0.2.0)
	@BIN=$(BIN) deploy/release.sh "$(VERSION)"

clean:  ## remove the virtual environment and what the demo kept
	@if [ -x $(BIN)/moneyback ]; then $(BIN)/moneyback demo --clean; fi
	@rm -rf $(VENV)

$(VENV)/bin/uv: requirements/bootstrap.txt
	@echo "Setting up $(VENV) with $(PYTHON)" >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Moneyback needs Python 3.11 or newer; name one with make PYTHON=...")'
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
	@touch $@ $(RUN)  # what runs is a part of what develops
