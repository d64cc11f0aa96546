#!/usr/bin/env bash
# Installs the Debian packages that are missing, and says which. Usage: deps.sh build|demo|test
set -euo pipefail

build="gcc libc6-dev make pkgconf libelf-dev zlib1g-dev"
lab="iproute2 iputils-ping ethtool procps traceroute mtr-tiny nftables"
case "${1:-build}" in
    build) wanted="$build" ;;
    demo) wanted="$build iproute2" ;;
    # clang recompiles the XDP program, to see that the checked-in object is not stale.
    test) wanted="$build $lab clang git" ;;
    *) echo "usage: deps.sh build|demo|test" >&2; exit 2 ;;
esac

missing=()
for package in $wanted; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
    echo "Not Debian: please install the equivalents of: ${missing[*]}" >&2
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "Missing packages: ${missing[*]}" >&2
    echo "Install them with: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
echo "Installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
