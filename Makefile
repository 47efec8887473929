PYTHON ?= python3
BIN := .venv/bin
TOO_OLD := "fwseal: error: Python 3.11 or newer is needed: make PYTHON=python3.11"
ENSUREPIP := $(PYTHON) -c 'import ensurepip' 2>/dev/null
FROM_LOCK := --quiet --disable-pip-version-check --require-hashes --requirement
LOCKED := $(FROM_LOCK) requirements/dev.txt
ORACLES := .venv-oracles
FUZZER := .venv-fuzz
SECONDS ?= 600
COMPILE := uv pip compile --no-config --universal --python-version 3.11 \
  --generate-hashes --custom-compile-command "make lock" --quiet
export PYTHON

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup setup-system setup-test setup-heavy lock clean
.PHONY: demo check test test-heavy test-all bench mutants fuzz

## demo       source to a device that booted it, and the attacks it refused
## check      format, lint, types and import rules, in seconds
## test       all tests but the heavy ones, with coverage
## test-all   the same, then the heavy ones (test-heavy)
## mutants    every refusal deleted or inverted once: the tests must notice (MUTANTS=--help)
## fuzz       SECONDS=600 of coverage-guided fuzzing
## bench      every figure, measured beside its peers
## setup      the Python environment alone, in .venv
## lock       requirements/*.txt anew from pyproject.toml (LOCK=--upgrade for newer releases)
## clean      removes all that these make
help:
	@sed -n 's/^## /make /p' Makefile

demo: setup
	$(BIN)/python examples/demo-plc/demo.py

check: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: setup setup-test
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -m "not heavy" --numprocesses auto --dist loadfile
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

test-heavy: setup setup-test setup-heavy
	$(BIN)/python -m pytest -m heavy

test-all: test test-heavy

mutants: setup setup-test
	PYTHONPATH=tests $(BIN)/python -m mutation.run $(MUTANTS)

fuzz: $(FUZZER)/.locked
	PYTHONPATH=toolchain:tests $(FUZZER)/bin/python -m fuzz.run --seconds $(SECONDS)

bench: setup
	$(BIN)/python bench/run.py

setup: .venv/.ourselves

setup-system:
	@requirements/system.sh demo
setup-test: $(ORACLES)/.locked
	@requirements/system.sh test
setup-heavy:
	@$(MAKE) --no-print-directory $(FUZZER)/.locked || \
	  echo "fwseal: hint: atheris has no wheel for this Python, so nothing is fuzzed" >&2
	@requirements/system.sh heavy

# Where python3-venv is missing so is ensurepip: the system's own pip then fills .venv.
.venv/.locked: requirements/dev.txt | setup-system
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit($(TOO_OLD))'
	@echo "fwseal: filling .venv from $<" >&2
	@$(PYTHON) -m venv --clear .venv $$($(ENSUREPIP) || echo --without-pip)
	@[ -x $(BIN)/pip ] || $(PYTHON) -m pip --python $(BIN)/python install $(LOCKED)
	@$(BIN)/python -m pip install $(LOCKED)
	@touch $@

.venv/.ourselves: .venv/.locked pyproject.toml | setup-system
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# cwt needs an older cbor2 than ours, so it cannot live in .venv.
$(ORACLES)/.locked: requirements/oracles.txt | setup
	@echo "fwseal: filling $(ORACLES) from $<" >&2
	@$(BIN)/python -m venv --clear --without-pip $(ORACLES)
	@$(BIN)/python -m pip --python $(ORACLES)/bin/python install $(FROM_LOCK) $<
	@touch $@

$(FUZZER)/.locked: requirements/fuzz.txt | setup
	@echo "fwseal: filling $(FUZZER) from $<" >&2
	@$(BIN)/python -m venv --clear --without-pip $(FUZZER)
	@$(BIN)/python -m pip --python $(FUZZER)/bin/python install $(FROM_LOCK) $<
	@touch $@

lock: setup
	$(BIN)/$(COMPILE) $(LOCK) --extra hsm --extra build --extra emulator --group dev \
	  --output-file requirements/dev.txt pyproject.toml
	$(BIN)/$(COMPILE) $(LOCK) --group oracles --output-file requirements/oracles.txt
	$(BIN)/$(COMPILE) $(LOCK) --group fuzz --constraint requirements/dev.txt \
	  --output-file requirements/fuzz.txt

clean:
	rm -rf .venv $(ORACLES) $(FUZZER) build dist .coverage .coverage.* .hypothesis
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
