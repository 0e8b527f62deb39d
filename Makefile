# run: build and run the main job.  test: the whole suite.  bench: the figures, into out/bench.json.
# simulate: the simulator for SECONDS=600, on every core.
# check: lint, types, tidiness and the core built with every check on.  clean: remove what the build made.
PYTHON := .venv/bin/python
JOBS := $(shell nproc 2>/dev/null || echo 2)
SECONDS := 600
COMPILED := setup.py $(wildcard ext/*.pyx ext/*.pxd loadtest/*.pyx loadtest/*.pxd) $(shell find proto -name '*.proto')
PACKAGES := ext gateway loadtest risk_rules

.PHONY: run test bench simulate check clean build checked
.DEFAULT_GOAL := test

run: build
	.venv/bin/tidegate load run --demo

test: build
	$(PYTHON) -m pytest

bench: build
	$(PYTHON) -m tests.benchmarks

simulate: build
	$(PYTHON) -m tests.simulation --seconds $(SECONDS) --jobs $(JOBS)

check: build checked
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy gateway risk_rules
	$(PYTHON) -m pytest tests/test_tidy.py

# A second tree whose core has bounds, overflow and None checks on and its assertions kept; the same tests run in it.
checked: build
	mkdir -p build/checked
	tar -cf - --exclude='*.so' --exclude='*.c' --exclude=__pycache__ --exclude=node_modules --exclude=pb \
	    $(PACKAGES) proto tests setup.py pyproject.toml $(wildcard docs) | tar -xf - -C build/checked
	cd build/checked && export TIDEGATE_CHECKED=1 && ../../$(PYTHON) setup.py -q build_ext --inplace --parallel $(JOBS) \
	    && ../../$(PYTHON) -m pytest --ignore=tests/test_tidy.py

build: .venv/.built .venv/.installed

.venv/.packages: requirements.lock .ci/bootstrap
	bash .ci/bootstrap
	touch $@

.venv/.built: .venv/.packages $(COMPILED)
	$(PYTHON) setup.py -q build_ext --inplace --parallel $(JOBS)
	touch $@

# The extensions are built in place above; installing only links this tree and its command into .venv.
.venv/.installed: .venv/.built pyproject.toml
	TIDEGATE_LINK_ONLY=1 $(PYTHON) -m pip install -qq --no-deps --no-build-isolation --no-input \
	    --disable-pip-version-check --editable .
	touch $@

clean:
	rm -rf build out .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info gateway/pb .venv/.built .venv/.installed
	rm -f $(foreach package,$(PACKAGES),$(package)/*.so $(package)/*.c)
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
