# Two commands do all the set-up: `make demo` and `make test`. Needed: Rust, a C compiler, make, Python 3.

# The folder is told by Cargo, so that CARGO_TARGET_DIR and Cargo's own settings count.
TARGET := $(or $(CARGO_TARGET_DIR),target)
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)
export SIDEKEY_BAO = $(shell scripts/fetch-openbao)

.PHONY: help demo test setup fmt lint unit examples-and-demo bench deny

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: ## fetch the real OpenBao server, unless one is installed
	@test -n "$(SIDEKEY_BAO)" || { echo "error: no OpenBao or Vault binary could be found or fetched" >&2; exit 1; }
	@echo "server for tests and demo: $(SIDEKEY_BAO)"

demo: setup ## build, and see it work against a real server in under a minute
	cargo build --release --locked -p sidekey
	$(TARGET)/release/sidekey demo

test: setup fmt lint unit examples-and-demo ## format, lints, all tests, examples, the demo

fmt:
	cargo fmt --all --check

lint:
	cargo clippy --workspace --all-targets --locked -- -D warnings

unit:
ifdef NEXTEST
	cargo nextest run --workspace --locked
	cargo test --workspace --locked --doc
else
	cargo test --workspace --locked
endif

examples-and-demo:
	cargo build --locked -p sidekey
	$(TARGET)/debug/sidekey demo

bench: setup ## the table of README, ours beside bao, nginx and HAProxy
	cargo build --release --locked -p sidekey
	python3 bench/run.py --sidekey $(TARGET)/release/sidekey --bao $(SIDEKEY_BAO) --markdown $(TARGET)/bench.md

deny: ## licences and duplicates, where cargo-deny is installed
	cargo deny check
