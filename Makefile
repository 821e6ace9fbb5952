# Two commands do everything: `make demo` and `make test`. Both create and use .venv.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready

.PHONY: demo test lint

demo: $(READY)
	$(VENV)/bin/python run_benchmark.py --backbones group:samples,family:baseline --tasks linear,knn

test: $(READY)
	$(VENV)/bin/python -m pytest

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[samples,dev]'
	touch $@
