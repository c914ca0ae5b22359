# The everyday `animatic` verbs; `make help` lists them. Variables: STAGE PRESET DATA VIDEOS OUT GPUS ADDRESS SET
# IMAGE PROMPT BUNDLE CHECKPOINT AS WEIGHTS, as in `make train STAGE=3 PRESET=tiny SET="train.steps=100 seed=1"`.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV = $$(command -v $(BIN)/uv || command -v uv || echo $(BIN)/uv)
STAGE ?= 3
PROMPT ?= a red ball moves left
# No telemetry.
export RAY_USAGE_STATS_ENABLED := 0
export MLFLOW_DISABLE_TELEMETRY := true

flag = $(if $($(2)),--$(1) "$($(2))")
SETS = $(foreach assignment,$(SET),--set "$(assignment)")
TRAIN_FLAGS = $(call flag,preset,PRESET) $(call flag,data,DATA) $(call flag,out,OUT) $(call flag,gpus,GPUS) \
	$(call flag,address,ADDRESS) $(SETS)

.PHONY: help setup demo prior data inspect verify encode score train animate evaluate promote rollback \
	import-checkpoint export-checkpoint doctor test test-all coverage lint lock config-reference bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "make %-18s %s\n", $$1, $$2}'

setup: $(STAMP) ## install requirements.lock into .venv

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1), 3.11 or newer is needed: make PYTHON=python3.12 setup" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); \
		echo "error: $(PYTHON) -m venv does not work; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(UV) --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes --compile-bytecode -r requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

lock: ## requirements.lock from pyproject.toml, keeping the versions that still fit; UPGRADE=package takes a newer one
	@$(UV) pip compile --quiet pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-header \
		$(call flag,upgrade-package,UPGRADE) --output-file requirements.lock

demo: setup ## the main job in about ten minutes: data, three stages, promotion, animation, report
	@$(BIN)/animatic demo $(call flag,out,OUT)

prior: setup ## train the tiny prior that ships in models/prior (about half an hour)
	@$(BIN)/animatic demo --prior $(SETS)

data: setup ## shards from DATA=table.csv VIDEOS=folder
	@test -n "$(DATA)" || { echo 'error: make data DATA=table.csv VIDEOS=folder [OUT=runs/data]' >&2; exit 2; }
	@$(BIN)/animatic ingest "$(DATA)" $(call flag,videos,VIDEOS) $(call flag,out,OUT) $(call flag,preset,PRESET)

inspect: setup ## figures and pictures of a dataset: [DATA=dataset]
	@$(BIN)/animatic inspect $(if $(DATA),"$(DATA)") $(call flag,out,OUT)

verify: setup ## check every digest of a dataset: [DATA=dataset]
	@$(BIN)/animatic verify $(if $(DATA),"$(DATA)")

encode: setup ## compute the latents of a dataset once: DATA=dataset OUT=latents [PRESET=512]
	@test -n "$(DATA)" && test -n "$(OUT)" \
		|| { echo 'error: make encode DATA=dataset OUT=latents [PRESET=512] [SET="model.codec.path=folder"]' >&2; exit 2; }
	@$(BIN)/animatic encode "$(DATA)" --to "$(OUT)" $(call flag,preset,PRESET) $(call flag,address,ADDRESS) $(SETS)

score: setup ## similarity of images and captions: DATA=dataset WEIGHTS=open_clip.safetensors
	@test -n "$(DATA)" && test -n "$(WEIGHTS)" \
		|| { echo 'error: make score DATA=dataset WEIGHTS=open_clip.safetensors' >&2; exit 2; }
	@$(BIN)/animatic score "$(DATA)" --weights "$(WEIGHTS)" $(call flag,address,ADDRESS)

train: setup ## one stage: STAGE=1|2|3 [PRESET=tiny] [SET="section.key=value ..."]
	@$(BIN)/animatic train --stage $(STAGE) $(TRAIN_FLAGS)

animate: setup ## your own image: IMAGE=my.png PROMPT="..."
	@test -n "$(IMAGE)" || { echo 'error: make animate IMAGE=my.png PROMPT="a red ball moves left"' >&2; exit 2; }
	@$(BIN)/animatic animate "$(IMAGE)" "$(PROMPT)" $(call flag,bundle,BUNDLE) $(call flag,out,OUT)

evaluate: setup ## measure the champion (or BUNDLE=...) on held-out clips: DATA=dataset
	@test -n "$(DATA)" || { echo "error: make evaluate DATA=dataset [BUNDLE=folder]" >&2; exit 2; }
	@$(BIN)/animatic evaluate "$(DATA)" $(call flag,bundle,BUNDLE) $(call flag,out,OUT) $(call flag,address,ADDRESS)

promote: setup ## make the newest stage-3 bundle (or BUNDLE=...) champion
	@$(BIN)/animatic promote $(if $(BUNDLE),"$(BUNDLE)") $(call flag,preset,PRESET)

rollback: setup ## reinstate the previous champion
	@$(BIN)/animatic rollback $(call flag,preset,PRESET)

import-checkpoint: setup ## published weights → a bundle: CHECKPOINT=model.ckpt [AS=dynamicrafter-512]
	@test -n "$(CHECKPOINT)" || { echo 'error: make import-checkpoint CHECKPOINT=model.ckpt [OUT=folder]' >&2; exit 2; }
	@$(BIN)/animatic import-checkpoint "$(CHECKPOINT)" $(call flag,as,AS) $(call flag,out,OUT)

export-checkpoint: setup ## a bundle → published weights: BUNDLE=folder [OUT=model.ckpt]
	@test -n "$(BUNDLE)" || { echo 'error: make export-checkpoint BUNDLE=folder [OUT=model.ckpt]' >&2; exit 2; }
	@$(BIN)/animatic export-checkpoint "$(BUNDLE)" --as dynamicrafter $(call flag,out,OUT)

doctor: setup ## check what this machine provides
	@$(BIN)/animatic doctor

test: setup ## the tests, under ten minutes on two cores
	@$(BIN)/python -m pytest

test-all: setup ## with the slow tests
	@$(BIN)/python -m pytest -m ''

coverage: setup ## the tests, with a report of the lines they reach: htmlcov/index.html
	@$(BIN)/python -m pytest --cov --cov-report=term --cov-report=html

lint: setup ## ruff, mypy, import contracts, declared dependencies
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/deptry .
	@$(BIN)/deptry tests --config pyproject.toml --ignore DEP002,DEP004 --exclude '^$$'

config-reference: setup ## the tables of docs/configuration.md from the configuration classes
	@$(BIN)/python -m orchestration.workflows.config_reference

bench: setup ## measure the implementation choices on this machine (BENCH="--only attention")
	@$(BIN)/python -m tests.bench $(BENCH)

clean: ## remove .venv and caches; keeps runs/
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage* htmlcov *.egg-info
