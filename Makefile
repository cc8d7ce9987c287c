# `make demo` shows what infersim does; `make test` checks that it is right. Both build .venv first, once.
# Another interpreter: make demo PYTHON=/usr/bin/python3.12

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench scaling readme claims docs notebooks clean

help:
	@echo "make demo   install into $(VENV), run the bursty chat scenario, print its table and where its report and plots lie"
	@echo "make test   install with the test extra, then lint, type check and run every test"
	@echo "make lint   the lint and type checks alone"
	@echo "make bench  measure speed: the loop, start-up, a small scenario, the first compilation"
	@echo "make scaling  how the time of the loop grows with requests and replicas"
	@echo "make readme write what its commands print into README.md"
	@echo "make claims put the claims to the test, and compare with docs/claims.csv; \`make claims UPDATE=1\` writes it"
	@echo "make docs   write the API reference into site/"
	@echo "make notebooks  bring notebooks and their texts together"
	@echo "make clean  remove $(VENV), caches and runs/"

demo: $(VENV)/.installed
	$(BIN)/infersim run chat_burst --out runs/demo --report

# Lint and compile side by side, then the tests in two processes; `pytest` alone runs them one after the other.
test: $(VENV)/.installed-test
	@$(MAKE) --no-print-directory -j 2 lint $(VENV)/.compiled
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Figures of a shared machine: quote ratios to the yardstick (100,000 bare SimPy events).
bench: $(VENV)/.installed-test
	$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-only --benchmark-columns=median,iqr,rounds

scaling: $(VENV)/.installed-test
	$(BIN)/python -m tests.benchmarks.scaling

readme: $(VENV)/.installed-test
	$(BIN)/python -m tests.readme

# All twenty, with intervals: some minutes. The full table lies in docs/claims.md, what CI compares in docs/claims.csv.
claims: $(VENV)/.installed
	$(BIN)/infersim claims --out runs/claims $(if $(UPDATE),--update,--check) docs/claims.csv
	$(if $(UPDATE),cp runs/claims/claims.md docs/claims.md)
	$(if $(UPDATE),$(BIN)/python -m tests.readme claims)

# From the docstrings, one page a module, with search; needs no network.
docs: $(VENV)/.installed-test
	$(BIN)/python docs/reference.py site

notebooks: $(VENV)/.installed-test
	$(BIN)/jupytext --sync notebooks/*.py

# An editable install, so that a changed file needs no second install and the compiled loop stays cached beside it. pip
# leaves its modules uncompiled, which would cost 0.2 s at every start where Python may not write beside them.
$(VENV)/.installed: pyproject.toml $(VENV)/.python
	$(BIN)/python -m pip install --quiet --editable .
	@$(BIN)/python -m compileall -q infersim
	@touch $@

$(VENV)/.installed-test: pyproject.toml $(VENV)/.python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@$(BIN)/python -m compileall -q infersim
	@touch $@ $(VENV)/.installed

# The loop, once, before every process of the tests would begin to compile it.
$(VENV)/.compiled: $(VENV)/.installed-test $(wildcard infersim/dataplane/*.py)
	$(BIN)/python -c 'from infersim import simulate; simulate("h100_llama70b")'
	@touch $@

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "infersim needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + "; say make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) runs site dist build .pytest_cache .ruff_cache .mypy_cache .hypothesis .benchmarks
	find infersim tests -name __pycache__ -type d -prune -exec rm -rf {} +
