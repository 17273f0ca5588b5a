# Every target sets up what it needs on first use, in .venv; nothing outside this folder changes.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
# torch, wandb and the like: the host projects' world, apart from the daemon's.
FRAMEWORKS := $(VENV)-frameworks
# The newest that runs is taken; `make PYTHON=/path/to/python3 ...` overrides.
PYTHON ?=
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3.14 python3.13 python3.12 python3.11 python3)
# pip says nothing for half a minute: a dot every two seconds shows that it works. The loop ends by
# itself when its shell is gone.
comma := ,
define install
	@(while sleep 2 && kill -0 $$$$ 2>/dev/null; do printf .; done) & dots=$$!; \
	$(or $(2),$(VENV))/bin/python -m pip --disable-pip-version-check --quiet install $(1); status=$$?; \
	kill $$dots 2>/dev/null; echo; exit $$status
endef
TESTS ?=
PROMISE ?=
PYTEST_ARGS ?=
FUZZ_SECONDS ?= 300
# One more than the two cores that the suite is made for: tests wait for much of their time.
WORKERS ?= 3
NIGHTS ?=
SECOND_PYTHON ?= /usr/bin/python3
SECOND_TESTS ?= tests/core tests/host tests/job tests/judging tests/measuring tests/metrics tests/integration/test_capture.py

# Some shells have Python keep nothing of what it has compiled: each of the suite's processes would do it again.
unexport PYTHONDONTWRITEBYTECODE

EXAMPLES := example-hf-trainer example-hydra-tensorboard example-plain-pytorch

.PHONY: help venv demo examples $(EXAMPLES) test test-loaded test-second test-frameworks test-gpu metrics-table torture mutants soak check format rooms configuration plugin noise-table noise-real bench people fuzz clean
.DEFAULT_GOAL := help

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

venv: $(VENV)/.dev ## everything for development, in .venv

demo: $(VENV)/.demo ## a private daemon, real training runs, every verdict (about a minute)
	@$(BIN)/python examples/drive.py digits

examples: $(EXAMPLES) ## Trainer and wandb, Hydra and TensorBoard, PyTorch and print; make example-hf-trainer is one of them

$(EXAMPLES): $(VENV)/.demo $(FRAMEWORKS)/.frameworks
	@$(BIN)/python examples/drive.py $(@:example-%=%) --python $(FRAMEWORKS)/bin/python

test: $(VENV)/.dev ## all tests; TESTS=tests/core picks some
	@$(BIN)/python -m pytest -n $(WORKERS) -m "not gpu and not frameworks" $(PYTEST_ARGS) $(TESTS)

test-loaded: $(VENV)/.dev ## the tests that depend most on a machine's pace, for 5 minutes beside busy cores (LOADED_SECONDS)
	@$(BIN)/python -m tests.loaded

# An environment of its own, with the Python that the distribution has: a user's is rarely a developer's.
test-second: ## unit tests and one whole loop under a second Python (SECOND_PYTHON, the system's by default)
	@$(MAKE) --no-print-directory VENV=$(VENV)-second PYTHON=$(SECOND_PYTHON) TESTS="$(SECOND_TESTS)" test

# Tests and daemon run in their own environment; jobs, and a framework's own reader, in the frameworks'.
test-frameworks: $(VENV)/.dev $(FRAMEWORKS)/.frameworks ## with the real frameworks, in an environment of their own (under 12 minutes)
	@FRAMEWORKS_PYTHON=$(abspath $(FRAMEWORKS))/bin/python $(BIN)/python -m pytest -n 2 -m frameworks $(PYTEST_ARGS) tests/frameworks

metrics-table: $(VENV)/.dev $(FRAMEWORKS)/.frameworks ## framework × backend × how it ended, written to docs/metrics.md
	@FRAMEWORKS_PYTHON=$(abspath $(FRAMEWORKS))/bin/python $(BIN)/python -m tests.frameworks

test-gpu: $(VENV)/.dev ## on a real NVIDIA card; GPU_PYTHON=/path/to/python has a CUDA build of torch
	@$(BIN)/python -m pytest -s -m gpu $(PYTEST_ARGS) tests/gpu

torture: $(VENV)/.dev ## every promise at full size, written to docs/reliability.md (about 50 minutes); PROMISE=name picks one
	@$(BIN)/python -m tests.torture $(PROMISE)

mutants: $(VENV)/.dev ## every promise broken on purpose: do its tests notice? (about 15 minutes); PROMISE=name picks one
	@$(BIN)/python -m tests.torture.mutate $(PROMISE)

soak: $(VENV)/.dev ## 10,000 runs through one daemon: what is left of them in it (about 10 minutes)
	@SOAK_RUNS=10000 $(BIN)/python -m pytest -s -q $(PYTEST_ARGS) tests/soak

check: $(VENV)/.dev ## formatter, linter, strict type checking
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(VENV)/.dev ## format the code and mend what the linter can
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

rooms: $(VENV)/.dev ## the rooms, who imports whom, and what is long; fails for a circle or an upward arrow
	@$(BIN)/python -m tests.rooms

configuration: $(VENV)/.dev ## the tables of docs/configuration.md, from the code
	@$(BIN)/python -m tests.support.configuration

plugin: ## skill/ as Claude Code itself sees it (needs npx, of Node.js)
	npx --yes @anthropic-ai/claude-code plugin validate --strict skill

noise-table: $(VENV)/.dev ## simulated nights under each rule of verdict, written to docs/noise.md (10 minutes; NIGHTS=10: 2)
	@$(BIN)/python -m tests.noise $(NIGHTS)

noise-real: $(VENV)/.dev $(FRAMEWORKS)/.frameworks ## two examples, launched 1,000 times under the rules of verdict, written to docs/noise.md (under an hour; goes on where it was interrupted)
	@$(BIN)/python -m tests.noise.real --python $(abspath $(FRAMEWORKS))/bin/python

bench: $(VENV)/.dev ## measure, print and write docs/benchmarks.md (about 4 minutes)
	@$(BIN)/python -m tests.bench

people: $(VENV)/.dev ## the figures of docs/watch.md and docs/service.md, and docs/screens (root, systemd, tmux; 14 minutes, MINUTES=1: 5)
	@$(BIN)/python -m tests.bench.people docs/screens $(MINUTES)

fuzz: $(VENV)-fuzz/.fuzz ## coverage-guided fuzzing of the protocol (atheris; FUZZ_SECONDS, 300 by default)
	@nice $(VENV)-fuzz/bin/python -m tests.fuzz.atheris_frames .fuzz/corpus -max_total_time=$(FUZZ_SECONDS) -timeout=20

clean: ## remove .venv and every cache
	rm -rf $(VENV) $(FRAMEWORKS) $(VENV)-fuzz $(VENV)-second .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build *.egg-info
	find ardaemon arctl tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

# A candidate must run: version managers leave commands on PATH that only print an error.
$(BIN)/python:
	@set -e; found=; bare=; \
	for python in $(CANDIDATES); do \
	    "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	    bare=$${bare:-$$python}; \
	    "$$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || continue; \
	    found=$$python; break; \
	done; \
	if [ -z "$$found" ] && [ -n "$$bare" ]; then \
	    version=$$("$$bare" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    echo "make: $$bare (Python $$version) cannot make a virtual environment: it lacks venv or ensurepip." >&2; \
	    echo "      Debian, Ubuntu: sudo apt-get install python$$version-venv" >&2; \
	    echo "      or name another one: make PYTHON=/path/to/python3 ..." >&2; \
	    exit 1; \
	fi; \
	if [ -z "$$found" ]; then \
	    echo "make: no Python 3.11 or newer that runs; tried: $(CANDIDATES)" >&2; \
	    echo "      Install one, or name it: make PYTHON=/path/to/python3 ..." >&2; \
	    exit 1; \
	fi; \
	echo "venv: $$("$$found" --version) in $(VENV)"; \
	"$$found" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo "venv: installing ardaemon with numpy and scikit-learn (about a minute on first use) ..."
	$(call install,--editable '.[examples]')
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "venv: installing ardaemon, numpy, scikit-learn, pytest, mypy, ruff (about a minute on first use) ..."
	$(call install,--editable '.[dev$(comma)examples]')
	@touch $@ $(VENV)/.demo

# Without ardaemon: a host project's environment needs nothing of it.
$(FRAMEWORKS)/.frameworks: tests/frameworks/requirements.txt | $(BIN)/python
	@echo "venv: installing torch, transformers, wandb and others in $(FRAMEWORKS) (3 minutes or so on first use) ..."
	@$(BIN)/python -m venv $(FRAMEWORKS)
	$(call install,--requirement tests/frameworks/requirements.txt,$(FRAMEWORKS))
	@touch $@

# Of its own: atheris is built for some versions of Python alone.
$(VENV)-fuzz/.fuzz: pyproject.toml | $(BIN)/python
	@$(BIN)/python -m venv $(VENV)-fuzz
	@$(VENV)-fuzz/bin/python -m pip --disable-pip-version-check --quiet install 'atheris>=2.3' --editable .
	@touch $@
