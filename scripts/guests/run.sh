#!/usr/bin/env bash
# Boots a guest in QEMU (no KVM, no network outside the guest), runs one program in it, and shows its
# output. The guest has two CPUs and 64 huge pages; nothing needs root.
#
#   run.sh [-k RELEASE] [-n NIC] [-t SECONDS] [-f FILE]… [-e NAME=VALUE]… PROGRAM [ARGUMENT…]
#
#   -k  kernel, as fetch.sh prints it            -f  one more file, to the same path in the guest
#   -n  four NICs, eth0 wired to eth1 and eth2 to eth3: virtio, virtio-plain (without iommu_platform),
#       igb, e1000e, vmxnet3; none (default)     -t  time limit (300 s)
# Programs come with the libraries that they need; ip, ethtool, ping and ss are there if they are here.
# Exit status: that of the program; 124 when time was up, 125 when the guest died.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${FLUX_GUESTS:-${XDG_CACHE_HOME:-$HOME/.cache}/flux-guests}
cache=$(cd "$cache" && pwd)
release='' nic=none limit=300 files=() settings=()
while getopts k:n:t:f:e: option; do
    case $option in
        k) release=$OPTARG ;;
        n) nic=$OPTARG ;;
        t) limit=$OPTARG ;;
        f) files+=("$(realpath "$OPTARG")") ;;
        e) settings+=("$OPTARG") ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
if [ -z "$release" ] || [ $# -eq 0 ]; then
    sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
kernel=$cache/kernel-$release

work=$(mktemp -d)
qemu=
# shellcheck disable=SC2317 # by the trap
cleanup() {
    [ -z "$qemu" ] || { kill "$qemu" && wait "$qemu"; } 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# 1. What the guest finds: an archive of files in memory.
root=$work/root
mkdir -p "$root"/{bin,"lib/modules/$release",modules,etc,usr/sbin}
cp "$cache/tools/bin/busybox" "$root/bin/"
cp "$here/init" "$root/init"
cp "$kernel"/modules/*.ko "$root/modules/"
cp "$kernel/config" "$root/lib/modules/$release/" # where newer Debian has it
echo "root:x:0:0:root:/root:/bin/sh" >"$root/etc/passwd"
place() { # place FILE PATH: with the libraries that it needs, and without what debuggers want
    local library
    mkdir -p "$root$(dirname "$2")"
    strip -g -o "$root$2" "$1" 2>/dev/null || cp -L "$1" "$root$2"
    { ldd "$1" 2>/dev/null || true; } | { grep -oE '/[^ ]+' || true; } | while read -r library; do
        [ -e "$root$library" ] || { mkdir -p "$root$(dirname "$library")"; cp -L "$library" "$root$library"; }
    done
}
program=$(realpath "$1")
shift
for file in "$program" "${files[@]}"; do place "$file" "$file"; done
for name in ip ethtool ping ss; do
    if path=$(command -v "$name"); then place "$path" "/usr/sbin/$name"; fi
done
{
    for setting in "${settings[@]}"; do printf 'export %q\n' "$setting"; done
    printf 'exec'
    printf ' %q' "$program" "$@"
    echo
} >"$root/command"
(cd "$root" && find . | "$cache/tools/bin/busybox" cpio -o -H newc >"$work/initrd" 2>/dev/null)
rm -rf "$root"

# 2. The NICs, each on a port of its own (the igb needs that), two on each hub.
nics=()
for n in 0 1 2 3; do
    case $nic in
        none) continue ;;
        virtio) device=virtio-net-pci,disable-legacy=on,iommu_platform=on ;;
        virtio-plain) device=virtio-net-pci,disable-legacy=on ;;
        igb | e1000e | vmxnet3) device=$nic ;;
        *) echo "error: no NIC is called $nic" >&2; exit 2 ;;
    esac
    nics+=(-device "pcie-root-port,id=port$n,chassis=$n,slot=$n"
        -netdev "hubport,id=wire$n,hubid=$((n / 2))"
        -device "$device,id=nic$n,netdev=wire$n,bus=port$n,mac=52:54:00:00:00:0$n")
done

# 3. QEMU, with a pipe for what the program says, and one from the guest to the monitor.
machine=$cache/tools
binary=$machine/usr/bin/qemu-system-x86_64
roms=()
if [ -x "$binary" ]; then
    export LD_LIBRARY_PATH=$machine/usr/lib/x86_64-linux-gnu:$machine/lib/x86_64-linux-gnu
    roms=(-L "$machine/usr/share/qemu" -L "$machine/usr/share/seabios" -L "$machine/usr/lib/ipxe/qemu")
else
    binary=$(command -v qemu-system-x86_64)
fi
image=$kernel/vmlinux
[ -e "$image" ] || image=$kernel/vmlinuz
mkfifo "$work/output" "$work/monitor.in" "$work/monitor.out"
cat "$work/output" &
shown=$!
# A busy host misleads the kernel when it tests its timer and measures its TSC: it is told not to rely on
# those, else guests lose seconds or gain minutes.
nice -n 10 timeout -k 5 "$limit" "$binary" "${roms[@]}" \
    -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 \
    -no-user-config -nodefaults -no-reboot -display none \
    -kernel "$image" -initrd "$work/initrd" \
    -append "console=ttyS0 loglevel=5 panic=-1 no_timer_check tsc=unstable clocksource=hpet mitigations=off nokaslr hugepages=64" \
    -chardev "pipe,id=monitor,path=$work/monitor" -mon chardev=monitor \
    -serial "file:$work/console" -serial "file:$work/output" -serial "file:$work/monitor.in" \
    "${nics[@]}" 2>"$work/errors" &
qemu=$!
exec 3>"$work/output" # so that the reader ends also when QEMU does not start
ended=0
wait "$qemu" || ended=$?
qemu=
exec 3>&-
wait "$shown"
status=$(tr -d '\r' <"$work/console" | sed -n 's/^guest: exit \([0-9]*\)$/\1/p')
complaints=$(grep -aE 'BUG:|WARNING:|Oops|Call Trace|guest: no' "$work/console" || true)
[ -z "$complaints" ] || printf 'the kernel complained:\n%s\n' "$complaints" >&2
if [ -z "$status" ]; then
    { echo "error: the guest did not get to the end"; cat "$work/errors"; tail -n 30 "$work/console"; } >&2
    [ "$ended" = 124 ] && exit 124
    exit 125
fi
exit "$status"
