# The commands of the project. Each environment is set up on first use, from the pinned versions in constraints/.
SHELL := /bin/bash
PYTHON ?= python3
UV := .venv-uv/bin/uv
AS_PIP := .venv-uv/bin/python tools/as_pip.py
AIRFLOW3 := .venv-airflow3
AIRFLOW2 := .venv-airflow2
# Six processes share the tests, since they wait for much of their time. Those marked `docs` belong to `make docs`.
SUITE := -m pytest -n 6 --dist worksteal -m "not docs"
CONTRACT := .venv-contract
MUTANTS := .venv-mutants
PRISM := @stoplight/prism-cli@5.14.2
UPPER_DATE := 2026-11-01
# Each test that starts a process would compile Airflow and all that it imports again: half of the suite's time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-airflow2 contract specification e2e pictures soak mutants bench docs lint matrix dist constraints clean

help:  ## Show this list
	@grep -hE '^[a-z0-9-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(AIRFLOW3)/ready  ## Update 1,200 cases of a simulated Persona from a SQLite warehouse, through Airflow
	$(AIRFLOW3)/bin/python -m demo

test: $(AIRFLOW3)/ready  ## Run the tests on Airflow 3.3.2 (ARGS go to pytest)
	$(AIRFLOW3)/bin/python $(SUITE) $(ARGS)

test-airflow2: $(AIRFLOW2)/ready  ## Run the same tests on Airflow 2.11.2
	$(AIRFLOW2)/bin/python $(SUITE) $(ARGS)

contract: specification $(AIRFLOW3)/ready $(CONTRACT)/ready  ## Hold simulator and catalogue against Persona's specification (SPEC=path)
	PERSONA_SPECIFICATION="$(SPEC)" $(AIRFLOW3)/bin/python -m tools.contract
	PERSONA_SPECIFICATION="$(SPEC)" $(AIRFLOW3)/bin/python -m pytest -q -m contract tests/api tests/simulator tests/tools

specification:  # asked first: setting up takes a minute
	@PERSONA_SPECIFICATION="$(SPEC)" $(PYTHON) tools/contract_specification.py

e2e: $(AIRFLOW3)/ready $(AIRFLOW3)/browser  ## Run Dags under a real scheduler, triggerer and two Celery workers; needs PostgreSQL, Redis, Chromium
	PERSONA_E2E=1 $(AIRFLOW3)/bin/python -m pytest tests/e2e --timeout 900 $(ARGS)

pictures: $(AIRFLOW3)/ready $(AIRFLOW3)/browser  ## Take the pictures of the documentation anew, as e2e sees the pages
	PERSONA_E2E=1 PERSONA_PICTURES=docs/pictures $(AIRFLOW3)/bin/python -m pytest tests/e2e/test_tab.py --timeout 900 $(ARGS)

soak: $(AIRFLOW3)/ready  ## Run the accounting, crash, storage and memory tests at length, over all kinds (SHARE=0.1: a tenth of it)
	PERSONA_SOAK=$(or $(SHARE),1) $(AIRFLOW3)/bin/python -m pytest tests/bulk/test_accounting.py tests/bulk/test_crashes.py \
	  tests/bulk/test_crashes_in_virtual_time.py tests/bulk/test_crashes_of_kinds.py tests/bulk/test_storage_faults.py \
	  tests/bulk/test_constant_memory.py -n 2 --dist worksteal --timeout 7200 $(ARGS)

mutants: $(AIRFLOW3)/ready $(MUTANTS)/ready  ## Change the engine's decisions one at a time; the quick tests must notice (ARGS: names of mutants)
	nice -n 10 timeout 20m $(MUTANTS)/bin/mutmut run --max-children 1 $(ARGS) || \
	  { [ $$? -ne 124 ] || echo "20 minutes are over: make mutants goes on from here, and make clean begins anew"; }
	$(MUTANTS)/bin/mutmut results

bench: $(AIRFLOW3)/ready  ## Compare this provider with what one would write without it
	$(AIRFLOW3)/bin/python -m benchmarks $(ARGS)

docs: $(AIRFLOW3)/ready  ## Build the documentation into docs/_build/html, and test the pages
	rm -rf docs/_build
	$(AIRFLOW3)/bin/python -m sphinx -W --keep-going -q docs docs/_build/html
	$(AIRFLOW3)/bin/python -m pytest -q -m docs tests/docs

lint: $(AIRFLOW3)/ready  ## Check style, types and GitHub's workflows
	$(AIRFLOW3)/bin/ruff check .
	$(AIRFLOW3)/bin/ruff format --check .
	$(AIRFLOW3)/bin/mypy
	$(AIRFLOW3)/bin/mypy --strict tests/operators/typed_dags
	$(AIRFLOW3)/bin/zizmor --offline --quiet --persona=auditor .github

matrix: $(UV)  ## Install the wheel beside each Airflow and check it there (ARGS=--short: four Airflows, without tests)
	UV=$(UV) $(AS_PIP) $(PYTHON) tools/matrix.py $(ARGS); status=$$?; rm -rf *.egg-info; exit $$status  # else tests find the package twice

dist: $(AIRFLOW3)/ready .venv-dist/ready  ## Build wheel and sdist into dist/, and check what a release must be
	TEST_PYTHON=$(AIRFLOW3)/bin/python .venv-dist/bin/python tools/dist.py; status=$$?; rm -rf *.egg-info; exit $$status  # else tests find the package twice

constraints: $(UV)  ## Resolve the pinned versions again (move UPPER_DATE first)
	for release in 3.3.2 2.11.2; do \
	  $(AS_PIP) $(UV) pip compile --quiet --universal --python-version 3.11 --exclude-newer $(UPPER_DATE) --no-emit-index-url \
	    --no-emit-find-links --no-header --no-annotate --override constraints/overrides.txt constraints/airflow-$$release.in \
	    -o constraints/airflow-$$release.txt || exit 1; done
	$(AS_PIP) $(UV) pip compile --quiet --universal --python-version 3.11 --exclude-newer $(UPPER_DATE) --no-emit-index-url \
	  --no-emit-find-links --no-header --no-annotate constraints/dist.in -o constraints/dist.txt
	$(AS_PIP) $(UV) pip compile --quiet --universal --python-version 3.11 --exclude-newer $(UPPER_DATE) --no-emit-index-url \
	  --no-emit-find-links --no-header --no-annotate constraints/contract.in -o constraints/contract.txt
	$(AS_PIP) $(UV) pip compile --quiet --universal --python-version 3.11 --exclude-newer $(UPPER_DATE) --no-emit-index-url \
	  --no-emit-find-links --no-header --no-annotate constraints/browser.in -o constraints/browser.txt
	$(AS_PIP) $(UV) pip compile --quiet --universal --python-version 3.11 --exclude-newer $(UPPER_DATE) --no-emit-index-url \
	  --no-emit-find-links --no-header --no-annotate constraints/mutants.in -o constraints/mutants.txt
	UV=$(UV) $(AS_PIP) $(PYTHON) tools/matrix.py --freeze

clean:  ## Remove the environments and the files that tools left
	rm -rf .venv-uv .venv-dist $(AIRFLOW3) $(AIRFLOW2) $(CONTRACT) $(MUTANTS) mutants build dist *.egg-info .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis docs/_build docs/reference
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit("this project needs Python 3.11 or later, and $(PYTHON) is %d.%d: make PYTHON=..." % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv-uv
	.venv-uv/bin/pip install --quiet --disable-pip-version-check uv

$(AIRFLOW3)/ready: constraints/airflow-3.3.2.txt setup.cfg pyproject.toml | $(UV)
	$(call environment,$(AIRFLOW3),$<)

$(AIRFLOW2)/ready: constraints/airflow-2.11.2.txt setup.cfg pyproject.toml | $(UV)
	$(call environment,$(AIRFLOW2),$<)

.venv-dist/ready: constraints/dist.txt | $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) .venv-dist
	VIRTUAL_ENV=.venv-dist $(AS_PIP) $(UV) pip install --quiet --no-deps --requirements $<
	touch $@

$(CONTRACT)/ready: constraints/contract.txt | $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) $(CONTRACT)
	VIRTUAL_ENV=$(CONTRACT) $(AS_PIP) $(UV) pip install --quiet --no-deps --requirements $<
	if command -v npm > /dev/null; then npm install --silent --no-fund --no-audit --prefix $(CONTRACT) $(PRISM); fi
	touch $@

$(AIRFLOW3)/browser: constraints/browser.txt $(AIRFLOW3)/ready
	VIRTUAL_ENV=$(AIRFLOW3) $(AS_PIP) $(UV) pip install --quiet --no-deps --requirements $<
	touch $@

# Its own site-packages come first, and the rest is that of Airflow 3: the tests run as they do elsewhere.
$(MUTANTS)/ready: constraints/mutants.txt $(AIRFLOW3)/ready | $(UV)
	$(UV) venv --quiet --clear --python $(PYTHON) $(MUTANTS)
	VIRTUAL_ENV=$(MUTANTS) $(AS_PIP) $(UV) pip install --quiet --no-deps --requirements $<
	$(AIRFLOW3)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > \
	  $$($(MUTANTS)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/zz_airflow3.pth
	touch $@

define environment
	@echo "Setting up $(1) from $(2)"
	$(UV) venv --quiet --clear --python $(PYTHON) $(1)
	VIRTUAL_ENV=$(1) $(AS_PIP) $(UV) pip install --quiet --no-deps --requirements $(2)
	VIRTUAL_ENV=$(1) $(AS_PIP) $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
endef
