#!/usr/bin/env bash
# Runs every fuzz target for a while. Usage: fuzz.sh SECONDS
set -euo pipefail
cd "$(dirname "$0")/.."
if ! cargo fuzz --version >/dev/null 2>&1; then
    echo "SKIP: cargo-fuzz is not installed (cargo install cargo-fuzz)"
    exit 0
fi
for target in $(cargo +nightly fuzz list); do
    cargo +nightly fuzz run --sanitizer none "$target" -- -max_total_time="${1:-30}" -max_len=2048
done
