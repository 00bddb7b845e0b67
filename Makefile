# One line for each thing a developer does. Environments are made when missing, and renewed when
# pyproject.toml changes. Variables: PYTHON (3.11 or newer), ARGS (handed on to the tool that runs),
# WORKERS (processes that `make test` runs in; 0: none but its own).

PYTHON ?= python3
ARGS ?=
WORKERS ?= 2
TORCH ?= torch==2.13.0
BENCH_PEERS ?= $(TORCH) scikit-learn

VENV := .venv
BIN := $(VENV)/bin
PIP := pip install --quiet --disable-pip-version-check
SITE := build/site
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

.PHONY: help demo test lint types test-oldest test-torch conformance conformance-tenth compatibility
.PHONY: bench clean distclean

help:
	@echo "make demo         train a small model, save it, run and resume it from its file"
	@echo "make test         every test without a marker          (ARGS='tests/compiler -k add')"
	@echo "make lint         ruff, formatting, mypy --strict on an installed copy"
	@echo "make test-oldest  the file format's tests with the oldest supported requirements"
	@echo "make test-torch   tests that compare with torch, in .venv-torch"
	@echo "make conformance  torch's operator database as the judge (ARGS='--ops add,mul')"
	@echo "make conformance-tenth  a fixed tenth of it; make compatibility: all, and the page of it"
	@echo "make bench        timings beside NumPy and torch, in .venv-bench (ARGS='mlp_b1')"
	@echo "make clean        what was built; distclean: the environments too"

# ---- environments: the stamp is newer than pyproject.toml, or the install runs again

$(VENV)/.dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/$(PIP) --editable '.[dev]'
	touch $@

$(VENV)/.examples: $(VENV)/.dev
	$(BIN)/$(PIP) --editable '.[examples]'
	touch $@

.venv-torch/.torch:
	test -x .venv-torch/bin/python || $(PYTHON) -m venv .venv-torch
	.venv-torch/bin/$(PIP) $(TORCH) expecttest hypothesis
	touch $@

.venv-torch/.ready: pyproject.toml .venv-torch/.torch
	.venv-torch/bin/$(PIP) --editable '.[test,examples]'
	touch $@

.venv-bench/.ready: pyproject.toml
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/$(PIP) $(BENCH_PEERS) --editable .
	touch $@

.venv-oldest/.ready: pyproject.toml .ci/oldest.txt
	test -x .venv-oldest/bin/python || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/$(PIP) --constraint .ci/oldest.txt --editable '.[test]'
	touch $@

# ---- what to run

demo: $(VENV)/.examples
	$(BIN)/python examples/demo.py $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) --no-print-directory types

# Type checkers do not follow the hook of an editable install, so a copy is installed and checked;
# its paths are printed as those of the tree. build/lib would carry removed modules into the copy.
types: $(VENV)/.dev
	rm -rf $(SITE) build/lib
	$(BIN)/$(PIP) --no-deps --no-build-isolation --target $(SITE) .
	MYPYPATH=$(SITE) $(BIN)/mypy --strict benchmarks
	MYPYPATH=$(SITE) $(BIN)/mypy --strict -p intaglio $(ARGS) \
		| sed -E 's#^$(SITE)/intaglio/(compiler|runtime|schemas|tools)/#\1/#; s#^$(SITE)/intaglio/#frontend/#'

OLDEST_TESTS = tests/project $(wildcard tests/schemas tests/runtime/file tests/file)
test-oldest: .venv-oldest/.ready
	.venv-oldest/bin/python -m pytest -q $(OLDEST_TESTS) $(ARGS)

test-torch: .venv-torch/.ready
	.venv-torch/bin/python -m pytest -q -m torch $(ARGS)

# The core list in every mode and dtype, then the whole database eagerly; ARGS='--ops add,mul' asks
# for one run of one's own instead. Two run at a time, to the end, before a broken bar fails the target.
JUDGE = .venv-torch/bin/python tests/conformance/judge.py
JUDGED = build/judge
conformance: .venv-torch/.ready
	mkdir -p $(JUDGED)
ifdef ARGS
	$(JUDGE) $(ARGS)
else
	$(JUDGE) $(TENTH) --hold --tier1 --modes eager,jit,file --json $(JUDGED)/core.json & core=$$!; held=0; \
	$(JUDGE) $(TENTH) --hold --tier1 --dtypes float32,bfloat16,int32,bool --json $(JUDGED)/dtypes.json || held=1; \
	$(JUDGE) $(TENTH) --hold --json $(JUDGED)/whole.json || held=1; \
	wait $$core || held=1; exit $$held
endif

conformance-tenth:
	$(MAKE) --no-print-directory conformance TENTH=--tenth JUDGED=build/judge-tenth

# The page is written of a run over all samples, whether or not every bar held.
compatibility:
	-$(MAKE) --no-print-directory conformance
	.venv-torch/bin/python tests/conformance/table.py \
		$(addprefix $(JUDGED)/,whole.json core.json dtypes.json) > docs/compatibility.md

bench: .venv-bench/.ready
	.venv-bench/bin/python -m benchmarks $(ARGS)

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache benchmarks/results

distclean: clean
	rm -rf .venv .venv-torch .venv-bench .venv-oldest
