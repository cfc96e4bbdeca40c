# One command each; every target sets up what it needs. `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
DEMO   := .demo
# How many faults of a kind `make faults` injects.
FAULTS ?= 100
# How many made-up requests `make fuzz` sends to a route.
FUZZ   ?= 200
# Else every process of pytest would rewrite the assertions of all tests anew.
export PYTHONDONTWRITEBYTECODE :=
PYTEST := $(BIN)/python -m pytest -q
# The same on up to four cores, a file of tests in one process; ONE=1 for one after the other.
SHARED := $(PYTEST) $(if $(ONE),,-n logical --maxprocesses 4 --dist loadfile)
# For tests that start several processes each and wait for them half of the time.
PAIRED := $(PYTEST) $(if $(ONE),,-n logical --maxprocesses 2 --dist loadfile)
# Where tests inject faults; with options of pytest, such as -k SIGKILL, for a part of them.
FAULTY := tests/unit tests/migrations tests/contract tests/integration tests/faults
# What is tested through Unix sockets as well; `make integration UNIX=tests/integration` takes all of it.
UNIX   := tests/integration/test_http.py tests/integration/test_generate.py

.DEFAULT_GOAL := help
.PHONY: help setup demo lab test check unit faults fuzz integration notebooks browser bench stress format openapi starter clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY)  ## make .venv with everything that is pinned in constraints.txt

$(READY): pyproject.toml constraints.txt bootstrap.py llama_wheel.py extensions/echo/pyproject.toml
	@$(PYTHON) bootstrap.py $(VENV)
	@touch $(READY)

demo: $(READY)  ## the tour: pictures from the starter model, kept and found again
	@echo "== demo: making pictures with the starter model in $(DEMO)/"
	@$(BIN)/mysticanvas demo --home $(DEMO)/home --output $(DEMO)
	@echo "The notebook: make lab (opens JupyterLab on notebooks/01_quickstart.ipynb)"

lab: $(READY)  ## open JupyterLab on the quickstart notebook
	@$(BIN)/python -m jupyterlab notebooks/01_quickstart.ipynb $(LAB)

test: check unit integration notebooks browser  ## everything, quick tests first
	@echo "== test: all green"

check: $(READY)  ## format, lint, types and the direction of imports
	@echo "== check: ruff, mypy, import-linter"
	@$(BIN)/ruff format --check -q . || (echo "run: make format"; exit 1)
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo > $(VENV)/imports.log || (cat $(VENV)/imports.log; exit 1)

unit: $(READY)
	@echo "== test: units, migrations, contracts and a few faults of each kind"
	@$(SHARED) tests/architecture tests/unit tests/migrations
	@$(PAIRED) tests/contract tests/faults

faults: $(READY)  ## kills, hangs and damage, FAULTS of each kind, and a table of what came of it
	@echo "== faults: $(FAULTS) of each kind"
	@FAULTS=$(FAULTS) $(PAIRED) -m fault $(FAULTY)

fuzz: $(READY)  ## made-up requests, FUZZ of them on every route
	@echo "== fuzz: $(FUZZ) requests on every route"
	@FUZZ=$(FUZZ) $(PYTEST) --timeout 3600 tests/contract/test_fuzz.py

integration: $(READY)
	@echo "== test: all processes together"
	@$(PAIRED) tests/integration
	@echo "== test: the same through Unix sockets, a part of it"
	@$(PAIRED) --ipc unix $(UNIX)

notebooks: $(READY)
	@echo "== test: notebooks, cell by cell"
	@$(BIN)/python notebooks/check.py

browser: $(READY)
	@echo "== test: JupyterLab in Chromium"
	@if $(BIN)/python tests/browser/chromium.py; then $(PYTEST) tests/browser; else \
	  echo "left out: no Chromium here. On Debian or Ubuntu: sudo apt-get install chromium"; fi

bench: $(READY)  ## the README's figures; keep the machine idle meanwhile
	@$(BIN)/python -m benchmarks

openapi: $(READY)  ## write docs/openapi/*.json anew
	@$(BIN)/python docs/openapi.py
stress: $(READY)  ## 20 kernels for two minutes: every job one result, every event heard and told
	@$(BIN)/python -m benchmarks.stress

starter: $(READY)  ## train the starter image model (hours; can be stopped and resumed)
	@$(BIN)/python data/starter/image/train.py

format: $(READY)  ## put the code in its form
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

clean:  ## remove .venv, the demo's home and all caches
	rm -rf $(VENV) $(DEMO) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
