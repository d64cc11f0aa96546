#!/usr/bin/env bash
# Regenerates man pages and shell completions from the argument definitions.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --locked --quiet
flux=target/debug/flux
"$flux" man man
"$flux" completions bash > completions/flux.bash
"$flux" completions zsh > completions/_flux
"$flux" completions fish > completions/flux.fish
git --no-pager diff --stat -- man completions
