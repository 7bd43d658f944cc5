# Everything a newcomer needs, from a fresh clone with python3 (3.11 to 3.13) and make:
#   make run    one whole slot on the paper gateway      make up     the Dagster UI with everything live
#   make test   all tests                                make check  format, lint and types
#   make bench  the indicators beside TA-Lib, in numbers
#   make fuzz   a million frames of nonsense to the paper gateway
# Versions come from the lock files; nothing is installed outside .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate

# A slot loads thousands of modules. What Python compiles of them is kept, even where the environment says not to: it
# halves the start of every command.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run up test check bench fuzz format lock clean

run: $(VENV)/.runtime
	@$(BIN)/quant-pipeline run

up: $(VENV)/.runtime
	@$(BIN)/quant-pipeline up

test: $(VENV)/.development
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

check: $(VENV)/.development
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright

# Writes benchmarks/latest.json and the table of the README; give it a quiet machine.
bench: $(VENV)/.development
	@$(BIN)/python -m benchmarks.indicators

fuzz: $(VENV)/.development
	@$(BIN)/python -m benchmarks.fuzz_gateway

format: $(VENV)/.development
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# Resolves the dependencies of pyproject.toml again; the result holds names, versions and hashes only.
lock: $(VENV)/.tools
	$(COMPILE) --upgrade pyproject.toml -o requirements.lock
	$(COMPILE) --upgrade --extra dev --constraint requirements.lock pyproject.toml -o requirements-dev.lock

clean:
	rm -rf $(VENV)

$(VENV)/.tools: requirements-bootstrap.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Python 3.11, 3.12 or 3.13 is needed; name one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { echo "python3 cannot make a virtual environment; install python3-venv." >&2; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.lock
	@touch $@

$(VENV)/.runtime: $(VENV)/.tools requirements.lock pyproject.toml
	@echo "Installing the locked versions"
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.development: $(VENV)/.runtime requirements-dev.lock
	@echo "Installing the locked versions for development"
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@touch $@
