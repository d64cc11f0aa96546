#!/usr/bin/env bash
# flux trace against traceroute and mtr on a path of 12 routers, each a network namespace of its
# own: whole processes from start to exit, in turn in one run, medians and ratios; without and with
# two routers that never answer. Needs root.
#   ROUNDS=5 MTR_ROUNDS=2 HOPS=12 SILENT="5 8" PORT_OPTIONS="--queue 0" scripts/bench-trace.sh
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || { echo "SKIP: needs root"; exit 0; }
scripts/deps.sh test
if [ -z "${FLUX:-}" ]; then
    cargo build --release --locked --quiet
    FLUX=$PWD/target/release/flux
fi
rounds=${ROUNDS:-5} mtr_rounds=${MTR_ROUNDS:-2} hops=${HOPS:-12} silent=${SILENT:-5 8}

work=$(mktemp -d)
name="flux-trace-$$"
cleanup() {
    for k in $(seq 0 $((hops + 1))); do ip netns del "$name-$k" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Namespace 0 is ours, 1 to $hops are routers, the last is the target. Link k joins k and k + 1:
# 10.9.k.1 and fd09:0:0:k::1 on the near side, 10.9.k.2 and fd09:0:0:k::2 on the far side.
mac() { printf '02:00:00:00:%02x:%02x' "$1" "$2"; }
last=$((hops + 1))
target=10.9.$hops.2 target6=fd09:0:0:$hops::2
for k in $(seq 0 $last); do ip netns add "$name-$k"; done
for k in $(seq 0 $last); do
    # No rate limit of ICMP errors: how long a path takes is what is measured.
    ip netns exec "$name-$k" sysctl -qw net.ipv6.conf.default.accept_dad=0 \
        net.ipv6.conf.default.router_solicitations=0 net.ipv4.icmp_ratelimit=0 \
        net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
        net.ipv6.icmp.ratelimit=0 net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    ip netns exec "$name-$k" sysctl -qw net.ipv4.icmp_msgs_per_sec=1000000 2>/dev/null || true
    {
        echo "link set lo up"
        if ((k < last)); then
            echo "link add near address $(mac $k 1) numrxqueues 2 numtxqueues 2 type veth" \
                "peer name far address $(mac $k 2) numrxqueues 2 numtxqueues 2 netns $name-$((k + 1))"
            echo "link set dev near addrgenmode none up"
            echo "addr add 10.9.$k.1/24 dev near"
            echo "addr add fd09:0:0:$k::1/64 dev near nodad"
            for to in "10.9.$k.2" "fd09:0:0:$k::2"; do
                echo "neigh replace $to lladdr $(mac $k 2) dev near nud permanent"
            done
        fi
        if ((k > 0)); then
            echo "link set dev far addrgenmode none up"
            echo "addr add 10.9.$((k - 1)).2/24 dev far"
            echo "addr add fd09:0:0:$((k - 1))::2/64 dev far nodad"
            for to in "10.9.$((k - 1)).1" "fd09:0:0:$((k - 1))::1"; do
                echo "neigh replace $to lladdr $(mac $((k - 1)) 1) dev far nud permanent"
            done
        fi
    } | ip -n "$name-$k" -batch -
done
for k in $(seq 0 $last); do
    {
        # Everything further on is through the next, everything behind through the one before.
        for link in $(seq 0 $hops); do
            if ((link > k)); then
                echo "route add 10.9.$link.0/24 via 10.9.$k.2"
                echo "route add fd09:0:0:$link::/64 via fd09:0:0:$k::2"
            elif ((link < k - 1)); then
                echo "route add 10.9.$link.0/24 via 10.9.$((k - 1)).1"
                echo "route add fd09:0:0:$link::/64 via fd09:0:0:$((k - 1))::1"
            fi
        done
    } | ip -n "$name-$k" -batch -
done
in_ours() { ip netns exec "$name-0" "$@"; }
ping_all() { in_ours ping -c 2 -i 0.01 -q "$target" >/dev/null; in_ours ping -c 2 -i 0.01 -q "$target6" >/dev/null; }
ping_all
silence() {
    for k in $silent; do
        ip netns exec "$name-$k" nft -f - <<'NFT'
table inet silent {
    chain out {
        type filter hook output priority 0; policy accept;
        icmp type time-exceeded drop
        icmpv6 type time-exceeded drop
    }
}
NFT
    done
}

# Milliseconds from start to exit, appended to a file; a command that fails is said.
timed() {
    local to=$1 from till
    shift
    from=$(date +%s%N)
    in_ours "$@" >"$work/out" 2>"$work/err" || { echo "failed: $*" >&2; cat "$work/err" >&2; exit 1; }
    till=$(date +%s%N)
    echo $(((till - from) / 10000)) >>"$work/$to"
}
# Hundredths of milliseconds to the median in milliseconds.
median() { sort -n "$work/$1" | awk '{v[NR] = $1} END {printf "%.2f", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 200}'; }

measure() { # title, file prefix
    local round
    for round in $(seq 1 "$rounds"); do
        timed "$2.nothing" true
        timed "$2.traceroute" traceroute -n "$target"
        # shellcheck disable=SC2086
        timed "$2.flux" "$FLUX" trace -n ${PORT_OPTIONS:-} "$target"
        ((round > mtr_rounds)) || timed "$2.mtr" mtr -n -r -c 3 "$target"
    done
    local nothing flux traceroute mtr
    nothing=$(median "$2.nothing") flux=$(median "$2.flux")
    traceroute=$(median "$2.traceroute") mtr=$(median "$2.mtr")
    echo "$1: medians in ms, start to exit, ip netns exec ($nothing ms) included"
    awk -v f="$flux" -v t="$traceroute" -v m="$mtr" 'BEGIN {
        printf "  %-22s %10.2f\n  %-22s %10.2f   %8.2f x flux\n  %-22s %10.2f   %8.2f x flux\n",
            "flux trace -n", f, "traceroute -n", t, t / f, "mtr -n -r -c 3", m, m / f }'
}

measure "$hops routers" plain
silence
measure "$hops routers, silent: $silent" silent
