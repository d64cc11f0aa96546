#!/usr/bin/env bash
# What `make test` runs, tests first. A step that fails does not keep the others from running: the
# summary at the end names every failure.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
PATH=$PATH:/usr/sbin:/sbin # nft, ethtool: su does not give these to root

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

trap 'exit 130' INT # or make's own end would count as a failed step, and the next one begin
steps=() failed=()
step() { # TARGET WHAT: a step is a target of the Makefile
    local start=$SECONDS
    steps+=("$1")
    printf '\n== %s\n' "$2"
    make -s "$1" 2>&1 | tee "$logs/$1"
    # shellcheck disable=SC2181 # the status of the pipe
    [ $? -eq 0 ] || failed+=("$1")
    printf '== %s: %d s\n' "$1" $((SECONDS - start))
}

step unit "tests: units, command line, simulator, real kernel"
step bare "tests of the library alone (no clang, no libbpf, no command line)"
step loom "loom: ring, free list, wakeup"
step lint "rustfmt, clippy in every feature set, rustdoc, shellcheck"
step bpf-check "the BPF programs: checked-in objects against their sources"
step fuzz-check "the fuzz targets compile"
step msrv "rust-version is true"

# The names of the failed tests in a log: the last list before each result, as other output may stand
# within the lines of single tests.
failures() { awk '/^failures:$/ { names = "" } /^    / { names = names $0 "\n" } /^test result: FAILED/ { printf "%s", names }' "$1"; }

printf '\n== summary after %d s\n' "$SECONDS"
skips() { sed -n 's/.*SKIP: //p' "$logs"/*; }
skipped=$(skips | wc -l)
if [ "$skipped" -gt 0 ]; then
    echo "skipped, by reason:"
    skips | sed 's/ \[[^]]*\]$//' | sort | uniq -c | sort -rn # without the test's name
fi
wrong=0 # failed tests, and failed steps without one
for name in "${failed[@]}"; do
    echo "FAILED: make $name (all of it: $logs/$name)"
    names=$(failures "$logs/$name")
    if [ -n "$names" ]; then
        echo "$names"
        wrong=$((wrong + $(wc -l <<<"$names")))
    else
        grep -E '^(error|Diff in|In .* line|Files .* differ| *--> )' "$logs/$name" | head -20 | sed 's/^/    /'
        wrong=$((wrong + 1))
    fi
done
after=$(tree)
if [ "$after" != "$before" ]; then
    echo "FAILED: the tests changed files of the work tree:"
    diff <(echo "$before") <(echo "$after") | sed -n 's/^[<>]/   /p'
    wrong=$((wrong + 1))
fi
[ ${#failed[@]} -eq 0 ] || echo "${#failed[@]} of ${#steps[@]} steps failed"
# A test that was skipped has passed for cargo.
passed=$(awk '/^test result:/ { for (i = 2; i <= NF; i++) if ($i == "passed;") n += $(i - 1) }
    /SKIP: .*\]$/ { n-- } END { print n + 0 }' "$logs"/*)
echo "$passed passed, $wrong failed, $skipped skipped"
[ "$wrong" -eq 0 ]
