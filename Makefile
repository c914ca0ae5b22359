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
ENCODE_USAGE = make encode DATA=dataset OUT=latents [PRESET=512] [SET="model.codec.path=folder"]
PROMPT ?= a red ball moves left
# No telemetry.
export RAY_USAGE_STATS_ENABLED := 0
export MLFLOW_DISABLE_TELEMETRY := true

# What the user gives reaches recipes through the environment, byte for byte: neither Make nor the shell ever expands
# it. Recipes refer to it as "$$NAME". Make itself defines AS, the assembler: that is not a value of ours.
VARIABLES := PYTHON STAGE PRESET DATA VIDEOS OUT GPUS ADDRESS SET IMAGE PROMPT BUNDLE CHECKPOINT AS WEIGHTS UPGRADE BENCH MUTANTS
define pass_on
override $(1) := $$(value $(1))
export $(1)
endef
$(foreach name,$(VARIABLES),$(if $(filter default undefined,$(origin $(name))),,$(eval $(call pass_on,$(name)))))

# $(call flag,preset,PRESET): the option --preset if PRESET is given; $(call given,DATA): the argument, if DATA is.
flag = $${$(2):+--$(1)="$$$(2)"}
given = $${$(1):+"$$$(1)"}
# $(call need,DATA,usage): ends the recipe if DATA is not given.
need = @test -n "$${$(1):-}" || { echo 'error: $(2)' >&2; exit 2; }
# SET="a.b=1 c=[x, y] d=2": an assignment ends where the next KEY= begins, so values may contain blanks.
read_sets = rest=$${SET:-}; sets=(); while [[ $$rest =~ ^(.*[^[:space:]])[[:space:]]+([A-Za-z_][A-Za-z0-9_.]*=.*)$$ ]]; do \
	rest=$${BASH_REMATCH[1]}; sets=(--set "$${BASH_REMATCH[2]}" "$${sets[@]}"); done; \
	if [[ -n $$rest ]]; then sets=(--set "$$rest" "$${sets[@]}"); fi;
SETS = "$${sets[@]}"
TRAIN_FLAGS = $(call flag,preset,PRESET) $(call flag,data,DATA) $(call flag,out,OUT) $(call flag,gpus,GPUS) \
	$(call flag,address,ADDRESS) $(SETS)

.PHONY: help setup demo prior data inspect verify encode score train animate evaluate promote rollback \
	import-checkpoint export-checkpoint doctor test test-all coverage lint lock config-reference bench mutants clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "make %-18s %s\n", $$1, $$2}'

setup: $(STAMP) ## install requirements.lock into .venv

$(STAMP): requirements.lock pyproject.toml
	@"$$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $$PYTHON is $$("$$PYTHON" -V 2>&1), 3.11 or newer is needed: make PYTHON=python3.12 setup" >&2; exit 1; }
	@test -x $(BIN)/python || "$$PYTHON" -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); \
		echo "error: $$PYTHON -m venv does not work; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
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
	@$(read_sets) $(BIN)/animatic demo --prior $(SETS)

data: setup ## shards from DATA=table.csv VIDEOS=folder
	$(call need,DATA,make data DATA=table.csv VIDEOS=folder [OUT=runs/data])
	@$(BIN)/animatic ingest $(call flag,videos,VIDEOS) $(call flag,out,OUT) $(call flag,preset,PRESET) -- "$$DATA"

inspect: setup ## figures and pictures of a dataset: [DATA=dataset]
	@$(BIN)/animatic inspect $(call flag,out,OUT) -- $(call given,DATA)

verify: setup ## check every digest of a dataset: [DATA=dataset]
	@$(BIN)/animatic verify -- $(call given,DATA)

encode: setup ## compute the latents of a dataset once: DATA=dataset OUT=latents [PRESET=512]
	$(call need,DATA,$(ENCODE_USAGE))
	$(call need,OUT,$(ENCODE_USAGE))
	@$(read_sets) $(BIN)/animatic encode $(call flag,to,OUT) $(call flag,preset,PRESET) $(call flag,address,ADDRESS) \
		$(SETS) -- "$$DATA"

score: setup ## similarity of images and captions: DATA=dataset WEIGHTS=open_clip.safetensors
	$(call need,DATA,make score DATA=dataset WEIGHTS=open_clip.safetensors)
	$(call need,WEIGHTS,make score DATA=dataset WEIGHTS=open_clip.safetensors)
	@$(BIN)/animatic score $(call flag,weights,WEIGHTS) $(call flag,address,ADDRESS) -- "$$DATA"

train: setup ## one stage: STAGE=1|2|3 [PRESET=tiny] [SET="section.key=value ..."]
	@$(read_sets) $(BIN)/animatic train $(call flag,stage,STAGE) $(TRAIN_FLAGS)

animate: setup ## your own image: IMAGE=my.png PROMPT="..."
	$(call need,IMAGE,make animate IMAGE=my.png PROMPT="a red ball moves left")
	@$(BIN)/animatic animate $(call flag,bundle,BUNDLE) $(call flag,out,OUT) -- "$$IMAGE" "$$PROMPT"

evaluate: setup ## measure the champion (or BUNDLE=...) on held-out clips: DATA=dataset
	$(call need,DATA,make evaluate DATA=dataset [BUNDLE=folder])
	@$(BIN)/animatic evaluate $(call flag,bundle,BUNDLE) $(call flag,out,OUT) $(call flag,address,ADDRESS) -- "$$DATA"

promote: setup ## make the newest stage-3 bundle (or BUNDLE=...) champion
	@$(BIN)/animatic promote $(call flag,preset,PRESET) -- $(call given,BUNDLE)

rollback: setup ## reinstate the previous champion
	@$(BIN)/animatic rollback $(call flag,preset,PRESET)

import-checkpoint: setup ## published weights → a bundle: CHECKPOINT=model.ckpt [AS=dynamicrafter-512]
	$(call need,CHECKPOINT,make import-checkpoint CHECKPOINT=model.ckpt [OUT=folder])
	@$(BIN)/animatic import-checkpoint $(call flag,as,AS) $(call flag,out,OUT) -- "$$CHECKPOINT"

export-checkpoint: setup ## a bundle → published weights: BUNDLE=folder [OUT=model.ckpt]
	$(call need,BUNDLE,make export-checkpoint BUNDLE=folder [OUT=model.ckpt])
	@$(BIN)/animatic export-checkpoint --as=dynamicrafter $(call flag,out,OUT) -- "$$BUNDLE"

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
	@set -f; $(BIN)/python -m tests.bench $${BENCH:-}

mutants: setup ## change the code in small ways and count what the tests notice (MUTANTS="--only loader")
	@set -f; $(BIN)/python -m tests.mutants $${MUTANTS:-}

clean: ## remove .venv and caches; keeps runs/
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage* htmlcov *.egg-info
