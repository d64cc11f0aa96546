#!/usr/bin/env bash
# flux trace against traceroute and mtr on a path of 12 routers, each a network namespace of its
# own: whole processes from start to exit, in turn in one run, medians and ratios. Three times: all
# routers answer; two of them never do; the last router and the target never do. Needs root.
#   ROUNDS=5 MTR_ROUNDS=2 HOPS=12 SILENT="5 8" scripts/bench-trace.sh
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || { echo "SKIP: needs root"; exit 0; }
scripts/deps.sh test
cargo build --release --locked --quiet
target_dir=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
flux=$target_dir/release/flux
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
last=$((hops + 1))
target=10.9.$hops.2 target6=fd09:0:0:$hops::2
mac() { printf '02:00:00:00:%02x:%02x' "$1" "$2"; }
# end INTERFACE LINK OWN OTHER: what one end of a link is given, as lines for ip.
end() {
    echo "link set dev $1 up"
    echo "addr add 10.9.$2.$3/24 dev $1"
    echo "addr add fd09:0:0:$2::$3/64 dev $1 nodad"
    for to in "10.9.$2.$4" "fd09:0:0:$2::$4"; do
        echo "neigh replace $to lladdr $(mac "$2" "$4") dev $1 nud permanent"
    done
}
for k in $(seq 0 $last); do
    ip netns add "$name-$k"
    # No rate limit of ICMP errors: how long a path takes is what is measured.
    ip netns exec "$name-$k" sysctl -qw net.ipv6.conf.default.accept_dad=0 \
        net.ipv6.conf.default.router_solicitations=0 net.ipv4.icmp_ratelimit=0 \
        net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
        net.ipv6.icmp.ratelimit=0 net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    ip netns exec "$name-$k" sysctl -qw net.ipv4.icmp_msgs_per_sec=1000000 2>/dev/null || true
done
for k in $(seq 0 $last); do
    {
        echo "link set dev lo up"
        if ((k < last)); then
            echo "link add near address $(mac "$k" 1) numrxqueues 2 numtxqueues 2 type veth" \
                "peer name far address $(mac "$k" 2) numrxqueues 2 numtxqueues 2 netns $name-$((k + 1))"
            end near "$k" 1 2
            # Everything is further on,
            echo "route add 0.0.0.0/0 via 10.9.$k.2"
            echo "route add ::/0 via fd09:0:0:$k::2"
        fi
        if ((k > 0)); then
            end far $((k - 1)) 2 1
            # except us.
            back=("10.9.0.0/24" "fd09::/64")
            if ((k == last)); then back=("0.0.0.0/0" "::/0"); fi
            if ((k > 1)); then
                echo "route add ${back[0]} via 10.9.$((k - 1)).1"
                echo "route add ${back[1]} via fd09:0:0:$((k - 1))::1"
            fi
        fi
    } >"$work/batch"
    ip -n "$name-$k" -batch "$work/batch"
done
in_ours() { ip netns exec "$name-0" "$@"; }
for to in "$target" "$target6"; do
    for _ in $(seq 50); do in_ours ping -c 1 -W 0.2 -q "$to" >/dev/null && continue 2; done
    echo "the lab does not carry packets to $to" >&2
    exit 1
done

median() { sort -g | awk '{v[NR]=$1} END{print (NR%2 ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2)}'; }

# timed FILE COMMAND…: appends the ms from start to exit; what it printed is in $work/printed. The
# clock is read in the namespace, so that entering it is no part.
timed() {
    # shellcheck disable=SC2016
    in_ours bash -c 'file=$1 printed=$2; shift 2
        from=$EPOCHREALTIME; "$@" >"$printed" 2>/dev/null || [ $? -eq 1 ]; to=$EPOCHREALTIME
        echo $((${to/./} - ${from/./})) | awk "{print \$1/1000}" >>"$file"' \
        bash "$1" "$work/printed" "${@:2}"
}

# check WHAT NUMBER: so many hops must have an address in what was printed last.
check() {
    # Not the line above the hops, and no hop of stars.
    found=$(grep -cE '^ *[0-9]+(\.\|--)? +[0-9a-f]+[.:]' "$work/printed" || true)
    [ "$found" -eq "$2" ] || { echo "$1 shows $found hops, not $2:"; cat "$work/printed"; exit 1; } >&2
}

# compare HOPS: all three in turn; so many hops must be found.
compare() {
    rm -f "$work"/{traceroute,mtr,flux,flux6}
    for round in $(seq "$rounds"); do
        if ((slow == 0 || round <= mtr_rounds)); then
            timed "$work/traceroute" traceroute -n "$target"; check traceroute "$1"
        fi
        timed "$work/flux" "$flux" trace -n "$target"; check "flux trace" "$1"
        timed "$work/flux6" "$flux" trace -n "$target6"; check "flux trace" "$1"
        if ((round <= mtr_rounds)); then
            timed "$work/mtr" mtr -n -r -c 3 "$target"; check mtr "$1"
        fi
    done
    ours=$(median <"$work/flux")
    printf '  %-24s median %8.1f ms (%s)\n' "flux trace -n" "$ours" "$(range "$work/flux")"
    printf '  %-24s median %8.1f ms (%s)\n' "flux trace -n, IPv6" "$(median <"$work/flux6")" "$(range "$work/flux6")"
    for peer in traceroute mtr; do
        options="-n"; [ $peer = traceroute ] || options="-n -r -c 3"
        printf '  %-24s median %8.1f ms (%s), %.2f x flux\n' "$peer $options" "$(median <"$work/$peer")" \
            "$(range "$work/$peer")" "$(ratio "$peer")"
    done
}
range() { sort -g "$1" | awk 'NR==1{a=$1} {b=$1} END{printf "%.1f-%.1f", a, b}'; }
ratio() { awk -v p="$(median <"$work/$1")" -v f="$(median <"$work/flux")" 'BEGIN{print p/f}'; }
# more: how many ms longer than traceroute it took us.
more() { awk -v p="$(median <"$work/traceroute")" -v f="$(median <"$work/flux")" 'BEGIN{print f-p}'; }
# goal WHAT CONDITION: whether it holds, as awk sees it.
goal() { awk "BEGIN{exit !($2)}" && echo "  reached: $1" || echo "  MISSED: $1"; }

mute() { # mute NAMESPACE: it sends no ICMP errors any more
    ip netns exec "$name-$1" nft -f - <<'NFT'
table inet mute {
    chain out {
        type filter hook output priority 0; policy accept;
        icmp type { time-exceeded, destination-unreachable } drop
        icmpv6 type { time-exceeded, destination-unreachable } drop
    }
}
NFT
}
unmute() { ip netns exec "$name-$1" nft delete table inet mute; }

slow=0
echo "$hops routers that all answer, $rounds rounds in turn:"
compare $((hops + 1))
goal "at most 20 ms more than traceroute -n" "$(more) <= 20"

read -ra quiet <<<"$silent"
echo "routers $silent never answer:"
for k in "${quiet[@]}"; do mute "$k"; done
compare $((hops + 1 - ${#quiet[@]}))
goal "at most 100 ms more than traceroute -n" "$(more) <= 100"
goal "10 x sooner than mtr -n -r -c 3" "$(ratio mtr) >= 10"

# No goal, but what else silence can cost: traceroute gives a silent hop up after ten times what a
# later one took, which is next to nothing here; with nobody behind, it waits its five seconds.
echo "router $hops and the target never answer:"
for k in "${quiet[@]}"; do unmute "$k"; done
mute "$hops"
mute "$last"
slow=1
# mtr asks with echo requests.
ip netns exec "$name-$last" nft -f - <<'NFT'
table inet deaf {
    chain in {
        type filter hook input priority 0; policy accept;
        meta l4proto { icmp, udp } drop
        icmpv6 type echo-request drop
    }
}
NFT
compare $((hops - 1))
