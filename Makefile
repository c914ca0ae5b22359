# The everyday `animatic` verbs; `make help` lists them. Every option of a verb is a variable of its target: TEXT_GUIDANCE=5 is
# --text-guidance=5, REPLACE=yes is --replace, OUT=folder the folder to write, as in
# `make train STAGE=3 PRESET=tiny SET="train.steps=100 seed=1"`.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
DOCKER ?= docker
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
INFRA := $(VENV)/infra
INFRA_STAMP := $(INFRA)/.installed
UV = $$(command -v $(BIN)/uv || command -v uv || echo $(BIN)/uv)
ENCODE_USAGE = make encode DATA=dataset OUT=latents [PRESET=512] [SET="model.codec.path=folder"]
# No telemetry.
export RAY_USAGE_STATS_ENABLED := 0
export MLFLOW_DISABLE_TELEMETRY := true

# The options of each target's verb: + is a flag, : a flag that the user may also switch off. A test compares them with the command.
# Arguments without a name, and what a recipe passes in a way of its own, are in `arguments-TARGET`.
options-data := VIDEOS OUT WHERE LAYOUT +REPLACE +DRY_RUN +PROBE PRESET SEED WORKERS ADDRESS ENVIRONMENT METRICS_PORT :TRACK MLFLOW_URI SET +JSON
arguments-data := DATA
options-dataset := OUT INTO BY WHERE KEYS MIN MAX COUNT SEED RENAME SHARD_ROWS SHARD_MB SET WORKERS ADDRESS ENVIRONMENT +JSON
arguments-dataset := ACTION DATA WITH
options-inspect := OUT CLIPS SEED KEEP +BATCH STAGE PRESET POSITION SET CONFIG DUMP +JSON
arguments-inspect := DATA
options-verify := +DEEP +JSON
arguments-verify := DATA
options-encode := PRESET BUNDLE SET +STILLS +TEXT WORKERS GPUS ADDRESS ENVIRONMENT +JSON
arguments-encode := DATA OUT
options-score := METRICS WEIGHTS MODEL HEAD DETECTOR FRAMES BATCH WORKERS GPUS ADDRESS ENVIRONMENT +JSON
arguments-score := DATA
options-caption := MODEL NAME PROMPT FRAMES SHORT_SIDE +ONLY_MISSING MAX_NEW_TOKENS MAX_CHARACTERS BEAMS BATCH DTYPE WORKERS GPUS ADDRESS ENVIRONMENT +JSON
arguments-caption := DATA
options-similar := WEIGHTS MODEL THRESHOLD FRAMES BATCH WORKERS GPUS ADDRESS ENVIRONMENT +JSON
arguments-similar := DATA
options-takedown := SOURCE_ID FILE LATENTS REASON +DRY_RUN +JSON
arguments-takedown := DATA
options-plan := PRESET GPUS GPU_MEMORY PRICE SET CONFIG DATA RATE LIKE DECODE_RATE +JSON
arguments-plan := STAGE
options-train := PRESET SET CONFIG DATA OUT ADDRESS ENVIRONMENT LAUNCHER GPUS METRICS_PORT PROFILE +DRY_RUN +PRINT_CONFIG +PRINT_INITIALISATION +VERBOSE +JSON
arguments-train := STAGE
arguments-checkpoints := ACTION RUN
options-checkpoints := STEP OUT +EMA +RAW +JSON
options-animate := OUT BUNDLE PRESET STEPS SOLVER ETA TEXT_GUIDANCE IMAGE_GUIDANCE GUIDANCE_INTERVAL GUIDANCE_EVERY CACHE_EVERY MOTION FPS PLAYBACK SEED COUNT FRAMES LAST +LOOP CODEC ENCODERS BASE REQUIRE_SIGNER COMPILE SERVER API_KEY_FILE +JSON
arguments-animate := IMAGE PROMPT
options-serve := FROM MODEL HOST PORT KEYS REPLICAS STATE CONFIG SET PRESET ADDRESS
options-evaluate := OUT BUNDLE +NEWEST PRESET CLIPS STEPS SOLVER GUIDANCE_INTERVAL GUIDANCE_EVERY CACHE_EVERY SEED STRIDE METRICS EXTRACTOR PROTOCOL SPLIT CAPTIONS GENERATED BASELINE WEIGHTS SIZE EXPORT_PICTURES WORKERS GPUS ADDRESS ENVIRONMENT CODEC ENCODERS BASE +JSON
arguments-evaluate := DATA
options-compare := GATE +JSON
arguments-compare := REPORT_A REPORT_B
options-promote := PRESET REPORT GATE CHAMPION_REPORT STUDY TO +FORCE REASON ACTOR NOTE +JSON
arguments-promote := BUNDLE
options-export := NAME FORMAT CARD PRESET CODEC ENCODERS KEEP ACTOR NOTE +JSON
arguments-export := BUNDLE TO
options-rollback := PRESET ACTOR NOTE +JSON
options-lineage := PRESET HTML +DEEP +JSON
arguments-lineage := BUNDLE
options-sign := KEY PASSWORD_FILE +REPLACE PRESET +JSON
arguments-sign := BUNDLE
options-verify-signature := KEY PRESET +JSON
arguments-verify-signature := BUNDLE
options-study := OUT PAIRS RATERS SEED ATTENTION +JSON
arguments-study := ACTION REPORT_A REPORT_B STUDY ANSWERS
options-import-checkpoint := AS OUT +INCOMPLETE +EMA +JSON
arguments-import-checkpoint := CHECKPOINT
options-export-checkpoint := OUT CODEC ENCODERS +JSON
arguments-export-checkpoint := BUNDLE AS
options-demo := OUT IMAGE PROMPT
options-prior := SET
options-jobs := ADDRESS +JSON
arguments-jobs := ACTION JOB
options-doctor := ADDRESS DATA ENVIRONMENT +JSON
arguments-doctor := RUN
VERBS := data dataset inspect verify encode score caption similar takedown plan train checkpoints animate serve evaluate compare promote rollback lineage export sign verify-signature study import-checkpoint export-checkpoint jobs demo prior doctor

# $(call variables,TARGET): what the user may give.
variables = $(sort $(arguments-$(1)) $(patsubst +%,%,$(patsubst :%,%,$(options-$(1)))))
ALL_VARIABLES := $(sort PYTHON UPGRADE BENCH MUTANTS DOCKER VARIANT BASE_IMAGE TAG $(foreach verb,$(VERBS),$(call variables,$(verb))))
# These may also come from the environment; the names of the others are too general for that.
FROM_ENVIRONMENT := PYTHON STAGE PRESET DATA VIDEOS OUT GPUS ADDRESS SET IMAGE PROMPT BUNDLE CHECKPOINT AS WEIGHTS UPGRADE BENCH MUTANTS DOCKER VARIANT BASE_IMAGE TAG

# A variable that no target of this call has would be without effect.
GOALS := $(filter $(VERBS),$(MAKECMDGOALS))
GIVEN := $(sort $(foreach name,$(.VARIABLES),$(if $(filter command,$(origin $(name))),$(name))))
KNOWN := PYTHON $(foreach goal,$(GOALS),$(call variables,$(goal)))
UNKNOWN := $(if $(GOALS),$(filter-out -*% $(KNOWN),$(GIVEN)))
ifneq ($(UNKNOWN),)
$(error make $(GOALS) has no $(firstword $(UNKNOWN)); it has $(or $(filter-out PYTHON,$(KNOWN)),no variables))
endif

# What the user gives reaches recipes through the environment, byte for byte: neither Make nor the shell ever expands
# it. Recipes refer to it as "$$NAME". Make itself defines AS, the assembler: that is not a value of ours.
define pass_on
override $(1) := $$(value $(1))
export $(1)
endef
define leave_out
unexport $(1)
endef
$(foreach name,$(ALL_VARIABLES),$(if $(filter default undefined,$(origin $(name))),,$(eval $(call \
	$(if $(filter command,$(origin $(name)))$(filter $(name),$(FROM_ENVIRONMENT)),pass_on,leave_out),$(name)))))

# $(call flag,to,OUT): the option --to if OUT is given; $(call given,DATA): the argument, if DATA is.
flag = $${$(2):+--$(1)="$$$(2)"}
given = $${$(1):+"$$$(1)"}
# $(call need,DATA,usage): ends the recipe if DATA is not given.
need = @test -n "$${$(1):-}" || { echo 'error: $(2)' >&2; exit 2; }
# Fills `options` with what is given of this target's options. SET="a.b=1 c=[x, y] d=2": an assignment ends where the
# next KEY= begins, so values may contain blanks. EXTRACTOR="i3d=FILE clip=FOLDER" is read in the same way.
read_options = options=(); \
	for name in $(options-$@); do \
		kind=$${name%%[A-Z]*}; name=$${name\#$$kind}; option=$${name,,}; option=$${option//_/-}; value=$${!name:-}; \
		case "$$kind$$name$${value:+=}" in \
			SET= | EXTRACTOR= | INTO= | MIN= | MAX=) sets=(); while [[ $$value =~ ^(.*[^[:space:]])[[:space:]]+([A-Za-z_][A-Za-z0-9_.]*=.*)$$ ]]; do \
				value=$${BASH_REMATCH[1]}; sets=("--$$option" "$${BASH_REMATCH[2]}" "$${sets[@]}"); done; \
				options+=("--$$option" "$$value" "$${sets[@]}");; \
			[A-Z]*=) options+=("--$$option=$$value");; \
			*=) case "$$kind$$value" in \
				?1 | ?yes | ?true) options+=("--$$option");; \
				:0 | :no | :false) options+=("--no-$$option");; \
				?0 | ?no | ?false) ;; \
				*) echo "error: $$name must be yes or no" >&2; exit 2;; esac;; \
		esac; done;
VERB = $(read_options) $(BIN)/animatic
OPTIONS = "$${options[@]}"

.PHONY: help setup demo prior data dataset inspect verify encode score caption similar takedown plan train checkpoints animate serve evaluate compare promote rollback lineage export sign verify-signature \
	study import-checkpoint export-checkpoint jobs doctor test test-all infra-check coverage lint lock config-reference dashboards \
	bench bench-gpu mutants image clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | awk -F'\t' '{printf "make %-18s %s\n", $$1, $$2}'
	@echo 'Every option of a verb is a variable: TEXT_GUIDANCE=5 is --text-guidance=5, REPLACE=yes is --replace.'

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

# Not 8bit: where torchao is installed, diffusers imports it in every command, with a second's work and warnings.
LOCKED_EXTRAS = clouds demo dev sites

lock: ## requirements.lock from pyproject.toml, keeping the versions that still fit; UPGRADE=package takes a newer one
	@$(UV) pip compile --quiet pyproject.toml $(patsubst %,--extra %,$(LOCKED_EXTRAS)) --universal --python-version 3.11 --generate-hashes --no-header \
		$(call flag,upgrade-package,UPGRADE) --output-file requirements.lock
	@$(UV) pip compile --quiet --config-file tests/infra/uv.toml tests/infra/requirements.in --universal --python-version 3.11 \
		--generate-hashes --no-header $(call flag,upgrade-package,UPGRADE) --output-file tests/infra/requirements.lock

# helm, promtool and other programs that only check files: an environment of its own, which `make setup` does without.
$(INFRA_STAMP): tests/infra/requirements.lock tests/infra/install_tools.py | $(STAMP)
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $(INFRA)
	@$(UV) pip sync --quiet --python $(INFRA)/bin/python --require-hashes tests/infra/requirements.lock
	@$(BIN)/python -m tests.infra.install_tools $(INFRA)
	@touch $@

demo: setup ## the main job in minutes: data, three stages, promotion, animation, report; your own picture too: [IMAGE=my.png PROMPT="..."]
	@$(VERB) demo $(OPTIONS)

prior: setup ## train the tiny prior that ships in models/prior (minutes on a GPU, hours on two cores)
	@$(VERB) demo --prior $(OPTIONS)

data: setup ## shards from DATA=table.csv VIDEOS=folder
	$(call need,DATA,make data DATA=table.csv VIDEOS=folder [OUT=runs/data])
	@$(VERB) ingest $(OPTIONS) -- "$$DATA"

inspect: setup ## figures and pictures of a dataset: [DATA=dataset]
	@$(VERB) inspect $(OPTIONS) -- $(call given,DATA)

verify: setup ## check every digest of a dataset: [DATA=dataset]
	@$(VERB) verify $(OPTIONS) -- $(call given,DATA)

encode: setup ## compute the latents of a dataset once: DATA=dataset OUT=latents [PRESET=512]
	$(call need,DATA,$(ENCODE_USAGE))
	$(call need,OUT,$(ENCODE_USAGE))
	@$(VERB) encode --to="$$OUT" $(OPTIONS) -- "$$DATA"

score: setup ## columns to select clips by: DATA=dataset [METRICS=flow,text,blur] [WEIGHTS=open_clip.safetensors]
	$(call need,DATA,make score DATA=dataset WEIGHTS=open_clip.safetensors)
	@$(VERB) score $(OPTIONS) -- "$$DATA"

caption: setup ## captions by a local model: DATA=dataset MODEL=folder [PROMPT="..."] [ONLY_MISSING=yes]
	$(call need,DATA,make caption DATA=dataset MODEL=folder)
	$(call need,MODEL,make caption DATA=dataset MODEL=folder)
	@$(VERB) caption $(OPTIONS) -- "$$DATA"

similar: setup ## clips that look like an earlier one: DATA=dataset WEIGHTS=open_clip.safetensors
	$(call need,DATA,make similar DATA=dataset WEIGHTS=open_clip.safetensors)
	$(call need,WEIGHTS,make similar DATA=dataset WEIGHTS=open_clip.safetensors)
	@$(VERB) similar $(OPTIONS) -- "$$DATA"

takedown: setup ## remove videos from a dataset for good: DATA=dataset SOURCE_ID=id or FILE=ids.txt [REASON="..."] [DRY_RUN=yes]
	$(call need,DATA,make takedown DATA=dataset FILE=ids.txt [DRY_RUN=yes])
	@$(VERB) takedown $(OPTIONS) -- "$$DATA"

plan: setup ## what a stage needs before it is trained: STAGE=3 PRESET=512 GPUS=8 [GPU_MEMORY=80] [PRICE=2.5]
	@$(VERB) plan --stage="$${STAGE:-3}" $(OPTIONS)

train: setup ## one stage: STAGE=1|2|3|4 [PRESET=tiny] [SET="section.key=value ..."]
	@$(VERB) train --stage="$${STAGE:-3}" $(OPTIONS)

animate: setup ## your own image: IMAGE=my.png PROMPT="..."
	$(call need,IMAGE,make animate IMAGE=my.png PROMPT="a red ball moves left")
	@$(VERB) animate $(OPTIONS) -- "$$IMAGE" "$${PROMPT:-a red ball moves left}"

serve: setup ## answer requests for clips over HTTP with the champion, and a page to try it: [PORT=8000]
	@$(VERB) serve $(OPTIONS)

evaluate: setup ## measure the champion (or BUNDLE=...) on held-out clips: DATA=dataset
	$(call need,DATA,make evaluate DATA=dataset [BUNDLE=folder])
	@$(VERB) evaluate $(OPTIONS) -- "$$DATA"

compare: setup ## two evaluation reports, paired by clip: REPORT_A=report.json REPORT_B=report.json
	$(call need,REPORT_A,make compare REPORT_A=report.json REPORT_B=report.json)
	$(call need,REPORT_B,make compare REPORT_A=report.json REPORT_B=report.json)
	@$(VERB) compare $(OPTIONS) -- "$$REPORT_A" "$$REPORT_B"

promote: setup ## make the newest stage-3 bundle (or BUNDLE=...) champion, if its report passes the gate
	@$(VERB) promote $(OPTIONS) -- $(call given,BUNDLE)

export: setup ## copy a bundle to where serving reads it: BUNDLE=champion TO=folder-or-URL [FORMAT=diffusers]
	$(call need,BUNDLE,make export BUNDLE=champion TO=folder-or-URL)
	$(call need,TO,make export BUNDLE=champion TO=folder-or-URL)
	@$(VERB) export --to="$$TO" $(OPTIONS) -- "$$BUNDLE"

rollback: setup ## reinstate the previous champion
	@$(VERB) rollback $(OPTIONS)

lineage: setup ## what the champion (or BUNDLE=...) comes from and what became of it [HTML=page.html]
	@$(VERB) lineage $(OPTIONS) -- $(call given,BUNDLE)

sign: setup ## sign a bundle: BUNDLE=folder KEY=private.pem
	$(call need,BUNDLE,make sign BUNDLE=folder KEY=private.pem)
	@$(VERB) sign $(OPTIONS) -- "$$BUNDLE"

verify-signature: setup ## who signed a bundle, and whether it changed since: BUNDLE=folder KEY=public.pem
	$(call need,BUNDLE,make verify-signature BUNDLE=folder KEY=public.pem)
	@$(VERB) verify-signature $(OPTIONS) -- "$$BUNDLE"

study: setup ## a preference study: REPORT_A=report REPORT_B=report OUT=folder, or ACTION=score STUDY=folder ANSWERS=folder
	@$(VERB) study $(OPTIONS) -- "$${ACTION:-make}" $(call given,REPORT_A) $(call given,REPORT_B) $(call given,STUDY) $(call given,ANSWERS)

import-checkpoint: setup ## published weights → a bundle: CHECKPOINT=model.ckpt [AS=dynamicrafter-512]
	$(call need,CHECKPOINT,make import-checkpoint CHECKPOINT=model.ckpt [OUT=folder])
	@$(VERB) import-checkpoint $(OPTIONS) -- "$$CHECKPOINT"

export-checkpoint: setup ## a bundle → published weights: BUNDLE=folder [OUT=model.ckpt]
	$(call need,BUNDLE,make export-checkpoint BUNDLE=folder [OUT=model.ckpt])
	@$(VERB) export-checkpoint --as="$${AS:-dynamicrafter}" $(OPTIONS) -- "$$BUNDLE"

checkpoints: setup ## checkpoints of a run: RUN=folder [ACTION=list|verify|export STEP=n OUT=bundle]
	$(call need,RUN,make checkpoints RUN=runs/NAME [ACTION=list|verify|export])
	@$(VERB) checkpoint $(OPTIONS) -- "$${ACTION:-list}" $(call given,RUN)

dataset: setup ## datasets made of others, and their cards: ACTION=merge|split|subset|reshard|card DATA=dataset OUT=folder [WITH=dataset INTO="train=0.98 test=0.02" WHERE="..."]
	$(call need,ACTION,make dataset ACTION=merge|split|subset|reshard|card DATA=dataset OUT=folder)
	$(call need,DATA,make dataset ACTION=merge|split|subset|reshard|card DATA=dataset OUT=folder)
	@$(VERB) dataset $(OPTIONS) -- "$$ACTION" "$$DATA" $(call given,WITH)

jobs: setup ## jobs of a cluster: ADDRESS=http://HEAD:8265 [ACTION=list|logs|stop JOB=id]
	@$(VERB) jobs $(OPTIONS) -- "$${ACTION:-list}" $(call given,JOB)

doctor: setup ## check what this machine provides, every node of a cluster, or a run: [ADDRESS=http://HEAD:8265 | RUN=folder]
	@$(VERB) doctor $(OPTIONS) -- $(call given,RUN)

# A file's tests share fixtures, and long files come early; each process needs up to 5 GB.
test: setup ## the tests, in about twelve minutes on two cores
	@$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

test-all: setup $(INFRA_STAMP) ## with the slow tests and those of infra/
	@$(BIN)/python -m pytest -m ''

infra-check: setup $(INFRA_STAMP) ## check the files for clusters in infra/, without a cluster
	@$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile -m 'infra and not slow' tests/infra

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
	@$(BIN)/python -m orchestration.config_reference

dashboards: setup ## infra/monitoring/grafana from the modules that describe the dashboards; what the chart carries of infra/monitoring
	@$(BIN)/python -m orchestration.monitoring.dashboards
	@cp infra/monitoring/grafana/*.json infra/helm/animatic/files/dashboards/
	@cp infra/monitoring/alerts.yml infra/helm/animatic/files/

bench: setup ## measure the implementation choices on this machine (BENCH="--only attention")
	@set -f; $(BIN)/python -m tests.bench $${BENCH:-}

bench-gpu: setup ## measure on this machine's GPU: against the published structure, whole steps, published sizes (BENCH="--rounds 3")
	@set -f; $(BIN)/python -m tests.bench --only gpu --only training-step --only full-size $${BENCH:-}

mutants: setup ## change the code in small ways and count what the tests notice (MUTANTS="--only loader")
	@set -f; $(BIN)/python -m tests.mutants $${MUTANTS:-}

# Tracked files of the commit alone, so that the revision names all that is in the image; of these, those that .dockerignore sends.
image: ## a container image of the last commit: [VARIANT=cpu|serve|serve-cpu] [BASE_IMAGE=python:3.11-slim-bookworm@sha256:…] [TAG=animatic:test]
	@command -v "$$DOCKER" >/dev/null || { echo "error: $$DOCKER is not installed; make image DOCKER=podman uses podman" >&2; exit 1; }
	@revision=$$(git rev-parse --verify HEAD); version=$$(git show HEAD:pyproject.toml | sed -n 's/^version = "\(.*\)"/\1/p'); \
	variant=$${VARIANT:-cuda}; tag=$${TAG:-animatic:$$version-$${revision:0:12}-$$variant}; \
	file=train; build=$$variant; check=(animatic doctor); \
	[[ $$variant != serve* ]] || { file=serve; build=cuda; check=(python -c 'import orchestration.serving.deployment'); }; \
	[[ $$variant != *-cpu ]] || build=cpu; \
	mapfile -t sent < <(git show HEAD:.dockerignore | sed -n 's/^!//p'); \
	git archive HEAD infra/images "$${sent[@]}" | \
		"$$DOCKER" build --file "infra/images/$$file.Dockerfile" --tag "$$tag" --build-arg VARIANT="$$build" \
		--build-arg REVISION="$$revision" --build-arg VERSION="$$version" \
		$${BASE_IMAGE:+--build-arg BASE_IMAGE="$$BASE_IMAGE"} -; \
	"$$DOCKER" run --rm --shm-size=2g "$$tag" "$${check[@]}"; echo "$$tag"

clean: ## remove .venv and caches; keeps runs/
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .coverage* htmlcov *.egg-info
