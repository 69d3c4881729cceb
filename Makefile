# The commands that people and CI share.
VENV   := .venv
PYTHON := $(VENV)/bin/python
PYTEST_ARGS ?=
FUZZ_SECONDS ?= 60
# The build of PyTorch, as uv names it: cpu, or auto for the GPU that is there. Empty: the usual one.
TORCH ?=

.PHONY: setup demo test test-fast check docs bench reader fuzz clean

setup: $(VENV)/.ready

# uv resolves in seconds what takes pip minutes; it comes into the venv. It shows its progress.
# Compiled once here: importing PyTorch and Lightning from source takes seconds in each process.
$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "Setting up $(VENV): several GB, minutes where they must be downloaded (see README, Installing)"
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check uv
	$(VENV)/bin/uv pip install --compile-bytecode --python $(PYTHON) --constraint constraints.txt $(if $(TORCH),--torch-backend $(TORCH)) --editable '.[train,dicom,serve,hospital,dev]'
	$(PYTHON) -m compileall -q src
	@echo "Ready. To have pneumoscope on the path: . $(VENV)/bin/activate"
	@touch $@

demo: setup
	rm -rf demo
	$(VENV)/bin/pneumoscope demo --out demo

test: setup
	sh tools/install_test_services.sh
	$(PYTHON) -m pytest -n auto $(PYTEST_ARGS)

# For between two edits: what needs no torch, no service and no second process, in under a minute.
test-fast: setup
	$(PYTHON) -m pytest -n auto --fast $(PYTEST_ARGS)

check: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# Strict: a link that leads nowhere, or a name without its documentation, ends it.
docs: setup
	$(PYTHON) -m sphinx -b html -W --keep-going -q docs docs/_build/html
	@echo "The pages: docs/_build/html/index.html"

bench: setup
	$(PYTHON) benchmarks/run.py

# DATA is the public data set; NATIVE, if it is there, some of its files at their original size.
reader: setup
	$(PYTHON) tools/make_reader.py $(DATA) $(if $(NATIVE),--native $(NATIVE))

fuzz: setup
	$(PYTHON) tests/fuzz/fuzz_readers.py --seconds $(FUZZ_SECONDS)

clean:
	rm -rf $(VENV) .bench demo dist docs/_build fuzz-findings
