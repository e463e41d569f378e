# Every verb that a developer or CI needs; `make help` lists them.
# PYTHON=python3.13 chooses the interpreter; each has an environment of its own beside the sources.

PYTHON ?= python3
VENV := .venv$(patsubst %,-%,$(notdir $(filter-out python3,$(PYTHON))))
BIN := $(VENV)/bin
PY := $(BIN)/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check

C_SOURCES := $(wildcard core/*.c core/python/*.c)
C_HEADERS := $(wildcard core/*.h core/python/*.h)
C_FORMATTED := $(C_SOURCES) $(C_HEADERS) $(wildcard tests/core/*.c tests/core/*.h)
PY_CODE := $(wildcard src tests examples benchmarks setup.py)
MODELS := $(filter-out test_%,$(basename $(notdir $(wildcard tests/models/[a-z]*.py))))

# Stamps: what stands in the environment already.
BASE := $(VENV)/.base
TEST := $(VENV)/.test
DEV := $(VENV)/.dev
BENCH := $(VENV)/.bench
BUILT := $(VENV)/.built

# How many runs go side by side, where one does not mind the other: tests, models, sanitizers.
JOBS ?= 2
SIDE_BY_SIDE := --no-print-directory -j $(JOBS) --output-sync=target

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-19s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(DEV)  ## make the environment with all development tools (PYTHON=python3.12 for another interpreter)

build: $(BUILT)  ## compile the C core into the source tree, if something changed

demo: $(BUILT)  ## index the standard library's sources with processes (KILL=1: and kill them while they work)
	$(PY) examples/index_source.py $(if $(KILL),--kill)

test: $(BUILT) $(TEST)  ## the whole test suite, C programs included; says what it skipped (ARGS="-k queue" for a part)
	$(if $(ARGS),,$(MAKE) $(SIDE_BY_SIDE) -C tests/core test)
	$(PY) -m pytest $(or $(ARGS),-n $(JOBS) --dist worksteal)

lint: $(BUILT) $(DEV)  ## formatting, types, layers, stubs, compiler warnings; changes nothing
	$(BIN)/ruff format --check $(PY_CODE)
	$(BIN)/ruff check $(PY_CODE)
	$(BIN)/clang-format --dry-run --Werror $(C_FORMATTED)
	$(PY) tests/package/lint_core.py
	PROCESSION_WERROR=1 $(PY) setup.py -q build_ext --build-lib build/werror --build-temp build/werror
	$(BIN)/lint-imports
	$(BIN)/mypy $(filter-out setup.py,$(PY_CODE))
	$(PY) -m mypy.stubtest procession._core
	PATH="$(CURDIR)/$(BIN):$$PATH" pyright --verifytypes procession --ignoreexternal

format: $(DEV)  ## put Python and C sources into the house's form
	$(BIN)/ruff format $(PY_CODE)
	$(BIN)/ruff check --fix-only $(PY_CODE)
	$(BIN)/clang-format -i $(C_FORMATTED)

models: $(BASE)  ## breadth-first model checkers of the lock and queue protocols
	$(MAKE) $(SIDE_BY_SIDE) $(MODELS:%=model-%)

model-%: $(BASE)
	@echo "== $*"; $(PY) -m tests.models.$*

stepkill:  ## SIGKILL after every single instruction of every operation
	$(MAKE) --no-print-directory -j $(JOBS) -C tests/core stepkill

sanitize:  ## the C core under the thread, address and undefined-behaviour sanitizers and valgrind
	$(MAKE) $(SIDE_BY_SIDE) -C tests/core sanitize

KILLS ?= 500
SEED ?= 1
stress: $(BUILT) $(TEST)  ## a short torture: random SIGKILLs through the Python API (KILLS=500 SEED=1)
	$(PY) tests/stress/torture.py --kills $(KILLS) --seed $(SEED)
	$(PY) -m tests.stress.waiting --kills $(KILLS) --seed $(SEED)
	$(PY) -m tests.stress.piping --kills $(KILLS) --seed $(SEED)
	$(PY) -m tests.stress.sharing --kills $(KILLS) --seed $(SEED)
	$(PY) -m tests.stress.pooling --kills $(KILLS) --seed $(SEED)
	$(PY) -m tests.stress.visiting --kills $(KILLS) --seed $(SEED)

torture:  ## the long torture: 10,000 kills
	$(MAKE) --no-print-directory stress KILLS=10000

conformance: $(BUILT) $(TEST)  ## CPython's own suites for multiprocessing, with procession in its place (ARGS="spawn -k Queue")
	$(PY) tests/conformance/run.py $(ARGS)

conformance-control: $(BUILT) $(TEST)  ## the same suites on the standard library itself
	$(PY) tests/conformance/run.py --control $(ARGS)

bench: $(BUILT) $(BENCH)  ## speed beside multiprocessing, faster-fifo, iceoryx2 and pyzmq, in the same run
	$(PY) -m benchmarks $(ARGS)

clean:  ## remove what was built, and the environments
	rm -rf build dist .venv .venv-* src/*.egg-info src/procession/*.so .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
	-$(MAKE) --no-print-directory -C tests/core clean

# The interpreter may be one of pyenv's that is not on the PATH.
$(PY):
	@python=$$(command -v $(PYTHON)); "$$python" -c '' 2>/dev/null \
	  || python=$$(ls -d $${PYENV_ROOT:-$$HOME/.pyenv}/versions/*/bin/$(PYTHON) 2>/dev/null | tail -n 1); \
	test -n "$$python" || { echo "make: there is no interpreter $(PYTHON)" >&2; exit 1; }; \
	echo "making $(VENV) with $$python"; "$$python" -m venv $(VENV)

$(BASE): pyproject.toml setup.py | $(PY)
	$(PIP) 'setuptools>=77' wheel
	$(PIP) --no-build-isolation --editable .
	@touch $@

# What else the verbs need: the extras of pyproject.toml.
$(TEST) $(DEV) $(BENCH): $(VENV)/.%: pyproject.toml | $(BASE)
	$(PIP) --no-build-isolation --editable '.[$*]'
	@touch $@

$(BUILT): $(BASE) $(C_SOURCES) $(C_HEADERS)
	@mkdir -p build
	flock build/lock $(PY) setup.py -q build_ext --inplace
	$(PY) -m compileall -q src  # as pip does: a spawned child imports it, whatever PYTHONDONTWRITEBYTECODE says
	@touch $@

.PHONY: help venv build demo test lint format models stepkill sanitize stress torture conformance conformance-control bench clean
