# Everything a newcomer runs. `setup` is done by the others when it is needed; a second run costs nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
# Programs that tests and benchmarks start must not compile all they import anew each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test conformance soak soak-hour fuzz lint gen bench bench-repo image docs clean

help: ## say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.installed $(VENV)/.native .tools/.fetched ## install what is missing: packages, .venv, .tools

$(VENV)/.installed: requirements.lock pyproject.toml hatch_build.py scripts/setup.sh scripts/packages.sh
	@PYTHON="$(PYTHON)" scripts/setup.sh $(VENV)
	@touch $@

$(VENV)/.native: $(VENV)/.installed $(wildcard src/holdfast/repo/native/*.[ch]) src/holdfast/movers/datasafed/client.c scripts/build_native.py
	@$(BIN)/python scripts/build_native.py
	@touch $@

.tools/.fetched: scripts/fetch-tools.sh scripts/packages.sh
	@scripts/fetch-tools.sh .tools trixie
	@touch $@

.tools/restic/.fetched: .tools/.fetched
	@scripts/fetch-tools.sh .tools bookworm sid
	@touch $@

demo: setup ## back up and restore real data of this machine, and prove it
	@$(BIN)/holdfast demo

.tools/azurite/.fetched: scripts/fetch-azurite.sh $(VENV)/.installed
	@scripts/fetch-azurite.sh .tools/azurite $(VENV)
	@touch $@

.tools/promtool/.fetched: scripts/fetch-promtool.sh .tools/.fetched
	@scripts/fetch-promtool.sh .tools/promtool
	@touch $@

.tools/.test-packages: scripts/test-packages.sh scripts/packages.sh .tools/.fetched
	@scripts/test-packages.sh
	@touch $@

test: setup .tools/.test-packages .tools/restic/.fetched .tools/azurite/.fetched .tools/promtool/.fetched ## run every test
	@$(BIN)/python -m pytest -n 3 --dist loadfile

conformance: setup .tools/.test-packages ## run the API suite against another cluster: KUBEBUILDER_ASSETS= (etcd, kube-apiserver) or HOLDFAST_TEST_KUBECONFIG=
	@test -n "$(KUBEBUILDER_ASSETS)$(HOLDFAST_TEST_KUBECONFIG)" || \
		{ echo "name a folder with etcd and kube-apiserver in KUBEBUILDER_ASSETS, or a kubeconfig in HOLDFAST_TEST_KUBECONFIG" >&2; exit 1; }
	@$(BIN)/python -m pytest -m api tests/conformance/test_api_*.py tests/conformance/test_kube_client.py

soak: setup .tools/.test-packages .tools/restic/.fetched ## run the long crash, fault and model series: make soak SEED=1 N=3
	@SOAK_SEED=$(or $(SEED),1) SOAK_N=$(or $(N),3) $(BIN)/python -m pytest -s tests/soak tests/model/test_repo_model.py tests/e2e/test_repo_hostile.py tests/conformance/test_api_crash.py

soak-hour: setup ## schedules under an operator that is killed every minute: make soak-hour MINUTES=60 SCHEDULES=200
	@$(BIN)/python -m tests.soak.hour --minutes $(or $(MINUTES),60) --schedules $(or $(SCHEDULES),200) --shards $(or $(SHARDS),1)

fuzz: setup ## feed the native module with broken input under the compiler's sanitizers: make fuzz N=20000
	@scripts/fuzz_native.sh $(or $(N),20000)

lint: setup ## style, types and layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-cache

gen: setup ## write CRDs and reference pages from the types
	@$(BIN)/holdfast gen

bench: setup .tools/restic/.fetched ## measure the repository against stock restic, in small: two minutes
	@$(BIN)/python -m benchmarks.repository --only large --only small --scale 0.1

bench-repo: setup .tools/restic/.fetched ## measure it in full, against restic, borg and rclone: half an hour
	@scripts/bench-tools.sh
	@$(BIN)/python -m benchmarks.repository

image: setup ## build the image's file system without a container engine, and run what is in it: three minutes
	@rm -rf build/image && scripts/image-rootfs.sh build/image
	@HOLDFAST_IMAGE=build/image $(BIN)/python -m pytest deploy/image/test_image.py

docs: gen ## generate the reference, then check that every link leads somewhere
	@$(BIN)/python scripts/check_links.py

clean: ## remove what setup made
	rm -rf $(VENV) .tools
