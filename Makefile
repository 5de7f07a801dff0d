# squeeze: everything a developer runs. `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
# torch==2.13.0 is fetched from the index that pip is set up with. Where that index holds CUDA builds only, give the
# one with CPU builds: make PIP_ARGS="--extra-index-url ..."
PIP_ARGS ?=
DEMO_OUT ?= out/fashion
# One process for each core, each with a run of tests that follow each other, for they share what they made; who is
# done takes half of what another has left.
PYTEST_ARGS ?= -n auto --dist worksteal

# Where squeeze looks for it.
ARM64 ?= $(if $(SQUEEZE_ARM64),$(SQUEEZE_ARM64),$(HOME)/.local/share/squeeze/arm64)

BIN := $(VENV)/bin
WHEEL := $(BIN)/python -m build --wheel --no-isolation
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
BUILD := build
DIST ?= dist
CLANG := $(shell find squeeze/csrc tests/native benchmarks/native -name '*.cc' -o -name '*.h')

.PHONY: help demo test lint format bench arm64 wheels install native runtimes clean
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: install native ## compile the bundled Fashion-MNIST model for this machine
	$(BIN)/squeeze compile examples/fashion/fashion_resnet.pt2 --calib fashion --target host --drop 1.5 --size 216KB -o $(DEMO_OUT)

test: install native ## run the whole test suite
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: install ## ruff, mypy, import-linter, clang-format: checks only, changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --python-version 3.10
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run -Werror $(CLANG)

format: install ## rewrite the sources in the house form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CLANG)

bench: $(VENV)/peers.stamp native ## compare with other tools on the same images (needs SQUEEZE_DATA; hours)
	$(BIN)/python -m benchmarks.end_to_end $(BENCH_ARGS)

arm64: $(BIN)/python ## what the targets of 64-bit Arm are emulated with, into $(ARM64)
	cmake --preset aarch64-linux-gnu -DSQUEEZE_BUILD_TESTS=OFF
	cmake --build --preset aarch64-linux-gnu
	mkdir -p $(ARM64)
	cp $(BUILD)/aarch64-linux-gnu/squeeze_runner $(BUILD)/aarch64-linux-gnu/libsqueeze_ops.so $(ARM64)
	$(PIP) download $(PIP_ARGS) --no-deps --only-binary=:all: --platform manylinux_2_28_aarch64 --python-version 3.11 \
	  -d $(BUILD)/arm64-wheel "$$(sed -n 's/^\(onnxruntime==[^;]*\); python_version >= "3.11"$$/\1/p' constraints.txt)"
	$(BIN)/python -m zipfile -e $(BUILD)/arm64-wheel/onnxruntime-*.whl $(ARM64)

# What is published. The wheels are made of the sdist, so that it builds; auditwheel names the oldest Linux that a library
# runs on. Nothing of it is of this minute or this folder: the same commit gives the same files.
wheels: export SOURCE_DATE_EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || echo 1700000000)
wheels: export CMAKE_BUILD_PARALLEL_LEVEL ?= $(shell nproc)
wheels: install ## an sdist and wheels for x86-64, 64-bit Arm and any machine, into $(DIST), checked
	@test "$$(uname -m)" = x86_64 || { echo "make wheels: needs a machine with x86-64, this is $$(uname -m)" >&2; exit 1; }
	@command -v aarch64-linux-gnu-g++ >/dev/null || { echo "make wheels: needs the cross compiler: apt-get install g++-aarch64-linux-gnu" >&2; exit 1; }
	rm -rf $(BUILD)/wheels $(DIST)/squeeze-*
	mkdir -p $(BUILD)/wheels/source
	$(BIN)/python -m build --sdist --no-isolation --outdir $(DIST) .
	tar -xzf $(DIST)/squeeze-*.tar.gz -C $(BUILD)/wheels/source --strip-components=1
	SQUEEZE_NO_NATIVE=1 $(WHEEL) --outdir $(DIST) $(BUILD)/wheels/source
	$(WHEEL) --outdir $(BUILD)/wheels $(BUILD)/wheels/source
	CMAKE_TOOLCHAIN_FILE=$(CURDIR)/cmake/aarch64-linux-gnu.cmake _PYTHON_HOST_PLATFORM=linux-aarch64 \
	  $(WHEEL) --outdir $(BUILD)/wheels $(BUILD)/wheels/source
	for wheel in $(BUILD)/wheels/squeeze-*.whl; do $(BIN)/auditwheel repair --patcher none --wheel-dir $(DIST) $$wheel || exit; done
	SQUEEZE_WHEELS=$(abspath $(DIST)) $(BIN)/python -m pytest tests/wheels

install: $(VENV)/install.stamp ## make .venv with pinned dependencies; does nothing when that is up to date

# The `native` rule builds the library straight into squeeze/ops, so the editable install is pure Python. Without
# build isolation pip fetches nothing that constraints.txt does not pin.
$(VENV)/install.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install $(PIP_ARGS) -c constraints.txt scikit-build-core
	SQUEEZE_NO_NATIVE=1 $(PIP) install $(PIP_ARGS) -c constraints.txt --no-build-isolation -e '.[dev,images,nncf,sign]'
	@touch $@

$(VENV)/peers.stamp: $(VENV)/install.stamp
	SQUEEZE_NO_NATIVE=1 $(PIP) install $(PIP_ARGS) -c constraints.txt --no-build-isolation -e '.[dev,images,peers,sign]'
	@touch $@

# What the targets other than this machine's CPU are asked with; tests of what is not there are skipped.
runtimes: $(VENV)/runtimes.stamp ## the optional runtimes of targets (OpenVINO, LiteRT, vela, tflite-micro, QNN), and transformers

$(VENV)/runtimes.stamp: $(VENV)/install.stamp
	SQUEEZE_NO_NATIVE=1 $(PIP) install $(PIP_ARGS) -c constraints.txt --no-build-isolation -e '.[dev,hf,images,nncf,sign,openvino,npu,mcu,qnn]'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python >= 3.10 is needed, this is %s: make PYTHON=python3.11" % sys.version.split()[0] if sys.version_info < (3, 10) else 0)'
	$(PYTHON) -m venv $(VENV)

native: $(BUILD)/CMakeCache.txt ## build the C++ library; only what changed
	cmake --build $(BUILD) --parallel

$(BUILD)/CMakeCache.txt:
	cmake --preset native

clean: ## remove what was built; keeps .venv
	rm -rf build dist out squeeze/ops/*.so .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
