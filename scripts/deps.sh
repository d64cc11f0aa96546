#!/usr/bin/env bash
# Names the Debian packages that are missing, then installs them (as root).
# With FLUX_NO_INSTALL=1 it only names them. Usage: deps.sh build|demo|test
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin # dpkg wants them, and su does not give them to root

if ! command -v cargo >/dev/null; then
    want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
    echo "error: no cargo in PATH: flux needs Rust $want or newer" >&2
    echo "hint: install it with rustup (https://rustup.rs), or add ~/.cargo/bin to PATH" >&2
    exit 1
fi

build="gcc libc6-dev make pkgconf libelf-dev zlib1g-dev ca-certificates git"
# What the tests on the real kernel run, which only root can.
lab="iproute2 iputils-ping ethtool procps util-linux traceroute mtr-tiny nftables"
# clang compiles the BPF programs again, to see that the checked-in result is not stale.
checks="clang shellcheck"
case "${1:-build}" in
    build) wanted="$build" ;;
    demo) wanted="$build iproute2" ;;
    test) if [ "$(id -u)" -eq 0 ]; then wanted="$build $lab $checks"; else wanted="$build"; fi ;;
    *) echo "usage: deps.sh build|demo|test" >&2; exit 2 ;;
esac

case ${CARGO_TARGET_DIR:-$PWD} in
    *[[:space:]]*)
        echo "error: libbpf cannot be built in a directory with a blank in its path: ${CARGO_TARGET_DIR:-$PWD}" >&2
        echo "hint: move the clone, or set CARGO_TARGET_DIR" >&2
        exit 1 ;;
esac

missing() { # PACKAGE…: those that are not installed
    local package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
    done
}
# shellcheck disable=SC2086 # lists of words
{ mapfile -t needed < <(missing $build); mapfile -t all < <(missing $wanted); }
[ ${#all[@]} -eq 0 ] && exit 0

command="apt-get install --no-install-recommends ${all[*]}"
if ! command -v apt-get >/dev/null; then
    echo "Not Debian. Please install what these packages have: ${all[*]}"
elif [ -n "${FLUX_NO_INSTALL:-}" ] && [ "$FLUX_NO_INSTALL" != 0 ]; then
    echo "Missing Debian packages: ${all[*]}"
    echo "They are not installed, because FLUX_NO_INSTALL is set. To install them: $command"
elif [ "$(id -u)" -ne 0 ]; then
    echo "Missing Debian packages: ${all[*]}" >&2
    echo "Install them with: sudo $command" >&2
    exit 1
else
    echo "Missing Debian packages: ${all[*]}"
    echo "Installing them now (a minute or two; FLUX_NO_INSTALL=1 would only name them)"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get -qq update && apt-get -qq install -y --no-install-recommends "${all[@]}" >/dev/null; } && exit 0
    echo "error: these packages could not be installed: ${all[*]}" >&2
    if [ ${#needed[@]} -gt 0 ]; then
        echo "hint: nothing can be built without ${needed[*]}" >&2
        exit 1
    fi
    echo "hint: going on without them; tests that need them are skipped" >&2
fi
