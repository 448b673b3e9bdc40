# Two commands do all the set-up: `make solve` and `make test`. Needs Python 3.11+, git and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PROBLEM ?= How many positive integers less than 10000 have digits that add up to 17?
NAME ?=
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help env weights solve test check unit versions train-check gpu-check locks bench lock docs clean

help:
	@echo "make solve [PROBLEM='...']   set up, fetch the model, solve a problem"
	@echo "make test                    set up and pass every check and test"
	@echo "make bench NAME=... [ARGS=]  run benchmarks/NAME.py"
	@echo "make check | unit            only the static checks | only the tests"
	@echo "make versions                test the kernels with Kaggle's and the newest Jupyter packages"
	@echo "make train-check             test training with torch, and go the whole way on a tiny model"
	@echo "make gpu-check               test the real SGLang, where there is a GPU and the extra sglang"
	@echo "make locks                   check that the locks of heavy extras still resolve"
	@echo "make docs                    renew the generated parts of docs/reference"
	@echo "make lock                    renew the lock files in requirements/"

# What solving needs, and what testing needs on top, in the same environment.
$(VENV)/.%: requirements/%.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python %d.%d: Quorum needs 3.11 or newer; set PYTHON=python3.11" % sys.version_info[:2])'
	@echo "Setting up $(VENV) for $* (once, about a minute) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/$*.txt
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

env: $(VENV)/.dev

weights: $(VENV)/.embedded
	@$(BIN)/quorum weights pull

# By the environment, unexpanded: dollars, quotes and line ends of a problem stay as they are.
solve: export PROBLEM_TEXT := $(value PROBLEM)
solve: weights
	@printf "%s" "$$PROBLEM_TEXT" | $(BIN)/quorum solve -

check: env
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

unit: env weights
	$(BIN)/pytest $(ARGS)

test: check unit

versions: env
	$(BIN)/python -m tests.versions.run $(ARGS)

# GPU_PYTHON names an interpreter that has all packages, where none can be fetched.
train-check: env
	$(BIN)/python -m tests.training.run

gpu-check: $(if $(GPU_PYTHON),,env)
	$(or $(GPU_PYTHON),$(BIN)/python) -m pytest -p no:cacheprovider tests/gpu $(ARGS)
	$(or $(GPU_PYTHON),$(BIN)/python) -m benchmarks.gpu_throughput

locks: env
	$(BIN)/python -m tests.locks.check $(ARGS)

bench: env weights
	@test -n "$(NAME)" || { echo "NAME is empty: name a file of benchmarks/, for example make bench NAME=engine_use"; exit 2; }
	$(BIN)/python -m benchmarks.$(NAME) $(ARGS)

lock: env
	$(BIN)/python requirements/lock.py

docs: env
	$(BIN)/python -m docs.generate

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
