# `make` without a target prints this file's targets. Nothing has to be installed first but Python >= 3.11.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
# The project's own Python: made on first use in the user's cache, shared by all clones.
IN = PATH="$$venv/bin:$$PATH" PYTHONPATH="$(CURDIR)/tools" "$$venv/bin/python"
PY = venv=$$($(PYTHON) tools/bootstrap.py) && $(IN)
# The local cluster needs less of it, which is there in seconds.
CLUSTER_PY = venv=$$($(PYTHON) tools/bootstrap.py --cluster) && $(IN)
ANNOUNCED = venv=$$($(PYTHON) tools/bootstrap.py --cluster --announce cluster) && $(IN)
TIERS = $(PY) tests/run.py
CODE = tools tests benchmarks charts
# Other versions of Kubernetes, Helm, and Kueue than the pinned ones: docs/clusters.md.
ifeq ($(origin VERSIONS),command line)
export LOCALCLUSTER_VERSIONS := $(VERSIONS)
endif

.PHONY: help demo env cluster-up cluster-down cluster-status generate verify lint format \
	test test-fast test-cluster test-engine test-faults lock release release-check release-upload previous upgrading

help: ## print the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-22s %s\n", $$1, $$2 }'

demo: ## a model spread over two nodes, from nothing to its first answer; KUBECONFIG=… for a cluster of yours
ifeq ($(origin KUBECONFIG),command line)
	@$(CLUSTER_PY) -m localcluster demo --kubeconfig "$(KUBECONFIG)" $(if $(VALUES),--values "$(VALUES)")
else
	@$(ANNOUNCED) -m localcluster demo
endif

env: ## print shell lines that put vmn, helm, kubectl and ct on PATH: eval "$(make -s env)"
	@launcher=$$($(PYTHON) tools/bootstrap.py --launcher) && $(PY) -m localcluster env && \
	printf 'export PATH="%s:$$PATH:%s"\n' "$$launcher" "$$venv/bin"

cluster-up: ## start the local cluster
	@$(ANNOUNCED) -m localcluster up

cluster-down: ## stop the local cluster and leave nothing behind
	@$(CLUSTER_PY) -m localcluster down

cluster-status: ## say what the local cluster is doing
	@$(CLUSTER_PY) -m localcluster status

generate: ## write everything that is generated: schema, presets, dashboard, tables and pictures of documents
	@$(PY) -m chartfiles

verify: ## fail when something generated is out of date
	@$(PY) -m chartfiles --verify

lint: ## style, types, layers, YAML, shell and workflows
	@$(TIERS) lint

format: ## rewrite the Python code in the project's style
	@$(PY) -m ruff check --fix --quiet $(CODE); $(PY) -m ruff format $(CODE)

test: ## everything: lint, verify, and all three tiers of tests
	@$(PYTHON) tools/bootstrap.py --announce tests > /dev/null && $(TIERS) lint verify fast slow cluster engine

test-fast: ## the offline tier (under two minutes, no cluster)
	@$(TIERS) fast

test-cluster: ## the tier on a real API server; the cluster of KUBECONFIG, else a local one; VERSIONS=newest for others
	@$(TIERS) cluster

test-engine: ## the tier with vLLM in real pods; the cluster of KUBECONFIG, else a local one
	@$(TIERS) engine

STYLES ?= chart
test-faults: ## break what serves, in every way, and write docs/reliability.md's tables; STYLES="reference chart in-place" for all columns
	@export KEEP_FAULT_RESULTS=1 FAULT_STYLES="$(STYLES)"; $(TIERS) faults

previous: ## keep the chart and the values files of a git REF as the previous chart: make previous REF=v0.1.0
	@test -n "$(REF)" || { echo 'make previous REF=<tag or commit>' >&2; exit 2; }
	git archive --format=tar $(REF) charts/vllm-multinode values | gzip -9n > tests/upgrade/previous.tar.gz

upgrading: ## write tests/upgrade/changes.md: the fields that change since the previous chart
	@venv=$$($(PYTHON) tools/bootstrap.py) && PYTHONPATH="$(CURDIR)/tools:$(CURDIR)/tests" "$$venv/bin/python" -m upgrade.table

lock: ## write requirements/*.lock from pyproject.toml
	@$(PY) tools/lock.py

release: ## build what a tag publishes: chart, packages, bills of materials and notes, under build/release
	@eval "$$($(MAKE) -s env)" && rm -rf build/release && $(PY) -m publishing build --out build/release

release-check: ## say what keeps this tree from being released; TAG=v1.2.3 for a tag
	@$(PY) -m publishing check $(if $(TAG),--tag "$(TAG)")

release-upload: ## push and sign the chart of build/release: make release-upload TO=ghcr.io/example/charts
	@test -n "$(TO)" || { echo 'make release-upload TO=<host and path of a registry>' >&2; exit 2; }
	@$(PY) -m publishing upload build/release --to "$(TO)"
