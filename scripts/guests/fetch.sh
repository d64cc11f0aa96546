#!/usr/bin/env bash
# Fetches what guests are made of from a Debian mirror into a cache; nothing is installed. apt checks
# signatures and SHA-256 sums.
#   fetch.sh tools           QEMU (unless PATH has one with igb) and busybox
#   fetch.sh kernel SERIES   the newest kernel of a series (5.10, 6.1, 6.12, 6.18, 7); prints its release
# FLUX_GUESTS is the cache (~/.cache/flux-guests), FLUX_MIRROR the mirror (that of apt's sources).
# Exit status: 3 when the mirror has no such kernel.
set -euo pipefail
cache=${FLUX_GUESTS:-${XDG_CACHE_HOME:-$HOME/.cache}/flux-guests}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

fail() { echo "error: $1" >&2; echo "hint: $2" >&2; exit 2; }
command -v apt-get dpkg-deb >/dev/null ||
    fail "no apt-get here" "guests are made of Debian packages: run this on Debian or a system like it"

# The first mirror in apt's sources that has Debian's layout.
mirror() {
    local found
    found=$(sed -n 's/^\(URIs:\|deb \(\[[^]]*] *\)\?\) *\([^ ]*\/debian\)\/\?\( .*\)\?$/\3/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | head -n 1)
    echo "${FLUX_MIRROR:-${found:-http://deb.debian.org/debian}}"
}

# private_apt DIRECTORY STATUS SUITE…: an apt of its own there, which knows these suites and takes the
# packages in the file STATUS as installed. Other calls of apt in this shell use it, too.
private_apt() {
    local dir=$cache/$1 status=$2
    shift 2
    mkdir -p "$dir"/{none,lists/partial,archives/partial}
    printf "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) %s main\n" "$@" >"$dir/sources"
    cat >"$dir/apt.conf" <<CONF
Dir::State "$dir"; Dir::State::status "$status"; Dir::Cache "$dir";
Dir::Etc::sourcelist "$dir/sources"; Dir::Etc::sourceparts "$dir/none";
Dir::Etc::preferencesparts "$dir/none"; Dir::Etc::preferences "$dir/none/none";
APT::Install-Recommends "false"; APT::Sandbox::User ""; Debug::NoLocking "true";
CONF
    export APT_CONFIG=$dir/apt.conf
    apt-get -qq update >&2
}

has_igb() { "$1" -device help 2>/dev/null | grep -q '"igb"'; }

tools() {
    local into=$cache/tools qemu=false packages archive
    [ ! -e "$into/complete" ] || return 0
    has_igb qemu-system-x86_64 || qemu=true
    rm -rf "$into"
    mkdir -p "$into"
    codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    # Libraries that are installed are not fetched.
    private_apt apt-tools /var/lib/dpkg/status "$codename" "$codename-backports"
    packages=(busybox-static)
    ! $qemu || packages+=(qemu-system-x86)
    apt-get -qq -y --reinstall --download-only -t "$codename-backports" install "${packages[@]}" >/dev/null
    for archive in "$cache"/apt-tools/archives/*.deb; do dpkg-deb -x "$archive" "$into"; done
    rm -rf "$cache/apt-tools"
    touch "$into/complete"
}

# Modules in the order in which they are loaded. Those that a kernel lacks are built in, or not needed.
modules="virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci failover net_failover
    virtio_net pps_core ptp i2c-algo-bit dca igb e1000e vmxnet3 veth"

kernel() {
    local series=$1 suite release packages dir work name file start length n=10
    case $series in
        5.10) suite=bullseye ;;
        6.1) suite=bookworm ;;
        6.12) suite=trixie ;;
        6.18 | 7) suite=trixie-backports ;;
        *) fail "kernel $series" "fetch.sh knows 5.10, 6.1, 6.12, 6.18 and 7" ;;
    esac
    # A kernel stays in the cache after the mirror has dropped it.
    release=$(find "$cache" -path "*/kernel-$series.*/complete" -printf '%h\n' | sort -V | tail -n 1)
    if [ -n "$release" ]; then
        echo "${release##*/kernel-}"
        return
    fi
    : >"$cache/nothing"
    private_apt "apt-$suite" "$cache/nothing" "$suite"
    release=$(apt-cache pkgnames "linux-image-$series." | grep -E '^linux-image-[^-]+(-[0-9]+)?-amd64$' |
        sort -V | tail -n 1)
    if [ -z "$release" ]; then
        echo "$suite of $(mirror) has no kernel $series" >&2
        exit 3
    fi
    release=${release#linux-image-}
    # Newer packages are in parts, and the image is empty.
    packages=("linux-image-$release")
    if apt-cache pkgnames "linux-binary-$release" | grep -q .; then
        packages=("linux-binary-$release" "linux-modules-$release" "linux-base-$release")
    fi
    dir=$cache/kernel-$release work=$cache/kernel-$release/work
    rm -rf "$dir"
    mkdir -p "$work"
    (cd "$work" && apt-get -qq download "${packages[@]}" >&2)
    for file in "$work"/*.deb; do
        dpkg-deb --fsys-tarfile "$file" | tar -x -C "$work" --wildcards '*/vmlinuz*' '*/config-*' '*/config' '*.ko*' 2>/dev/null || true
    done
    dpkg-deb -f "$(find "$work" -name "${packages[0]}_*.deb")" Version >"$dir/version"
    mkdir "$dir/modules"
    for name in $modules; do
        file=$(find "$work" -name "$name.ko*" | head -n 1)
        case $file in
            *.xz) xz -dc "$file" >"$dir/modules/$n-$name.ko" ;;
            *.ko) cp "$file" "$dir/modules/$n-$name.ko" ;;
        esac
        n=$((n + 1))
    done
    [ -e "$dir/modules/$((n - 1))-veth.ko" ] || fail "no veth in ${packages[*]}" "report this with the mirror's name"
    find "$work" -name 'vmlinuz*' -exec cp {} "$dir/vmlinuz" \;
    find "$work" \( -name 'config-*' -o -name config \) -type f -exec cp {} "$dir/config" \;
    # Unpacking the kernel takes an emulated CPU long; so that is done here, where it can be.
    # Offsets: the Linux/x86 boot protocol.
    number() { od -An -t "u$2" -j "$1" -N "$2" "$dir/vmlinuz" | tr -d ' '; }
    start=$((($(number 497 1) + 1) * 512 + $(number 584 4)))
    length=$(number 588 4)
    payload() { dd if="$dir/vmlinuz" bs=64k iflag=skip_bytes,count_bytes status=none skip="$start" count="$1"; }
    case $(payload 2 | od -An -t x1 | tr -d ' ') in
        28b5) payload $((length - 4)) | zstd -qdc ;;
        fd37) payload "$length" | xz -dc --single-stream ;;
    esac >"$dir/vmlinux" || true
    # Only an ELF file of today's boot protocol (PVH) will do; run.sh takes vmlinuz otherwise.
    [ "$(head -c 4 "$dir/vmlinux" | tail -c 3)" = ELF ] || rm "$dir/vmlinux"
    rm -rf "$work" "$cache/apt-$suite" "$cache/nothing"
    touch "$dir/complete"
    echo "$release"
}

case "${1:-} $#" in
    "tools 1") tools ;;
    "kernel 2") kernel "$2" ;;
    *) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
