#!/usr/bin/env bash
# rustfmt, clippy in every set of features that somebody may choose, rustdoc, shellcheck. All of them
# run, whatever one of them finds.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
status=0

cargo fmt --check || status=1
# The first set is the default one; the last is the library alone.
for features in cli,bpf,async cli tools bpf async ""; do
    echo "clippy: features ${features:-(none)}"
    cargo clippy --locked --all-targets --no-default-features --features "$features" -- -D warnings || status=1
done
RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --lib || status=1
if command -v shellcheck >/dev/null; then
    shellcheck .ci/run .githooks/* scripts/*.sh scripts/guests/* tests/support/lab.sh || status=1
else
    scripts/skip.sh "shellcheck needs Debian package shellcheck" || status=1
fi
exit $status
