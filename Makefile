# Everything a developer or a newcomer needs. Paths are relative, so a folder with spaces in its name works.
# The environment is .venv (scripts/environment); results go to build/. Neither is under version control.

.DEFAULT_GOAL := help
.PHONY: help demo lab test test-quick coverage compat check bench chaos docs package notebooks tables messages screenshots clean demo-env docs-env test-env

PY := .venv/bin/python
JOBS ?= 2
PYTEST_ARGS ?=

help: ## these lines
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo-env:
	@scripts/environment sandbox,notebook,plots test

docs-env:
	@scripts/environment docs,sandbox test

test-env:
	@scripts/environment test

demo: demo-env ## run the quickstart in the sandbox: no key, no cost; then open the HTML it names
	@$(PY) -m elumenta_nb demo

lab: demo ## the same, then JupyterLab on your copy of the notebooks (folder lab/), in the sandbox
	@mkdir -p lab && cp -n notebooks/*.ipynb lab/
	@ELUMENTA_MODE=sandbox $(PY) -m jupyterlab --notebook-dir=lab --LabApp.default_url=/lab/tree/01_quickstart.ipynb $$([ "$$(id -u)" != 0 ] || echo --allow-root)

test: test-env ## everything, with the coverage gate: unit, notebooks, real browser and PostgreSQL (found or installed)
	@$(PY) tests/browser/provision.py
	@$(PY) tests/postgres/postgres_server.py
	@$(PY) $(if $(PYTEST_ARGS),-m pytest,scripts/covered.py) -n $(JOBS) --dist loadgroup $(PYTEST_ARGS)

test-quick: test-env ## under three minutes: no browser, no kernels, no PostgreSQL, nothing slow
	@$(PY) -m pytest -n $(JOBS) --dist loadgroup -m "not browser and not kernel and not postgres and not slow" $(PYTEST_ARGS)

coverage: test-env ## lines and branches of client, engine and ledger: at least 90 and 85 % of each
	@$(PY) scripts/covered.py $(PYTEST_ARGS)

compat: test-env ## the tests with the lowest, older and newest versions of everything, Python 3.11 to 3.13
	@$(PY) scripts/compat.py $(NAMES)

check: test-env ## ruff and mypy --strict
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m mypy tests/typing

bench: test-env ## the figures the project holds itself to, each beside its peer of the same run
	@$(PY) -m bench

chaos: test-env ## the money promise on 10,000 bad calls, 1,000 races, 200 killed kernels (SEED=N repeats a run)
	@$(PY) -m bench.chaos $(if $(SEED),--seed $(SEED))

docs: docs-env ## the site, in build/site: opens from the disk, needs no network
	@$(PY) scripts/docs.py
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build -q --strict -f build/mkdocs.yml
	@echo "Open build/site/index.html"

package: test-env ## sdist and wheel, checked, and installed with what they need in an environment of their own
	@$(PY) scripts/package.py

notebooks: test-env ## execute the notebooks in the sandbox and save their outputs
	@$(PY) scripts/notebooks.py

tables: test-env ## rewrite the generated tables of the README from the catalogue
	@$(PY) scripts/tables.py

messages: test-env ## collect the sentences, bring the Russian ones up to date, name those to translate
	@$(PY) scripts/messages.py

screenshots: test-env ## retake the pictures of the README in a real JupyterLab
	@$(PY) tests/browser/provision.py
	@$(PY) docs/screenshots.py

clean: ## remove the environment and everything that was built (not lab/, that is yours)
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
