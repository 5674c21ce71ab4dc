# harken: `make` lists the targets.
#
# Everything is installed into $(VENV), once: stamp files in it record what is installed, and a newer
# pyproject.toml triggers an update.

VENV ?= .venv
PIP = $(VENV)/bin/python -m pip --disable-pip-version-check
LIGHT = $(VENV)/.harken-light
FULL = $(VENV)/.harken-full
CREATED = $(VENV)/.created
DOCS = $(VENV)/.harken-docs
WEB = build/web
PORT = 8000
PARALLEL = --numprocesses auto --maxprocesses 4 --dist loadfile
RECIPE = models/recipes/commands.train.json

# The Python given by PYTHON; otherwise python3, or a versioned one if that is too old or too new.
CANDIDATES = $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
IS_SUPPORTED = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo web test quick lint docs bench clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "To choose a Python: make PYTHON=/usr/bin/python3.12 ...; another folder: VENV=..."

demo: $(LIGHT)  ## Listen to the microphone, or to a recording if there is none
	@$(VENV)/bin/harken listen --demo

web: $(LIGHT)  ## Build the web page, and serve it; needs clang and lld (PORT=8000)
	@$(VENV)/bin/harken export commands --also commands-tiny --target web --out $(WEB)
	@echo "On a phone: see $(WEB)/README.md. Ctrl-C ends it."
	@$(VENV)/bin/python -m http.server --bind 127.0.0.1 --directory $(WEB) $(PORT)

test: $(FULL)  ## Run all tests; those on recordings, too, if HARKEN_DATA names their folder
	$(VENV)/bin/python -m pytest -m 'not live' $(PARALLEL)
	$(VENV)/bin/python -m pytest -m live

quick: $(FULL)  ## Run the fast tests
	$(VENV)/bin/python -m pytest -m 'not slow' $(PARALLEL)

lint: $(FULL)  ## Check style and types
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy

docs: $(DOCS)  ## Build the documentation as a site, into build/docs
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet
	@echo "Open build/docs/index.html"

bench: $(if $(HARKEN_DATA),$(FULL),$(LIGHT))  ## Measure the shipped models and the C engine; with HARKEN_DATA, also training
	@$(VENV)/bin/harken bench
	@$(if $(shell command -v cc gcc clang),$(VENV)/bin/python bench/engine.py,echo "No C compiler: skipping the C engine.")
	@$(if $(HARKEN_DATA),$(VENV)/bin/python bench/epoch.py "$(HARKEN_DATA)" --config $(RECIPE))

clean:  ## Remove the environment, caches and build output
	rm -rf $(VENV) build dist src/harken.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The light installation, for devices.
$(LIGHT): pyproject.toml | $(CREATED)
	@echo "Installing harken into $(VENV), once ..."
	@$(PIP) install --quiet --editable .
	@touch $@

# Everything for training, export and development.
$(FULL): pyproject.toml | $(CREATED)
	@echo "Installing harken with tensorflow and the tools into $(VENV), once: 2.9 GB ..."
	@$(PIP) install --editable '.[train,tflm,dev]'
	@touch $(LIGHT) $@

# The tools that build the documentation.
$(DOCS): pyproject.toml | $(CREATED)
	@echo "Installing harken with the documentation tools into $(VENV), once ..."
	@$(PIP) install --quiet --editable '.[docs]'
	@touch $@

$(CREATED):
	@for python in $(CANDIDATES); do \
	    $$python -c '$(IS_SUPPORTED)' 2>/dev/null || continue; \
	    if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	        version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	        echo "harken: $$python cannot create virtual environments; install the missing package with:" >&2; \
	        echo "    sudo apt-get install python3-venv    (or python$$version-venv)" >&2; \
	        exit 1; \
	    fi; \
	    $$python -m venv $(VENV) && touch $@; \
	    exit; \
	done; \
	echo "harken: needs Python 3.11, 3.12 or 3.13; looked for $(CANDIDATES)." >&2; \
	echo "Install one of them, or say where it is: make PYTHON=/path/to/python3 ..." >&2; \
	exit 1
