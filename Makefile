# Targets are a line or two; `make help` lists them. Needed: Python 3.11 or later, git and make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PORT ?= 8080

# Further pytest arguments, as in `make test-unit ARGS='-k settings'`.
ARGS ?=
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/onchain-agg
NODE_DIR := $(CACHE)/node-$(firstword $(shell cksum tests/nodes/package-lock.json))
# uv trusts what the machine trusts, as pip does.
export UV_SYSTEM_CERTS ?= true
export ONCHAIN_AGG_NODE_MODULES ?= $(NODE_DIR)/node_modules
INPUT = $(if $(BLOCKS),--blocks '$(BLOCKS)') $(if $(BTC_RPC),--btc-rpc '$(BTC_RPC)') \
        $(if $(EVM_RPC),--evm-rpc '$(EVM_RPC)') $(if $(CHAIN),--chain '$(CHAIN)') \
        $(if $(FROM),--from '$(FROM)') $(if $(TO),--to '$(TO)')
CHECKED := $(wildcard src tests scripts dags benchmarks deploy)
# From the fast to the slow; the last one's summary is the last line.
LAYERS := $(wildcard tests/architecture tests/unit tests/deploy tests/metrics tests/data \
                     tests/integration tests/nodes tests/airflow)

.PHONY: help run up down status test test-unit test-data test-airflow test-deploy lint types check \
        format constraints initial-revision sample bench bench-routing reference docs test-needs \
        e2e e2e-needs drill

help:  ## Show what there is to do
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(READY)  ## Load an input through the DAGs: BLOCKS=, BTC_RPC=, EVM_RPC= CHAIN=; none: the sample
	@$(BIN)/python -m onchain_agg.local run $(INPUT)

up: $(READY)  ## Start Airflow with its pages and Celery workers (PORT=8080); takes an input as run does
	@$(BIN)/python -m onchain_agg.local up --port $(PORT) $(INPUT)

down: $(READY)  ## Stop Airflow and the embedded PostgreSQL
	@$(BIN)/python -m onchain_agg.local down

status: $(READY)  ## Tell which parts of the local Airflow run
	@$(BIN)/python -m onchain_agg.local status

# Three processes for two cores: the tests of a running Airflow mostly wait.
test: lint types test-needs  ## Set up what tests need, then check and test everything
	@$(BIN)/pytest -n 3 --dist loadfile $(LAYERS) $(ARGS)

test-unit: $(READY)  ## Tests without any service
	@$(BIN)/pytest tests/architecture tests/unit $(ARGS)

test-data: $(READY) test-needs  ## Tests on PostgreSQL and on real nodes
	@$(BIN)/pytest $(filter tests/metrics tests/data tests/integration tests/nodes,$(LAYERS)) $(ARGS)

test-airflow: $(READY) test-needs  ## Tests that start Airflow
	@$(BIN)/pytest tests/airflow $(ARGS)

test-deploy: $(READY)  ## Tests of what is deployed
	@$(BIN)/pytest tests/deploy $(ARGS)

e2e: e2e-needs  ## The deployment on a real Kubernetes API server, or on the cluster of KUBECONFIG
	@$(BIN)/pytest tests/e2e $(ARGS)

drill: e2e-needs  ## Interrupt tasks in pods and on workers as spot nodes do, and count what is lost
	@$(BIN)/python -m tests.e2e.drill $(ARGS)

lint: $(READY)  ## ruff, its format, spelling, shell
	@$(BIN)/ruff check $(CHECKED) && $(BIN)/ruff format --check $(CHECKED)
	@$(BIN)/codespell README.md CONTRIBUTING.md CHANGELOG.md ARCHITECTURE.md docs deploy src scripts
	@$(BIN)/shellcheck .ci/run scripts/*.sh

types: $(READY)  ## mypy, strict
	@$(BIN)/mypy

check: lint types test-unit test-deploy  ## All that needs no service

format: $(READY)  ## Write the code as ruff formats it
	@$(BIN)/ruff check --fix $(CHECKED); $(BIN)/ruff format $(CHECKED)

constraints: $(READY)  ## Pin every dependency anew, for all platforms
	@$(BIN)/uv pip compile --quiet --universal --upgrade --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --python-version 3.11 --extra dev \
	  --no-emit-package onchain-agg pyproject.toml --output-file constraints.txt

initial-revision: $(READY)  ## Write the initial migration anew (until the first release)
	@$(BIN)/python -m scripts.initial_revision

sample: $(READY) test-needs  ## Record the packaged sample anew from real nodes
	@$(BIN)/python -m scripts.record_sample
	@$(BIN)/python -m scripts.sample_market

bench: $(READY) test-needs  ## Print speed as ratios of interleaved runs
	@$(BIN)/python -m benchmarks $(ARGS)

bench-routing: $(READY)  ## Tasks a minute with Airflow's defaults and ours; takes 15 minutes
	@$(BIN)/python -m benchmarks.routing $(ARGS)

reference: $(READY)  ## Write the pages of docs/reference anew
	@$(BIN)/onchain-agg check --rules > docs/reference/integrity-rules.md
	@$(BIN)/onchain-agg datasets > docs/reference/data-sets.md

bench-metrics: $(READY)  ## Speed of metrics, reads and the heavy path, and how cost grows; takes 25 minutes
	@$(BIN)/python -m benchmarks rebuild day_step serving_reads cost_growth

docs:  ## List the documents
	@ls README.md ARCHITECTURE.md CONTRIBUTING.md CHANGELOG.md docs/how-to/*.md docs/reference/*.md docs/adr/*.md

test-needs: $(READY)
	@scripts/test_needs.sh '$(NODE_DIR)'

e2e-needs: $(READY)  ## Install etcd and build kube-apiserver; the first time takes five minutes
	@scripts/e2e_needs.sh

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "Python 3.11 or later \
	is needed, but $(PYTHON) is %d.%d. Name another: make PYTHON=python3.12 …" % v[:2])'
	@test -x $(BIN)/python || { echo "Creating .venv …"; $(PYTHON) -m venv .venv; } || { rm -rf .venv; \
	  echo "$(PYTHON) cannot make virtual environments (Debian: apt-get install python3-venv)."; exit 1; }
	@test -x $(BIN)/uv || { $(BIN)/python -m pip --version >/dev/null 2>&1 || \
	  $(BIN)/python -m ensurepip >/dev/null; $(BIN)/python -m pip install --quiet -c constraints.txt uv; }
	@echo "Installing what constraints.txt names …"
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python \
	   -c constraints.txt -e '.[dev]'
	@touch $@
