# `make` lists what can be done; every target's sentence stands behind its ##.
PYTHON ?= python3
PY := .venv/bin/python
# Variables given as `make up PORT=8010` reach the programs by themselves.

.DEFAULT_GOAL := help
.PHONY: help up doctor test check lint format loop bench soak screenshots lock clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | \
		awk -F '\t' '{ printf "  make %-12s %s\n", $$1, $$2 }'

up: ## install, set up and run everything; PORT=8000, Ctrl-C stops it
	@$(PYTHON) -m synthweb.bootstrap up

doctor: ## say what is wrong with this machine and how to mend it
	@$(PY) manage.py doctor

test: ## set up everything and run every test (up to 45 minutes on 2 cores)
	@$(PYTHON) -m synthweb.testing all

check: ## lint, types, architecture and the fast tests (under 5 minutes)
	@$(PYTHON) -m synthweb.testing check

lint: ## ruff, mypy and the arrows between the rooms
	@$(PYTHON) -m synthweb.testing lint

format: ## let ruff write the code its way
	@$(PY) -m ruff format . && $(PY) -m ruff check --fix .

loop: ## the whole loop against the running instance: base, dataset, SFT, scores
	@$(PY) manage.py loop

bench: ## every file in bench/ at its quick size, one table
	@$(PY) -m bench.figures

soak: ## the same promises at full size (hours)
	@$(PYTHON) -m synthweb.testing soak

screenshots: ## pictures of every page of the running instance
	@$(PY) -m bench.screenshots

lock: ## compile requirements/*.lock from pyproject.toml
	@$(PY) -m synthweb.locks

clean: ## remove caches (never data: that is in var/)
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
