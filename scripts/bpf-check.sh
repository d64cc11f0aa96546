#!/usr/bin/env bash
# Whether bpf/generated is what the sources in bpf/ give. Changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v clang >/dev/null || exec scripts/skip.sh "bpf-check needs Debian package clang"
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
FLUX_BPF_GENERATED=$fresh cargo check --locked --no-default-features --features bpf-gen
diff -rq bpf/generated "$fresh" || { echo "error: bpf/generated is stale: run 'make bpf' and commit"; exit 1; }
