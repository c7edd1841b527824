# Two commands set everything up on a bare machine: `make demo` and `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# Processes of the tests.
JOBS   ?= 2
GGM    := $(BIN)/ggm

.PHONY: demo test bench check format install train-compact examples clean

demo: $(VENV)/installed
	$(GGM) recommend examples/*.mp4

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow and not gpu"

# Naive against ggm: docs/performance.md and .json. For a quiet machine; BENCH=--quick only tries it out.
bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/performance.py $(BENCH)

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check src tests examples
	$(BIN)/ruff check src tests examples
	$(BIN)/mypy
	$(MAKE) test

format: $(VENV)/installed-dev
	$(BIN)/ruff format src tests examples
	$(BIN)/ruff check --fix src tests examples

# The whole compact bundle from nothing: corpus, retriever, generator, scorer (see docs/training.md).
train-compact: $(VENV)/installed-dev
	$(GGM) corpus clipart corpora/clipart
	$(GGM) train retriever compact-clipart --data corpora/clipart --out runs/compact-retriever
	$(GGM) train generator compact-clipart --data corpora/clipart --retriever runs/compact-retriever --out runs/compact-unscored
	$(BIN)/python benchmarks/everyday.py build corpora/everyday
	$(GGM) train scorer runs/compact-unscored --data corpora/clipart --also corpora/everyday --out runs/compact

examples: $(VENV)/installed-dev
	$(BIN)/python examples/make_examples.py

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $(VENV)/installed $@

clean:
	rm -rf $(VENV) build dist runs
