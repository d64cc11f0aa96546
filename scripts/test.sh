#!/usr/bin/env bash
# What `make test` runs, tests first. A step that fails does not keep the others from running: the
# summary at the end names every failure.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

if [ "${CI:-}" = true ]; then
    export FLUX_SKIP=fail # what cannot run is a failure there
    if [ "$(id -u)" -ne 0 ]; then
        echo "CI must run as root: the tests on the real kernel are never skipped there" >&2
        exit 1
    fi
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "Not root: the tests on the real kernel (AF_XDP over veth) are skipped"
fi
# Nothing is built twice here, and half of target/ would be for that.
export CARGO_INCREMENTAL=0

logs=${CARGO_TARGET_DIR:-target}/test-logs
rm -rf "$logs"
mkdir -p "$logs"
tree() { git status --porcelain 2>/dev/null || true; }
before=$(tree)

failed=()
step() { # TARGET WHAT: a step is a target of the Makefile
    local start=$SECONDS
    printf '\n== %s\n' "$2"
    make -s "$1" 2>&1 | tee "$logs/$1"
    # shellcheck disable=SC2181 # the status of the pipe
    [ $? -eq 0 ] || failed+=("make $1: $2")
    printf '== %s: %d s\n' "$1" $((SECONDS - start))
}

step unit "tests: units, command line, simulator, real kernel"
step bare "tests of the library alone (no clang, no libbpf, no command line)"
step loom "loom: ring, free list, wakeup"
step lint "rustfmt, clippy in every feature set, rustdoc, shellcheck"
step bpf-check "the BPF programs: checked-in objects against their sources"
step fuzz-check "the fuzz targets compile"
step msrv "rust-version is true"

[ "$(tree)" = "$before" ] || failed+=("the tests changed files of the work tree: see git status")

printf '\n== summary after %d s\n' "$SECONDS"
skips() { sed -n 's/.*SKIP: //p' "$logs"/*; }
skipped=$(skips | wc -l)
if [ "$skipped" -gt 0 ]; then
    echo "skipped, by reason:"
    skips | sed 's/ \[[^]]*\]$//' | sort | uniq -c | sort -rn # without the test's name
fi
for what in "${failed[@]}"; do echo "FAILED: $what"; done
grep -hE '^test .* FAILED$|^error: (test failed|could not compile)' "$logs"/* | sort -u
# Tests that were skipped ended well for cargo. A step that failed without a failed test is one more.
awk '/^test result:/ {
         for (i = 2; i <= NF; i++) { if ($i == "passed;") passed += $(i - 1); if ($i == "failed;") failed += $(i - 1) }
     }
     /SKIP: .*\]$/ { passed-- }
     END { printf "%d passed, %d failed, %d skipped\n", passed, (failed > steps ? failed : steps), skipped }' \
    skipped="$skipped" steps="${#failed[@]}" "$logs"/*
[ ${#failed[@]} -eq 0 ]
