# What a newcomer types. Every target does its own set-up; nothing has to be installed by hand.

PYTHON ?= /usr/bin/python3
VENV   := .venv
LARVA  := $(VENV)/bin/larva
SUDO   := $(if $(filter 0,$(shell id -u)),,sudo $(if $(LARVA_CACHE),--preserve-env=LARVA_CACHE))
APT    := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0
STAMP  := $(VENV)/.ready
ASSETS := $(VENV)/.console-assets

.DEFAULT_GOAL := help
.PHONY: help setup packages demo down test test-quick test-vm image bench lint format lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: packages $(STAMP) $(ASSETS) ## Install the Debian packages, the Python environment and the console's libraries

packages:
	@release=$$(. /etc/os-release && echo "$$VERSION_CODENAME"); \
	missing=$$(grep -v '^#' requirements/debian.txt | while read -r name only; do \
	    [ "$${only:-$$release}" = "$$release" ] || continue; \
	    dpkg-query -W -f '$${db:Status-Status}\n' "$$name" 2>/dev/null | grep -qx installed || echo "$$name"; done); \
	if [ -n "$$missing" ]; then echo "installing:" $$missing; $(APT) update && $(APT) install -y --no-install-recommends $$missing; fi

$(STAMP): requirements/dev.txt pyproject.toml | packages
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --use-pep517 --require-hashes -r requirements/dev.txt
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(ASSETS): package.json package-lock.json requirements/node.txt images/console_assets.py $(STAMP)
	$(VENV)/bin/python -m images.console_assets
	@touch $@

demo: setup ## Build the image, launch it on three clouds, prove network and storage, leave the console running
	$(SUDO) $(LARVA) demo up --run demo --replace
	$(SUDO) $(LARVA) demo prove --run demo

down: setup ## Take down every lab of this machine
	$(SUDO) $(LARVA) demo down --all

test: setup ## Run every test but those of test-vm, the slow ones included
	$(SUDO) $(VENV)/bin/pytest

test-quick: setup ## Run what needs no root and no lab, in under a minute
	$(VENV)/bin/pytest tests/unit

test-vm: setup ## Prove the whole mission on three virtual machines of the built disk, each on its own kernel (without KVM an hour)
	$(SUDO) $(VENV)/bin/pytest tests/vm

image: setup ## Build and verify the appliance image
	$(SUDO) $(LARVA) image build --profile full --lock auto

bench: setup ## Measure the image and the lab
	$(SUDO) $(LARVA) bench image --quick
	$(SUDO) $(LARVA) bench lab --quick

lint: setup ## Check style and types
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: setup ## Rewrite the sources in the house style
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

lock: setup ## Renew the lock files (needs uv on PATH)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -q \
	    pyproject.toml -o requirements/appliance.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -q \
	    --extra build --extra dev -c requirements/appliance.txt pyproject.toml -o requirements/dev.txt

clean: ## Remove the environment and what the tools left; build results stay (`larva image prune`)
	$(SUDO) rm -rf $(VENV) build node_modules web/static/vendor *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	$(SUDO) find . -name __pycache__ -type d -prune -exec rm -rf {} +
