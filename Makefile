# One entry for everything: `make demo` shows the tool, `make test` is the test.
SHELL := /bin/bash
CARGO ?= cargo
LOOM = RUSTFLAGS="--cfg flux_loom $(MUTANT)" CARGO_TARGET_DIR=target/loom \
       $(CARGO) test --release --no-default-features --test loom_core
PREFIX ?= /usr/local

.PHONY: help build demo test test-long soak test-zerocopy test-kernels deps lint unit bare loom loom-full \
        loom-mutants bpf-check bpf gen \
        fuzz-check msrv bench bench-forward bench-peers bench-rings bench-trace fuzz install clean

help: ## This list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## Release build of flux
	@scripts/deps.sh build
	$(CARGO) build --release --locked

demo: build ## Build, then flux ping, trace, rings and doctor: simulated and, as root, over a veth pair
	@scripts/demo.sh

test: ## The test: unit, property, command-line, real kernel (as root), loom, then lint and the rest
	@scripts/deps.sh test
	@scripts/test.sh

deps: ## Install the Debian packages that building and testing need (FLUX_NO_INSTALL=1: name them)
	@scripts/deps.sh test

lint: ## rustfmt, clippy in every feature set, rustdoc, shellcheck
	@scripts/lint.sh

unit: ## All tests of the default build; as root also those on the real kernel
	$(CARGO) test --locked --no-fail-fast

bare: ## The library without clang, libbpf and the command line: its own tests and the simulator's
	$(CARGO) test --locked --no-fail-fast --no-default-features --lib --test core --test sim

STEPS ?= 10000000
SOAK ?= 600
soak: ## As root, 10 minutes: two ports forward through faults; memory stays flat and counters exact
	FLUX_SOAK_S=$(SOAK) $(CARGO) test --locked --release --test lab soak -- --ignored --nocapture

test-long: ## STEPS random steps of every mode in a release build, minutes: frames and counters hold
	FLUX_STEPS=$(STEPS) $(CARGO) test --locked --release --no-default-features --test sim \
	invariants -- --ignored --nocapture

test-zerocopy: ## By hand, ten minutes: zero-copy in QEMU guests with virtio_net and igb (ONLY=igb; no root)
	@scripts/guests/test.sh zerocopy $(ONLY)

test-kernels: ## By hand, minutes: Linux 5.10 to 7 in QEMU guests (ONLY="5.10 6.1"; no root)
	@scripts/guests/test.sh kernels $(ONLY)

loom: ## Model-check ring, free list and wakeup (three preemptions)
	LOOM_MAX_PREEMPTIONS=3 $(LOOM)

loom-full: ## The same without a bound
	$(LOOM)

loom-mutants: ## Weaken one ordering at a time: each must be noticed
	@for m in publish observe give take fence; do \
	  if LOOM_MAX_PREEMPTIONS=3 $(MAKE) -s loom MUTANT="--cfg flux_mutant=\\\"$$m\\\"" >/dev/null 2>&1; \
	  then echo "mutant '$$m' was not noticed"; exit 1; else echo "mutant '$$m' noticed"; fi; done

bpf: ## Recompile bpf/*.bpf.c into bpf/generated (needs clang)
	$(CARGO) check --locked --no-default-features --features bpf-gen

bpf-check: ## Fail when bpf/generated is not what the sources give; changes nothing
	@scripts/bpf-check.sh

# As cargo-fuzz has it, but libFuzzer itself (C++) is only needed to link.
fuzz-check: ## Fail when a fuzz target does not compile
	RUSTFLAGS='--cfg fuzzing' CUSTOM_LIBFUZZER_PATH=/nonexistent/libfuzzer.a \
	$(CARGO) check --locked --manifest-path fuzz/Cargo.toml --target-dir target/fuzz

msrv: ## Fail when the crate does not build with the rust-version of Cargo.toml
	@scripts/msrv.sh

gen: ## Regenerate man pages and completions
	@scripts/gen.sh

bench: ## Criterion benchmarks, and ping against its peers (as root)
	$(CARGO) bench --locked
	@scripts/bench-ping.sh

bench-peers: ## As root: against the AF_XDP peers in PATH and FLUX_PEERS (ARGS="--quick --instructions")
	$(CARGO) bench --locked --bench peers -- $(ARGS)

bench-forward: ## As root: TCP through the example with two ports against the kernel's bridge (needs iperf3)
	@scripts/bench-forward.sh

bench-rings: ## As root: what flux rings costs the owner of the rings, and what a look takes
	@scripts/bench-rings.sh

bench-trace: ## As root: flux trace against traceroute and mtr over 12 routers, start to exit
	@scripts/bench-trace.sh

T ?= 30
fuzz: ## Run each fuzz target for T seconds (needs cargo-fuzz and a nightly toolchain)
	@scripts/fuzz.sh $(T)

install: build ## Install binary, man pages and completions under PREFIX
	install -D -m755 target/release/flux $(DESTDIR)$(PREFIX)/bin/flux
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m644 man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -d $(DESTDIR)$(PREFIX)/share/man/man7
	install -m644 man/*.7 $(DESTDIR)$(PREFIX)/share/man/man7/
	install -D -m644 completions/flux.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/flux
	install -D -m644 completions/_flux $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_flux
	install -D -m644 completions/flux.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/flux.fish

clean: ## Remove build results
	$(CARGO) clean
