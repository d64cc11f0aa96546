#!/usr/bin/env bash
# Regenerates man pages and shell completions from the argument definitions.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --locked --quiet
flux=${CARGO_TARGET_DIR:-target}/debug/flux
rm -f man/*
"$flux" man man > /dev/null
"$flux" completions bash > completions/flux.bash
"$flux" completions zsh > completions/_flux
"$flux" completions fish > completions/flux.fish
"$flux" completions elvish > completions/flux.elv
"$flux" completions powershell > completions/_flux.ps1
git --no-pager diff --stat -- man completions
