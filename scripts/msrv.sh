#!/usr/bin/env bash
# Whether rust-version in Cargo.toml is true: the crate builds with that compiler. When it is the
# compiler at hand, all other steps have shown it. (tests/core checks what dependencies ask for, and
# clippy that no newer part of the standard library is used.)
set -euo pipefail
cd "$(dirname "$0")/.."
want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
same() { [[ "$1" == "$want" || "$1" == "$want".* ]]; }

have=$(rustc --version | cut -d' ' -f2)
if same "$have"; then
    echo "rust-version is $want, and so is this rustc ($have): the other steps have checked it"
    exit 0
fi
for toolchain in $(rustup toolchain list 2>/dev/null | cut -d- -f1); do
    if same "$toolchain"; then
        exec cargo "+$toolchain" check --locked --target-dir target/msrv
    fi
done
exec scripts/skip.sh "rust-version $want is not checked: rustc is $have, and rustup has no $want"
