#!/usr/bin/env bash
# What flux rings costs. 1. The owner of the rings, in turn without and with `flux rings --watch 1s`
# beside it, medians and their ratio: a program of another make (tests/support/foreign/xsk.c) that receives
# what a second one sends as fast as it can, and `flux bench`'s receiver under XDP live frames, which
# leave no CPU idle. 2. One look at a machine with 500 processes more, by each source. Needs root.
#   ROUNDS=10 SECONDS_EACH=3 scripts/bench-rings.sh
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || { echo "SKIP: needs root"; exit 0; }
scripts/deps.sh test
cargo build --release --locked --quiet
flux=$PWD/target/release/flux
rounds=${ROUNDS:-10} each=${SECONDS_EACH:-3}

work=$(mktemp -d)
ours="flux-rings-a-$$" peer="flux-rings-b-$$" sleepers=()
cleanup() {
    [ ${#sleepers[@]} -eq 0 ] || kill "${sleepers[@]}" 2>/dev/null || true
    exec 3>&- 4>&- || true
    ip netns del "$ours" 2>/dev/null || true
    ip netns del "$peer" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM
cc -O2 -o "$work/xsk" tests/support/foreign/xsk.c
ip netns add "$ours"
ip netns add "$peer"
ip -n "$ours" link add veth0 type veth peer name veth1 netns "$peer"
ip -n "$ours" link set veth0 up
ip -n "$peer" link set veth1 up

median() { sort -g | awk '{v[NR]=$1} END{print (NR%2 ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2)}'; }
limit=$((2 * rounds * (each + 2) + 60))
mkfifo "$work/owner.in" "$work/owner.out" "$work/sender.in"
ip netns exec "$ours" taskset -c 0 "$work/xsk" veth0 mode=drop seconds=$limit <"$work/owner.in" >"$work/owner.out" &
exec 3>"$work/owner.in" 5<"$work/owner.out"
read -r _ <&5
ip netns exec "$peer" taskset -c 1 "$work/xsk" veth1 mode=tx rx=0 attach=0 seconds=$limit <"$work/sender.in" >/dev/null &
exec 4>"$work/sender.in"

stats() { echo stats >&3; read -r line <&5; echo "$line"; }
number() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" <<<"$2"; }
# Packets a second that the owner received over the next `each` seconds.
rate() {
    local before after
    before=$(stats)
    sleep "$each"
    after=$(stats)
    awk -v n=$(($(number received "$after") - $(number received "$before"))) \
        -v t=$(($(number time_ns "$after") - $(number time_ns "$before"))) 'BEGIN{printf "%.0f\n", n*1e9/t}'
}

# The same of our own receiver, whose generator takes all that is left of both CPUs.
live() {
    "$flux" bench --lab --workload rxdrop --batch 64 --poll busy --repeat 1 --duration "${each}s" --json 2>/dev/null |
        sed -n 's/.*"mpps":{"median":\([0-9.]*\).*/\1/p' | awk '{printf "%.0f\n", $1*1e6}'
}

# Measures in turn without and with somebody who watches.
pairs() {
    rm -f "$work/with" "$work/without"
    for round in $(seq "$rounds"); do
        if ((round % 2)); then order="without with"; else order="with without"; fi
        for what in $order; do
            if [ "$what" = with ]; then
                "$flux" rings --watch 1s --json >/dev/null 2>&1 &
                watcher=$!
                sleep 1 # loading the program once is not what is measured
            fi
            "$1" >>"$work/$what"
            if [ "$what" = with ]; then kill -INT "$watcher"; wait "$watcher" || true; fi
        done
        echo "  round $round: without $(tail -1 "$work/without"), with $(tail -1 "$work/with")"
    done
    a=$(median <"$work/without") b=$(median <"$work/with")
    paste "$work/with" "$work/without" | awk '{print $1/$2}' | median |
        awk -v a="$a" -v b="$b" '{printf "  medians: without %.0f, with %.0f: %.4f; median of the pairs: %.4f\n", a, b, b/a, $1}'
}

echo "a foreign program that receives, $rounds pairs of $each s, packets a second:"
pairs rate
exec 3>&- 4>&-
wait
echo "flux bench's receiver under live frames, $rounds pairs of $each s, packets a second:"
pairs live

echo "one look beside 500 more processes, 21 looks:"
for _ in $(seq 500); do sleep 300 & sleepers+=($!); done
ip netns exec "$ours" "$work/xsk" veth0 mode=drop seconds=60 <"$work/owner.in" >/dev/null &
exec 3>"$work/owner.in"
for source in iter pidfd; do
    ip netns exec "$ours" "$flux" rings veth0 --source $source --over 0 --watch 50ms --count 21 --json 2>/dev/null |
        sed -n 's/.*"took_us":\([0-9.]*\).*/\1/p' | median |
        awk -v s=$source '{printf "  %-5s median %.2f ms\n", s, $1/1000}'
done
