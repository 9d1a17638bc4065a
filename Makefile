# The project's commands: every one works on a fresh machine with Python 3.11, cargo and make.
# `make help` lists them. Settings: PYTHON=python3.12, FAST=1 (leave slow tests out), ARGS="..." (to pytest),
# FUZZ_SECONDS=20 (for each fuzz target).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
PROTOC := $(VENV)/protos
CARGO_FUZZ := target/tools/bin/cargo-fuzz
FUZZ := rust/core/fuzz
FUZZ_SECONDS ?= 20

# In processes of their own, so that a test that hangs or aborts fails alone; two, since most tests mostly wait.
TEST_PROCESSES ?= 2
PYTEST = $(BIN)/python -m pytest $(if $(FAST),-m "not slow")

# Crates outside the workspace: each has dependencies that the package must not be built with.
OTHER_CRATES := $(wildcard $(FUZZ)/Cargo.toml tools/vectors/Cargo.toml benchmarks/rust/Cargo.toml)

# One interpreter for everything cargo builds, so that nothing is built twice.
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python

RUST := $(shell find rust/core/src rust/py -name '*.rs' -o -name Cargo.toml) rust/core/Cargo.toml Cargo.toml Cargo.lock

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: env
env: $(VENV)/.core ## make .venv with everything built; again only when something it is made from changed

$(VENV)/.python: pyproject.toml
	@command -v $(PYTHON) > /dev/null || { echo "make: $(PYTHON) not found: install Python 3.11 or newer, or say make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is too old: Python 3.11 or newer is needed" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "make: $(PYTHON) has no venv module: install it (Debian: python3-venv)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@

$(VENV)/.core: $(VENV)/.python $(RUST)
	@command -v cargo > /dev/null || { echo "make: cargo not found: install Rust 1.85 or newer (https://rustup.rs)" >&2; exit 1; }
	PIP_QUIET=1 $(BIN)/maturin develop --quiet --release --locked --extras bench,cli,grpc,momento
	@touch $@

.PHONY: demo
demo: env ## measure the talk's four columns here, in about a minute: a table, demo.json and demo.png
	$(BIN)/protosocket bench talk --json demo.json --plot demo.png

BENCH := $(VENV)/bench
BENCH_SECONDS ?= 720

.PHONY: bench
bench: env $(BENCH)/.stamp ## measure this project beside its peers for BENCH_SECONDS (720): benchmarks/results
	cargo build --quiet --release --locked --manifest-path benchmarks/rust/Cargo.toml
	rm -f benchmarks/results/report.json
	status=0; $(BENCH)/bin/python -m benchmarks run --seconds $(BENCH_SECONDS) $(ARGS) || status=$$?; \
		$(BENCH)/bin/python -m benchmarks report; exit $$status

# The peers in an environment of their own, which sees all that .venv holds.
$(BENCH)/.stamp: $(VENV)/.python benchmarks/requirements.txt
	test -x $(BENCH)/bin/python || $(BIN)/python -m venv $(BENCH)
	site='import sysconfig; print(sysconfig.get_path("purelib"))'; \
		echo "import site; site.addsitedir('$$($(BIN)/python -c "$$site")')" > "$$($(BENCH)/bin/python -c "$$site")/venv.pth"
	$(BENCH)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BENCH)/bin/python -m pip install --quiet --requirement benchmarks/requirements.txt
	@touch $@

.PHONY: interop
interop: ## build the programs at the other end in the tests: the Rust crates, rmemstore, Momento's SDK
	@command -v cargo > /dev/null || { echo "make: cargo not found: install Rust 1.85 or newer (https://rustup.rs)" >&2; exit 1; }
	cargo build --quiet --release --locked --manifest-path interop/Cargo.toml

.PHONY: interop-table
interop-table: env interop ## run the tests with real peers and write their table into docs/interop.md
	$(BIN)/python -m pytest tests/interop --interop-table docs/interop.md

.PHONY: interop-fuzz
interop-fuzz: env interop ## compare the Rust crates' decoders and ours on 100,000 random streams
	$(BIN)/python -m tests.interop.differential $(ARGS)

.PHONY: costs
costs: env ## count what a message costs in instructions, allocations and system calls (needs valgrind)
	$(BIN)/python tools/measure_costs.py $(ARGS)

# The tests with real peers run in one process: their table is made from what all of them have found.
.PHONY: test
test: env ## run every test, of Rust and of Python
	cargo test --quiet --locked --package protosocket-core
	$(PYTEST) --numprocesses $(TEST_PROCESSES) --dist worksteal $(if $(ARGS),$(ARGS),--ignore tests/interop)
	$(if $(ARGS),,$(PYTEST) --numprocesses 1 tests/interop)

# Without what leaves the documented ways of CPython and asyncio: a new Python version must work so, at least.
.PHONY: test-plain
test-plain: env ## run the fast tests of Python without any trick with CPython's and asyncio's insides
	PROTOSOCKET_PLAIN_ASYNCIO=1 $(BIN)/python -m pytest -m "not slow" --numprocesses $(TEST_PROCESSES) \
		--dist worksteal $(if $(ARGS),$(ARGS),--ignore tests/interop)

.PHONY: test-pythons
test-pythons: ## run the fast tests with Debian's Python 3.13 and Rust 1.85, then Python 3.14 (as root, in chroots)
	tools/other-python trixie make test FAST=1 PYTHON=python3.13
	tools/other-python sid make test FAST=1 PYTHON=python3.14

# What goes through most of the native code's borrows, in about a minute. One of the tests is about what comes first
# within a millisecond, which is too short here.
DEBUG := target/debug/python
DEBUG_TESTS ?= $(addprefix tests/test_,debug_build.py finalizers.py rpc_calls.py rpc_cancel.py rpc_exchanges.py \
	rpc_handlers.py rpc_started_calls.py rpc_tasks.py connection_stream.py engine.py cache_protosocket.py)

.PHONY: debug
debug: env ## run tests on a debug build of the native code, which aborts where Python code may run while state is borrowed
	cargo build --quiet --locked --package protosocket-py
	rm -rf $(DEBUG) && mkdir $(DEBUG) && cp -r src/protosocket $(DEBUG)
	rm -f $(DEBUG)/protosocket/_core*.so && cp target/debug/lib_core.so $(DEBUG)/protosocket/_core.so
	PYTHONPATH=$(DEBUG) $(BIN)/python -m pytest --capture=sys -p tests.debug_build -m "not slow" $(DEBUG_TESTS) \
		--deselect tests/test_rpc_tasks.py::test_random_programs_run_as_in_asyncios_own_tasks $(ARGS)

.PHONY: lint
lint: env $(PROTOC)/.stamp ## check format, types, layers, the native stub and the generated modules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright --warnings
	$(BIN)/python -m mypy.stubtest protosocket._core --mypy-config-file pyproject.toml
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/python tools/check_private_imports.py
	$(BIN)/python tools/check_rust_modules.py
	$(PROTOC)/bin/python tools/generate_protos.py --check
	$(BIN)/python tools/generate_dissector.py --check
	cargo fmt --all --check
	for crate in $(OTHER_CRATES); do cargo fmt --manifest-path $$crate --check; done
	cargo fmt --manifest-path interop/Cargo.toml --all --check
	cargo clippy --quiet --locked --workspace --all-targets -- --deny warnings

.PHONY: format
format: env ## lay out Python and Rust, and mend what can be mended by itself
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format
	cargo fmt --all
	for crate in $(OTHER_CRATES); do cargo fmt --manifest-path $$crate; done
	cargo fmt --manifest-path interop/Cargo.toml --all

.PHONY: protos
protos: env $(PROTOC)/.stamp ## generate the Python modules of the .proto files, and the dissector's tables
	$(PROTOC)/bin/python tools/generate_protos.py
	$(BIN)/python tools/generate_dissector.py

$(PROTOC)/.stamp: $(VENV)/.python
	test -x $(PROTOC)/bin/python || $(BIN)/python -m venv $(PROTOC)
	$(PROTOC)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(PROTOC)/bin/python -m pip install --quiet --group protos
	@touch $@

# Fuzzing needs switches that only the nightly compiler admits to; the variable opens them in the installed one.
.PHONY: fuzz
fuzz: $(CARGO_FUZZ) ## feed the core random bytes, 20 seconds for each fuzz target
	targets=$$($(CARGO_FUZZ) list --fuzz-dir $(FUZZ)); for target in $$targets; do \
		RUSTC_BOOTSTRAP=1 $(CARGO_FUZZ) run --fuzz-dir $(FUZZ) $$target -- -max_total_time=$(FUZZ_SECONDS); \
	done

$(CARGO_FUZZ):
	cargo install --quiet --locked --root target/tools cargo-fuzz@0.13.2

.PHONY: vectors
vectors: ## write tests/vectors again with the published Rust crates
	cargo run --quiet --locked --manifest-path tools/vectors/Cargo.toml

.PHONY: clean
clean: ## remove everything that was built or measured
	rm -rf $(VENV) target $(FUZZ)/target tools/vectors/target benchmarks/rust/target interop/target benchmarks/results build dist demo.json demo.png .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f src/protosocket/_core*.so
	find src tests tools -name __pycache__ -prune -exec rm -rf {} +
