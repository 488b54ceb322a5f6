# Two commands do all the set-up: `make demo` and `make test`. Needed: Rust, a C compiler, make, Python 3.

# The folder is told by Cargo, so that CARGO_TARGET_DIR and Cargo's own settings count.
TARGET := $(or $(CARGO_TARGET_DIR),target)
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)
# Read by the shell of a recipe, so that only what needs a server fetches one.
WITH_SERVER := SIDEKEY_BAO="$$(scripts/fetch-openbao)"
WITH_VERIFIERS := SIDEKEY_VERIFIERS="$$(scripts/fetch-verifiers)"
WITH_CLIENTS := SIDEKEY_CLIENTS="$$(scripts/fetch-clients)"

.PHONY: help demo test setup server fmt lint unit story release bench fuzz deny

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: server ## all that tests need: the real OpenBao server, a KDC, PostgreSQL, verifiers, clients; fetched unless installed
	@scripts/kerberos-for-tests
	@scripts/postgres-for-tests
	@verifiers=$$(scripts/fetch-verifiers) && echo "clouds' own verifiers for tests: $$verifiers"
	@clients=$$(scripts/fetch-clients) && echo "clients for tests: $$clients"

server:
	@server=$$(scripts/fetch-openbao) && echo "server for tests and demo: $$server"

demo: server ## build, and see it work against a real server in under a minute
	cargo build --release --locked -p sidekey
	$(WITH_SERVER) $(TARGET)/release/sidekey demo

test: setup fmt lint unit story ## format, lints, all tests, examples, the demo

fmt:
	cargo fmt --all --check

lint:
	cargo clippy --workspace --all-targets --all-features --locked -- -D warnings

unit:
ifdef NEXTEST
	$(WITH_SERVER) $(WITH_VERIFIERS) $(WITH_CLIENTS) cargo nextest run --workspace --locked
	cargo test --workspace --locked --doc
else
	$(WITH_SERVER) $(WITH_VERIFIERS) $(WITH_CLIENTS) cargo test --workspace --locked
endif

# The examples run in the tests (crates/sidekey/tests/it/examples.rs).
story:
	cargo build --locked -p sidekey
	$(WITH_SERVER) $(TARGET)/debug/sidekey demo

# What counts as its sources, so that it is built anew when it has to be.
SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml -o -name '*.txt' -o -name '*.json') Cargo.toml Cargo.lock scripts/build-release
RELEASED := $(TARGET)/guided/sidekey

release: $(RELEASED) ## the program as it is released: target/guided/sidekey (some ten minutes)

$(RELEASED): $(SOURCES)
	scripts/build-release

bench: server release ## the table of README, ours as released, beside bao, nginx and HAProxy
	cargo build --release --locked -p testkit --example open_loop --example bare_forwarder
	cargo build --release --locked -p cache --example measure
	python3 bench/run.py --sidekey $(RELEASED) --examples $(TARGET)/release/examples \
		--bao "$$(scripts/fetch-openbao)" --markdown $(TARGET)/bench.md

FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?= lex_parse execute structured regex layout duration framing target header_rules planted location frames

# No code that is fuzzed is unsafe, so there is nothing for a sanitizer to see; it would only build and run more slowly.
fuzz: ## each fuzz target for FUZZ_SECONDS, one after the other (needs nightly and cargo-fuzz)
	@cargo +nightly --version >/dev/null 2>&1 || { echo "fuzzing needs a nightly compiler: rustup toolchain install nightly"; exit 1; }
	@cargo fuzz --version >/dev/null 2>&1 || { echo "fuzzing needs cargo-fuzz: cargo install cargo-fuzz --locked"; exit 1; }
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/corpus/$$target; \
		cargo +nightly fuzz run --sanitizer none $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=4096 -print_final_stats=1 || exit 1; \
	done

deny: ## licences and duplicates, where cargo-deny is installed
	cargo deny check
