# Everything a person runs. A machine needs python3 (3.11 or newer), make and the package registries; each target makes
# what it needs itself, and the second time that costs nothing.

PYTHON ?= python3
PY := .venv/bin/python
UV := build/uv/bin/uv
UV_VERSION := 0.13.9
COMPILE := pip compile pyproject.toml --quiet --generate-hashes --no-emit-index-url --universal --python-version 3.11 \
           --no-header $(if $(UPGRADE),--upgrade)

# Tests in as many processes as there are processors, four at most; `make test PARALLEL=` takes one.
PARALLEL ?= --numprocesses auto --maxprocesses 4 --dist loadscope

MAKEFLAGS += --no-print-directory
# The steps of `make test` are told apart by their order, and pytest's summary must come last.
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help env graphiql demo test test-long lint types imports bench bench-peers bench-search bench-import bench-ledger bench-sources federation lock generate schema clean

define HELP
Credit gateway: one question, one joined answer, three views, every answer accounted for.

  make demo           start everything on 127.0.0.1:8000 and ask one question in the three views; ONCE=1 ends after it
  make test           what CI runs: lint, types, imports, then the tests; the last line is pytest's summary
  make test-long      the long tests: a real browser, kills, durability, many operations

  make env            .venv with the locked packages and the credit-gateway command
  make graphiql       GraphiQL for http://127.0.0.1:8000/graphql, bundled from npm packages into build/
  make lint           ruff: rules and format           make types     mypy, strict
  make imports        which layer may import which     make bench     measurements, 12 minutes; ONLY=W1,W3 takes some
  make bench-peers    the same on other GraphQL servers; needs the npm registry
  make bench-search   searches by name among a million
  make bench-import   import of 100,000 rows against COPY of what it stores; memory
  make bench-ledger   what the ledger costs, log and fan-out running; latency against fsync; a slow disk
  make bench-sources  a thousand cold subjects against a bare loop of the same calls
  make federation     two prefectures behind two routers, from npm packages; see docs/federation.md
  make generate       files that are made from code    make lock      requirements/*.txt; UPGRADE=1 takes newer versions
  make clean          remove what make can make again; never .data (database, keys)

PYTHON=python3.12 takes another Python. After `make env`: .venv/bin/credit-gateway --help
endef
export HELP

help:
	@printf '%s\n' "$$HELP"

env:
	@$(PYTHON) scripts/environment.py

graphiql: env
	@$(PY) -m scripts.build_graphiql

# Without the npm registry the demo lacks one page, nothing else.
demo: env
	@$(PY) -m scripts.build_graphiql || echo "demo: going on without GraphiQL; /graphql answers programs all the same"
	@$(PY) -m scripts.demo $(if $(ONCE),--once)

test: lint types imports
	@echo "test: pytest"
	@$(PY) -m pytest -m "not long" $(PARALLEL)

test-long: env graphiql
	@echo "test-long: pytest"
	@$(PY) -m pytest -m long

lint: env
	@echo "lint: ruff"
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --quiet --check .

types: env
	@echo "types: mypy"
	@$(PY) -m mypy --no-error-summary

imports: env
	@echo "imports: import-linter"
	@.venv/bin/lint-imports --no-logo

bench-search: env
	@$(PY) -m benchmarks.search

bench: env
	@$(PY) -m benchmarks $(if $(ONLY),--only "$(ONLY)")

federation: env
	@$(PY) -m scripts.federation_check

bench-peers: env
	@$(PY) -m benchmarks.peers

bench-ledger: env
	@$(PY) -m benchmarks.ledger

bench-sources: env
	@$(PY) -m benchmarks.sources

bench-import: env
	@$(PY) -m benchmarks.import_bench

# In an environment of its own, so that uv never counts among the project's packages.
lock: env
	@echo "lock: uv $(UV_VERSION) writes requirements/base.txt and requirements/dev.txt"
	@test -x $(UV) || $(PY) -m venv build/uv
	@build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(UV) $(COMPILE) --output-file requirements/base.txt >/dev/null
	@$(UV) $(COMPILE) --extra dev --output-file requirements/dev.txt >/dev/null

generate: env
	@echo "generate: gateway/storage/migrations/views.sql"
	@$(PY) -m gateway.storage.views
	@$(PY) -m scripts.make_docs

schema: generate

clean:
	@echo "clean: removing .venv, build, caches; .data stays"
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.data/*' -not -path './.git/*' -prune -exec rm -rf {} +
