# Works with any make (macOS ships GNU make 3.81) and any POSIX shell.
# `make help` lists the targets. ARGS adds to a command: make test ARGS="-k aggregate"

.DEFAULT_GOAL := help
.PHONY: help demo test check lab bench pins clean

BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
ARGS ?=
WORKERS ?= 2
CANDIDATES := $(PYTHON) python3.13 python3.12 python3.11 python3 python py

# Installing again is only needed when a pin or the project's own declaration changes.
RUN := .venv/installed
TESTS := .venv/installed-tests
PEERS := .venv/installed-peers

help:  ## List the targets
	@sed -n 's/^\([a-z]*\):.*##  *\(.*\)/  make \1\t\2/p' Makefile

demo: $(RUN)  ## Make the demonstration data, run the study, print the report's path
	$(BIN)/impact demo $(ARGS)

test: $(TESTS)  ## Set up and run the tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

check: $(TESTS)  ## Lint, format, types, import floors, notebooks without outputs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/notebooks/test_thin.py

lab: $(RUN)  ## Make the demonstration data and open JupyterLab on the notebooks
	$(BIN)/impact demo --data-only
	$(BIN)/jupyter lab notebooks

bench: $(PEERS)  ## Measure speed and memory beside other packages
	$(BIN)/python tests/benchmarks/bench.py $(ARGS)

pins: .venv/bare  ## Pin every package again, with hashes and without addresses
	@command -v uv >/dev/null 2>&1 || $(BIN)/python -m pip install -q uv
	@uv=$$(command -v uv || echo $(BIN)/uv) && \
	compile="$$uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate $(ARGS)" && \
	$(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['build-system']['requires'], sep='\n')" \
		| $$compile pyproject.toml - -o requirements.txt && \
	$$compile --group pyproject.toml:test -c requirements.txt -o requirements-test.txt && \
	if grep -n '://' requirements.txt requirements-test.txt; then echo "A pin holds an address: see the lines above." >&2; exit 1; fi

clean:  ## Remove the environment and caches; outputs and data stay
	rm -rf .venv dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A shim or an old link may carry the right name and still not run, so each candidate is tried.
.venv/bare:
	@for python in $(CANDIDATES); do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
		"$$python" -c 'import venv, ensurepip' >/dev/null 2>&1 || { incomplete=$$python; continue; }; \
		echo "Making .venv with $$("$$python" --version)"; \
		"$$python" -m venv --clear .venv && touch $@; exit; \
	done; \
	if [ -n "$$incomplete" ]; then \
		echo "$$incomplete is new enough but its venv module is incomplete." >&2; \
		echo "On Debian or Ubuntu: sudo apt-get install python3-venv. Then run make again." >&2; \
	else \
		echo "impact needs Python 3.11 or newer, and none was found (tried: $(CANDIDATES))." >&2; \
		echo "Install one, or name it: make demo PYTHON=/path/to/python3.11" >&2; \
	fi; exit 1

$(RUN): .venv/bare requirements.txt pyproject.toml
	@echo "Installing the pinned packages (a minute or two)"
	$(BIN)/python -m pip install -q --require-hashes -r requirements.txt
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

$(TESTS): $(RUN) requirements-test.txt
	$(BIN)/python -m pip install -q --require-hashes -r requirements.txt -r requirements-test.txt
	@touch $@

# The packages we are compared with are not pinned (the page names the versions that were measured), but must
# leave the pinned ones as they are; as constraints, pins with hashes would demand a hash of everything.
group = $$($(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['dependency-groups']['$(1)'])")
$(PEERS): $(RUN)
	@$(BIN)/python -m pip freeze --exclude-editable > .venv/pinned.txt
	$(BIN)/python -m pip install -q -c .venv/pinned.txt $(call group,bench)
	$(BIN)/python -m pip install -q --no-deps $(call group,bench-alone)
	@touch $@
