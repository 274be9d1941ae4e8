# Front door: `make` lists the targets. Each recipe is one call; the verbs are thin names for `python -m runner <verb>`.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
CONTROL = $(PYTHON) -m runner.bootstrap control --then
# For verbs that terminate: in the environment that stands, whatever its lock says now; nothing is installed.
STANDING = $(PYTHON) -m runner.bootstrap control --standing --then
REHEARSAL = $(PYTHON) -m runner.bootstrap rehearsal --then
DEV = $(PYTHON) -m runner.bootstrap dev --then
SCAN = $(PYTHON) -m runner.bootstrap scan --then

# A shell may export ENV or HOST for purposes of its own, so variables count only on make's command line.
is_given = $(filter command line,$(origin $1))
# A value is what is typed, with a dollar sign in it as well; written as make wants it, $$, it is one too.
given = $(and $(is_given),$(subst $$$$,$$,$(value $1)))
quoted = '$(subst ','\'',$1)'
flag = $(if $(call given,$1),$2 $(call quoted,$(call given,$1)))
RUN_FLAG = $(call flag,RUN,--run)
SET_FLAGS = $(call flag,SET,--set)
HOST_FLAGS = $(call flag,ENV,--env) $(call flag,HOST,--host) $(SET_FLAGS)
DATA_FLAGS = $(call flag,CONFIG,--config) $(call flag,DATA,--data)
PLAN_FLAGS = $(DATA_FLAGS) $(HOST_FLAGS)
SWEEP_FLAGS = $(if $(filter 1 yes true,$(call given,APPLY)),--apply) $(if $(filter 1 yes true,$(call given,ALL)),--all)
JSON_FLAG = $(if $(filter 1 yes true,$(call given,JSON)),--json)
YES_FLAG = $(if $(filter 1 yes true,$(call given,YES)),--yes)
REPORT_FLAG = $(if $(filter 1 yes true,$(call given,REPORT)),--report)
DETACH_FLAG = $(if $(filter 1 yes true,$(call given,DETACH)),--detach)

# The brackets in the help lines say what each target takes. Anything else is refused, for make would ignore it.
GIVEN := $(foreach name,$(.VARIABLES),$(if $(call is_given,$(name)),$(call quoted,$(name)=$(value $(name)))))
GOALS := $(foreach goal,$(MAKECMDGOALS),$(call quoted,$(goal)))
ifneq ($(strip $(GIVEN)),)
ifneq ($(shell $(PYTHON) -m runner.cli.make_variables $(GIVEN) -- $(GOALS)),ok)
$(error nothing was started)
endif
endif

.PHONY: help train plan compare prices up configure launch collect down terminate sync sweep rehearse rehearse-clean simulate simulate-mutants simulate-coverage resume status watch notify-test logs runs costs \
	report ssh tensorboard rebuild data-check setup format lint lint-format lint-python lint-imports lint-yaml lint-shell lint-locks types test test-rehearsal test-rehearsal-chosen test-slow \
	test-gpu test-infra scan-infra test-playbooks check lock docs docs-run-file docs-faults docs-rooms new-cloud clean

help:
	@awk -f .ci/help.awk $(MAKEFILE_LIST)

##@ Train: variables go after the target, as in `make train CONFIG=my.yml DATA=my-data`
train: ## Train an adapter from start to end, here or where ENV says [CONFIG DATA ENV HOST SET YES=1 DETACH=1]
	@$(CONTROL) -m runner train $(PLAN_FLAGS) $(YES_FLAG) $(DETACH_FLAG)
plan: ## Check all that can be known before installing or paying for anything [CONFIG DATA ENV HOST SET JSON=1]
	@$(CONTROL) -m runner plan $(PLAN_FLAGS) $(JSON_FLAG)
compare: ## Compare every platform for this run, cheapest first [CONFIG DATA ENV HOST SET BUDGET=500 JSON=1]
	@$(CONTROL) -m runner compare $(PLAN_FLAGS) $(call flag,BUDGET,--budget) $(JSON_FLAG)
data-check: ## Check the training data and show what the model would learn from [CONFIG DATA ENV HOST SET]
	@$(CONTROL) -m runner data-check $(PLAN_FLAGS)

##@ Rehearse: the same run against an emulated cloud with real machines; costs nothing
rehearse: ## Rehearse a run on the cloud ENV [CONFIG DATA ENV SET VERB=rebuild FAULTS AFTERWARDS HUB STORE JSON=1]
	@$(REHEARSAL) -m runner rehearse $(DATA_FLAGS) $(call flag,ENV,--env) $(SET_FLAGS) $(call flag,FAULTS,--faults) $(call flag,AFTERWARDS,--afterwards) $(call flag,VERB,--verb) $(call flag,HUB,--hub) $(call flag,STORE,--store) $(JSON_FLAG)
rehearse-clean: ## Remove what a killed rehearsal left on this machine
	@$(REHEARSAL) -m runner rehearse-clean

simulate: ## Live runs in virtual time, judged by the clouds' own books [SEEDS SEED ENV REPORT=1]
	@$(REHEARSAL) -m runner.cli.simulate $(call flag,SEEDS,--seeds) $(call flag,SEED,--seed) $(call flag,ENV,--env) $(REPORT_FLAG)

##@ Look: at the latest run, or at RUN=<run id>
status: ## What the run is doing, which steps are done, and what is billing [RUN JSON=1]
	@$(STANDING) -m runner status $(RUN_FLAG) $(JSON_FLAG)
watch: ## Follow the run live; Ctrl-C leaves it running [RUN]
	@$(CONTROL) -m runner watch $(RUN_FLAG)
notify-test: ## Send a notice to everybody who gets those of a run file, or of a run [CONFIG SET RUN]
	@$(CONTROL) -m runner notify-test $(call flag,CONFIG,--config) $(SET_FLAGS) $(RUN_FLAG)
logs: ## The run's logs [RUN]
	@$(CONTROL) -m runner logs $(RUN_FLAG)
ssh: ## Log in to the run's machine [RUN]
	@$(CONTROL) -m runner ssh $(RUN_FLAG)
tensorboard: ## Show the TensorBoard of the run's machine here, through a tunnel [RUN]
	@$(CONTROL) -m runner tensorboard $(RUN_FLAG)
report: ## Write the run's report again and print its path [RUN]
	@$(CONTROL) -m runner report $(RUN_FLAG)
runs: ## Compare all runs in a table [JSON=1]
	@$(CONTROL) -m runner runs $(JSON_FLAG)
costs: ## Estimate of each finished run beside its actual time and cost, or what clouds bill [BILL=1 JSON=1]
	@$(CONTROL) -m runner costs $(if $(filter 1 yes true,$(call given,BILL)),--bill) $(JSON_FLAG)

##@ Steer
resume: ## Continue an interrupted run from its newest complete checkpoint [RUN ENV HOST SET YES=1 DETACH=1]
	@$(CONTROL) -m runner resume $(RUN_FLAG) $(HOST_FLAGS) $(YES_FLAG) $(DETACH_FLAG)
down: ## Stop a run and remove what it occupies; safe to repeat [RUN CLOSE=1]
	@$(STANDING) -m runner down $(RUN_FLAG) $(if $(filter 1 yes true,$(call given,CLOSE)),--close)
terminate: ## Terminate a run by its mark alone, with nothing but its cloud's key [RUN ENV]
	@$(STANDING) -m runner.cli.terminate $(RUN_FLAG) $(call flag,ENV,--env)

sync: ## Bring a run's checkpoints to its store, or from it with PULL=1 [RUN PULL=1]
	@$(CONTROL) -m runner sync $(if $(filter 1 yes true,$(call given,PULL)),pull,push) $(RUN_FLAG)
sweep: ## Show everything that bills on every configured cloud; terminate what no run is using [APPLY=1 ALL=1]
	@$(STANDING) -m runner sweep $(SWEEP_FLAGS)

prices: ## Rewrite the price lists from the clouds' own listings, or from gpuhunt's [ENV GPUHUNT=1]
	@$(CONTROL) -m runner prices $(call flag,ENV,--env) $(if $(filter 1 yes true,$(call given,GPUHUNT)),--gpuhunt)

##@ Step by step: the steps of `make train`, one at a time; each can be repeated
up: ## Provision the machine [CONFIG DATA ENV HOST SET YES=1]
	@$(CONTROL) -m runner up $(PLAN_FLAGS) $(YES_FLAG)
configure: ## Prepare the machine [RUN]
	@$(CONTROL) -m runner configure $(RUN_FLAG)
launch: ## Bring the data there and start the training [RUN]
	@$(CONTROL) -m runner launch $(RUN_FLAG)
collect: ## Bring the adapter home [RUN]
	@$(CONTROL) -m runner collect $(RUN_FLAG)
rebuild: ## Build the environment on two fresh machines and compare both [CONFIG DATA ENV HOST SET YES=1]
	@$(CONTROL) -m runner rebuild $(PLAN_FLAGS) $(YES_FLAG)

##@ Develop
setup: ## Make the environment of contributors (.venv-dev); the targets below do it when needed
	@$(DEV) -c ''
format: ## Format the Python code
	@$(DEV) ruff format .
lint: lint-format lint-python lint-imports lint-yaml lint-shell lint-locks ## All that reads code without running it
lint-format:
	@$(DEV) ruff format --check --quiet .
lint-python:
	@$(DEV) ruff check --quiet .
lint-imports:
	@$(DEV) lint-imports --no-cache
lint-yaml:
	@$(DEV) yamllint --strict .
lint-shell:
	@$(DEV) shellcheck $(shell git grep -lE '^#!.*\bbash|^#!/bin/sh')
lint-locks:
	@$(DEV) -m requirements.lock --check
types: ## mypy, strict
	@$(DEV) mypy
test: ## The fast tests, offline [ARGS=pytest's own arguments]
	@$(DEV) -m pytest -n auto -m "not slow and not rehearsal and not gpu" $(ARGS)
test-rehearsal: ## Whole life cycles against emulated clouds with real machines; needs root [ARGS]
	@$(DEV) -m pytest -m "rehearsal and not slow" -n 4 --dist loadgroup $(ARGS)
test-rehearsal-chosen: ## Of these, a row of each test and those marked `chosen`: what CI runs [ARGS]
	@$(DEV) -m pytest -m "rehearsal and chosen and not slow" -n 4 --dist loadgroup $(ARGS)
test-slow: ## The slow tests: whole runs on this machine, whole rehearsals among them [ARGS]
	@$(DEV) -m pytest -m slow -n auto --dist loadgroup $(ARGS)
simulate-mutants: ## Whether simulated lives find the planted faults [ARGS=their names]
	@$(DEV) -m tests.simulation.bite $(ARGS)
simulate-coverage: ## Lines of the money code that simulated lives never reach [ARGS=how many lives]
	@$(DEV) -m tests.simulation.reached $(ARGS)
test-gpu: ## The tests that need an NVIDIA GPU; PYTHON has trainer-cuda.lock and pytest [PYTHON ARGS]
	@$(PYTHON) -m pytest tests/gpu $(ARGS)
test-infra: ## Format, validity and tests of the Terraform modules
	@$(DEV) -m infra.check
scan-infra: ## Security faults in the Terraform modules
	@$(SCAN) checkov --config-file infra/.checkov.yaml
test-playbooks: ## ansible-lint, production profile
	@$(DEV) ansible-lint --offline --profile production --strict playbooks inventories
check: lint types test-infra scan-infra test-playbooks ## All that CI runs before the tests, in the same order
lock: ## Resolve all dependencies anew and write the locks in requirements/
	@$(DEV) -m requirements.lock
docs: docs-run-file docs-faults docs-rooms ## Rewrite what documents take from the code: run file, faults, picture of the rooms
docs-run-file:
	@$(DEV) -m runner.cli.run_file_docs
docs-faults:
	@$(DEV) -m runner.rehearsal.fault_docs
docs-rooms:
	@$(DEV) -m docs.draw_rooms
new-cloud: ## Write the skeleton of a cloud and list what is to be written in it [NAME=acme; CHECK=1 only lists]
	@$(DEV) -m infra.new_cloud '$(call given,NAME)' $(if $(filter 1 yes true,$(call given,CHECK)),--check)
clean: ## Remove environments, caches and build output; runs/ stays
	@rm -rf .venv .venv-rehearsal .venv-dev .venv-data .venv-rclone .venv-scan .venv*.before .venv*.lock build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .ansible
