# Every check is spelt out here and nowhere else.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
READY = $(VENV)/.ready
TINKER_LOCK = tests/backends/tinker/requirements.txt
TINKER_PACKAGES ?= build/tinker
TINKER_READY = $(TINKER_PACKAGES)/.ready

.PHONY: demo test test-slow test-tinker lint types imports docs format check

demo: $(READY)
	$(BIN)/pdistill run --task langid

test: $(READY)
	$(BIN)/python -m pytest

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

test-tinker: $(READY) $(TINKER_READY)
	PYTHONPATH=$(TINKER_PACKAGES) $(BIN)/python -m pytest -m tinker

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

imports: $(READY)
	$(BIN)/lint-imports

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: test test-slow lint types imports docs

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

$(TINKER_READY): $(TINKER_LOCK) | $(READY)
	mkdir -p $(dir $(TINKER_PACKAGES))
	part=$$(mktemp -d $(TINKER_PACKAGES).XXXXXX) && \
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --target $$part --requirement $(TINKER_LOCK) && \
	touch $$part/.ready && rm -rf $(TINKER_PACKAGES) && mv $$part $(TINKER_PACKAGES)
