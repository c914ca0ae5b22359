# Every target is one `animatic` verb; `make help` lists them. Variables: STAGE PRESET DATA VIDEOS OUT GPUS
# ADDRESS SET IMAGE PROMPT BUNDLE, as in `make train STAGE=3 PRESET=tiny SET="train.steps=100 seed=1"`.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
STAGE ?= 3
PROMPT ?= a red ball moves left
# Both cores of a small machine belong to the work, not to library thread pools; no telemetry.
export RAY_USAGE_STATS_ENABLED := 0
export MLFLOW_DISABLE_TELEMETRY := true

flag = $(if $($(2)),--$(1) "$($(2))")
TRAIN_FLAGS = $(call flag,preset,PRESET) $(call flag,data,DATA) $(call flag,out,OUT) $(call flag,gpus,GPUS) \
	$(call flag,address,ADDRESS) $(foreach assignment,$(SET),--set "$(assignment)")

.PHONY: help setup demo prior data train animate evaluate promote rollback doctor test test-all lint bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "make %-10s %s\n", $$1, $$2}'

setup: $(STAMP) ## install everything that is locked into .venv

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1), 3.11 or newer is needed: make PYTHON=python3.12 setup" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); \
		echo "error: $(PYTHON) -m venv does not work; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@uv=$$(command -v $(BIN)/uv || command -v uv || true); \
	if [ -z "$$uv" ] || ! "$$uv" --version >/dev/null 2>&1; then \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check uv; uv=$(BIN)/uv; fi; \
	"$$uv" pip install --quiet --python $(BIN)/python -r requirements.lock; \
	"$$uv" pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

demo: setup ## the main job in about ten minutes: data, three stages, promotion, animation, report
	@$(BIN)/animatic demo $(call flag,out,OUT)

prior: setup ## train the tiny prior that ships in models/prior (about half an hour)
	@$(BIN)/animatic demo --prior $(foreach assignment,$(SET),--set "$(assignment)")

data: setup ## shards from DATA=table.csv VIDEOS=folder
	@test -n "$(DATA)" || { echo 'error: make data DATA=table.csv VIDEOS=folder [OUT=runs/data]' >&2; exit 2; }
	@$(BIN)/animatic ingest "$(DATA)" $(call flag,videos,VIDEOS) $(call flag,out,OUT) $(call flag,preset,PRESET)

train: setup ## one stage: STAGE=1|2|3 [PRESET=tiny] [SET="section.key=value ..."]
	@$(BIN)/animatic train --stage $(STAGE) $(TRAIN_FLAGS)

animate: setup ## your own picture: IMAGE=my.png PROMPT="..."
	@test -n "$(IMAGE)" || { echo 'error: make animate IMAGE=my.png PROMPT="a red ball moves left"' >&2; exit 2; }
	@$(BIN)/animatic animate "$(IMAGE)" "$(PROMPT)" $(call flag,bundle,BUNDLE) $(call flag,out,OUT)

evaluate: setup ## measure the champion (or BUNDLE=...) on held-out clips: DATA=dataset
	@test -n "$(DATA)" || { echo "error: make evaluate DATA=dataset [BUNDLE=folder]" >&2; exit 2; }
	@$(BIN)/animatic evaluate "$(DATA)" $(call flag,bundle,BUNDLE) $(call flag,out,OUT) $(call flag,address,ADDRESS)

promote: setup ## make the newest stage-3 bundle (or BUNDLE=...) champion
	@$(BIN)/animatic promote $(if $(BUNDLE),"$(BUNDLE)") $(call flag,preset,PRESET)

rollback: setup ## return to the champion before
	@$(BIN)/animatic rollback $(call flag,preset,PRESET)

doctor: setup ## what this machine has and lacks
	@$(BIN)/animatic doctor

test: setup ## the tests, under ten minutes on two cores
	@$(BIN)/python -m pytest

test-all: setup ## the slow tests too
	@$(BIN)/python -m pytest -m ''

lint: setup ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: setup ## what the network's choices are worth here: ratios, memory (BENCH="--only attention")
	@$(BIN)/python -m tests.bench $(BENCH)

clean: ## remove .venv and caches; runs/ is yours and stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache *.egg-info
