# `make demo` and `make test` do everything, `make docs` builds the site. All create and use .venv.
PYTHON ?= python3
VENV := .venv
PIP_INSTALL := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable

.PHONY: demo test test-old-cpu lint docs fuzz crash

# Left out for time: efficientnet_lite2_in1k, which ties with a smaller one, and the random twin of
# efficientnet_lite0_in1k, since random_convolution is the better of the two untrained networks.
DEMO := efficientnet_lite[01]_in1k,resnet50thin_opennsfw,raw_pixels,channel_statistics,random_convolution
demo: $(VENV)/.samples
	$(VENV)/bin/python run_benchmark.py --backbones '$(DEMO)' --tasks linear,knn

# One process a core, so one thread a process. Each begins with a share of neighbouring tests, which
# have fixtures in common, and takes from others when it has done them. Bytecode is kept: processes
# that tests start would compile it again.
PARALLEL := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(VENV)/bin/python -m pytest -n auto --maxprocesses 8 --dist worksteal
test: $(VENV)/.dev
	$(PARALLEL)

# Numerics as on an old processor: other instructions sum in another order. A minute on two cores.
OLD_CPU := ATEN_CPU_CAPABILITY=default OPENBLAS_CORETYPE=Prescott ONEDNN_MAX_CPU_ISA=SSE41 \
	MKL_ENABLE_INSTRUCTIONS=SSE4_2 FAISS_OPT_LEVEL=generic
PROTOCOLS := any_features fewshot knn ood_detection retrieval ridge
test-old-cpu: $(VENV)/.dev
	$(OLD_CPU) $(PARALLEL) tests/numerics $(PROTOCOLS:%=tests/protocols/test_%.py)

# Damaged and hostile inputs for every reader: `make fuzz COUNT=20000 SEED=7`. The tests try a few.
COUNT ?= 1000
SEED ?= 1
fuzz: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.fuzz --count $(COUNT) --seed $(SEED)

# Runs killed at random and finished, compared with undisturbed ones: `make crash KILLS=200 SEED=7`.
KILLS ?= 200
crash: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m tests.builders.crash_harness --kills $(KILLS) --seed $(SEED)

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# The documentation site, in site/. Broken links are errors; nothing is downloaded.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

$(VENV)/.samples: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) '.[samples]'
	touch $@

$(VENV)/.dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) '.[samples,dev]'
	touch $@

$(VENV)/.docs: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) '.[docs]'
	touch $@
