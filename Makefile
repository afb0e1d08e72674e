.DEFAULT_GOAL := help
.PHONY: help setup run test torture bench check up up-docker down status requirements clean

EXPERIMENT ?= experiments/redis-timeout.yaml
BIN := .venv/bin
# Whole systems under load: beside the hurried small tests they would not be given their time.
# The files that take long come first, so that those who share them end together.
WHOLE := tests/docker tests/run tests/stack tests/race tests/reference

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv with everything in it, once
	@scripts/setup.sh

run: setup ## One experiment against the reference system: EXPERIMENT=experiments/redis-timeout.yaml
	@scripts/run.sh $(EXPERIMENT)

test: setup ## Pass the tests: TESTS=tests/stack for a part, WITHOUT=tests/docker for all but one
ifdef TESTS
	@$(BIN)/python -m pytest $(TESTS)
else
	@$(BIN)/python -m pytest -n 4 --dist loadfile $(addprefix --ignore=,$(WITHOUT) $(WHOLE)) tests
	@$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(filter-out $(WITHOUT),$(WHOLE))
endif

torture: setup ## End runs in every way at random moments: KILLS=100 EACH=10
	@$(BIN)/python -m tests.torture --kills $(or $(KILLS),30) --each $(or $(EACH),3)

bench: setup ## Measure the load engine and the race's release beside others: BENCH=race or judge for a part
	@$(BIN)/python -m benchmarks $(if $(BENCH),--only $(BENCH))

check: setup ## Read the code: ruff and mypy
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

up: setup ## Bring the reference system up: PROFILE=tuned or untuned
	@$(BIN)/perfchaos up $(if $(PROFILE),--profile $(PROFILE))

up-docker: setup ## Bring it up in containers: PROFILE=tuned or untuned
	@images=$$(scripts/docker-images.sh) && \
		env $$images $(BIN)/perfchaos up --docker $(if $(PROFILE),--profile $(PROFILE))

down: setup ## Take the reference system down
	@$(BIN)/perfchaos down

status: setup ## Show how the reference system stands
	@$(BIN)/perfchaos status

requirements: setup ## Pin the requirements again: UV_FLAGS=--upgrade for the newest
	@scripts/requirements.sh $(UV_FLAGS)

clean: ## Take the reference system down and delete what setup made
	@if [ -x $(BIN)/perfchaos ]; then $(BIN)/perfchaos down; fi
	rm -rf .venv .setup build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
