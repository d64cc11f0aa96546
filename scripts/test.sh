#!/usr/bin/env bash
# Everything `make test` runs, in order, cheapest failure first.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\n== %s\n' "$*"; }

if [ "$(id -u)" -eq 0 ]; then
    export FLUX_LAB=require # a test that cannot run is a failure, not a skip
elif [ "${CI:-}" = true ]; then
    echo "CI must run as root: the tests on the real kernel are never skipped there" >&2
    exit 1
else
    echo "SKIP: not root, so the tests on the real kernel (AF_XDP over veth) do not run"
fi

step "format and lint"
make -s lint
step "the XDP program: checked-in object against its source"
make -s bpf-check
step "tests"
make -s unit
step "tests without default features (no clang, no libbpf, no command line)"
make -s bare
step "loom: ring, free list, wakeup"
make -s loom
