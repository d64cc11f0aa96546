#!/usr/bin/env bash
# TCP between two hosts through examples/forward_two_ports and through the kernel's bridge, in turn
# in one run, with offloads as Linux has them: medians and ratios. All of it (both ends, kernel and
# forwarder) is on the same two CPUs. Needs root and iperf3.
#   ROUNDS=7 SECONDS_EACH=3 CPUS=0,1 scripts/bench-forward.sh
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || { scripts/skip.sh "needs root"; exit; }
scripts/deps.sh test
command -v iperf3 >/dev/null || { scripts/skip.sh "needs Debian package iperf3"; exit; }
cargo build --release --locked --quiet --example forward_two_ports
target_dir=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
cable=$target_dir/release/examples/forward_two_ports
rounds=${ROUNDS:-7} seconds=${SECONDS_EACH:-3} cpus=${CPUS:-0,1}

work=$(mktemp -d)
left="flux-bench-l-$$" us="flux-bench-u-$$" right="flux-bench-r-$$"
started=()
end_all() {
    for pid in "${started[@]}"; do kill -9 "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
    started=()
}
cleanup() {
    end_all
    for ns in "$left" "$us" "$right"; do ip netns del "$ns" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

for ns in "$left" "$us" "$right"; do ip netns add "$ns"; done
n=1
for side in left right; do
    ip -n "$us" link add "${side}0" numrxqueues 2 numtxqueues 2 type veth \
        peer name far0 numrxqueues 2 numtxqueues 2 netns "${!side}"
    ip -n "${!side}" addr add "10.9.0.$n/24" dev far0
    ip -n "${!side}" link set far0 up
    ip -n "$us" link set "${side}0" up
    n=$((n + 1))
done
ip -n "$us" link add bridge0 type bridge
ip -n "$us" link set bridge0 up
in_ns() { ip netns exec "$1" taskset -c "$cpus" "${@:2}"; }

# start NAMESPACE COMMAND…: in the background, until end_all.
start() {
    (exec ip netns exec "$1" taskset -c "$cpus" "${@:2}" >"$work/log" 2>&1) &
    started+=($!)
}

bridge() {
    while ip -n "$us" -details link show left0 | grep -q xdp; do read -rt 0.05 <> <(:) || true; done
    for port in left0 right0; do ip -n "$us" link set "$port" master bridge0; done
}
forwarder() {
    for port in left0 right0; do ip -n "$us" link set "$port" nomaster; done
    start "$us" "$cable" left0 right0
}

# tso on|off: whether the hosts give their interfaces segments longer than the MTU.
tso() {
    for ns in "$left" "$right"; do
        ip netns exec "$ns" ethtool -K far0 tso "$1" >/dev/null
    done
}

# measure FILE ARGUMENT…: appends the receiver's Gbit/s.
measure() {
    start "$right" iperf3 -s -1
    for _ in $(seq 100); do
        if in_ns "$left" ping -c 1 -W 0.2 -q 10.9.0.2 >/dev/null 2>&1 &&
            ip netns exec "$right" ss -Hltn sport = 5201 | grep -q .; then break; fi
        read -rt 0.05 <> <(:) || true
    done
    in_ns "$left" iperf3 -c 10.9.0.2 -t "$seconds" -J "${@:2}" >"$work/json" ||
        { cat "$work/json" "$work/log"; exit 1; } >&2
    sed -n '/"sum_received"/,/}/s/.*"bits_per_second":[^0-9]*\([0-9.e+]*\).*/\1/p' "$work/json" |
        tail -1 | awk '{print $1/1e9}' >>"$work/$1"
    end_all
}

median() { sort -g "$1" | awk '{v[NR]=$1} END{print (NR%2 ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2)}'; }
range() { sort -g "$1" | awk 'NR==1{a=$1} {b=$1} END{printf "%.2f-%.2f", a, b}'; }
show() { # show FILE WHAT: with its ratio to the forwarder
    printf '  %-46s %6.2f Gbit/s (%s)%s\n' "$2" "$(median "$work/$1")" "$(range "$work/$1")" \
        "$(awk -v a="$(median "$work/$3")" -v b="$(median "$work/$1")" 'BEGIN{printf ", forwarder / this %.2f", a/b}')"
}

echo "TCP through the middle on CPUs $cpus, $rounds rounds of $seconds s in turn:"
for round in $(seq "$rounds"); do
    for streams in 1 4; do
        forwarder; measure "forwarder$streams" -P "$streams"
        # XDP in the middle turns TSO off at the hosts, and back on with its end.
        bridge; tso off; measure "segments$streams" -P "$streams"
        tso on; measure "bridge$streams" -P "$streams"
    done
    echo "  round $round: forwarder $(tail -n 1 "$work/forwarder1"), bridge with the same segments" \
        "$(tail -n 1 "$work/segments1"), bridge $(tail -n 1 "$work/bridge1") Gbit/s"
done
for streams in 1 4; do
    echo "$streams connection(s):"
    show "forwarder$streams" "forward_two_ports" "forwarder$streams"
    show "segments$streams" "kernel bridge, segments of the MTU as with XDP" "forwarder$streams"
    show "bridge$streams" "kernel bridge, segments up to 64 KiB" "forwarder$streams"
done
