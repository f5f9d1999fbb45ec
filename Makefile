# What a newcomer runs. Each environment is made on first use from a committed freeze; `make clean` removes them all.
SHELL := /bin/bash
PYTHON ?= python3
UV := .venv-uv/bin/uv
AIRFLOW3 := .venv-airflow3
AIRFLOW2 := .venv-airflow2
UPPER_DATE := 2026-11-01

.PHONY: help demo test test-airflow2 e2e soak bench docs lint constraints clean

help:  ## Show this list
	@grep -hE '^[a-z0-9-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(AIRFLOW3)/ready  ## Update a few thousand cases of a simulated Persona from a SQLite warehouse, through Airflow
	$(AIRFLOW3)/bin/python -m demo

test: $(AIRFLOW3)/ready  ## Run the whole suite on Airflow 3.3.2
	$(AIRFLOW3)/bin/python -m pytest $(ARGS)

test-airflow2: $(AIRFLOW2)/ready  ## Run the same suite on Airflow 2.11.2
	$(AIRFLOW2)/bin/python -m pytest $(ARGS)

e2e: $(AIRFLOW3)/ready  ## Run Dags under a real scheduler, triggerer and two Celery workers (PostgreSQL and Redis of this machine)
	PERSONA_E2E=1 $(AIRFLOW3)/bin/python -m pytest tests/e2e --timeout 900 $(ARGS)

soak: $(AIRFLOW3)/ready  ## Run the accounting and crash suites at length
	PERSONA_SOAK=1 $(AIRFLOW3)/bin/python -m pytest tests/bulk/test_accounting.py tests/bulk/test_crashes.py \
	  --timeout 7200 $(ARGS)

bench: $(AIRFLOW3)/ready  ## Measure this provider beside what one would write without it
	$(AIRFLOW3)/bin/python -m benchmarks $(ARGS)

docs: $(AIRFLOW3)/ready  ## Build the documentation into docs/_build/html
	$(AIRFLOW3)/bin/python -m sphinx -W --keep-going -q docs docs/_build/html

lint: $(AIRFLOW3)/ready  ## Check style and types
	$(AIRFLOW3)/bin/ruff check .
	$(AIRFLOW3)/bin/ruff format --check .
	$(AIRFLOW3)/bin/mypy

constraints: $(UV)  ## Resolve the pinned environments anew (after moving UPPER_DATE)
	for release in 3.3.2 2.11.2; do \
	  $(UV) pip compile --quiet --universal --python-version 3.11 --exclude-newer $(UPPER_DATE) --no-emit-index-url \
	    --no-emit-find-links --no-header --no-annotate --override constraints/overrides.txt constraints/airflow-$$release.in \
	    -o constraints/airflow-$$release.txt || exit 1; done

clean:  ## Remove environments and what tools left behind
	rm -rf .venv-uv $(AIRFLOW3) $(AIRFLOW2) .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis docs/_build docs/reference

$(UV):
	$(PYTHON) -m venv .venv-uv
	.venv-uv/bin/pip install --quiet --disable-pip-version-check uv

$(AIRFLOW3)/ready: constraints/airflow-3.3.2.txt setup.cfg pyproject.toml | $(UV)
	$(call environment,$(AIRFLOW3),$<)

$(AIRFLOW2)/ready: constraints/airflow-2.11.2.txt setup.cfg pyproject.toml | $(UV)
	$(call environment,$(AIRFLOW2),$<)

define environment
	@echo "Setting up $(1) from $(2)"
	$(UV) venv --quiet --clear --python $(PYTHON) $(1)
	VIRTUAL_ENV=$(1) $(UV) pip install --quiet --no-deps --requirements $(2)
	VIRTUAL_ENV=$(1) $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
endef
