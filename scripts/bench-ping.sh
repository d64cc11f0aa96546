#!/usr/bin/env bash
# flux ping against iputils ping on one veth pair, in turn in one run: medians and ratios.
# Also: the time of a short simulated run, peak memory, and a flood. Needs root for the veth part.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --locked --quiet
flux=$PWD/target/release/flux
rounds=${ROUNDS:-5}

median() { sort -g | awk '{v[NR]=$1} END{print (NR%2 ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2)}'; }

echo "start to exit of 'flux ping -c 5 10.0.0.2 --sim', 51 runs:"
for _ in $(seq 51); do
    from=$(date +%s%N)
    "$flux" ping -c 5 10.0.0.2 --sim >/dev/null 2>&1
    echo $((($(date +%s%N) - from) / 1000))
done | median | awk '{printf "  median %.1f ms\n", $1/1000}'

if [ "$(id -u)" -ne 0 ]; then
    echo "SKIP: the veth part needs root"
    exit 0
fi
scripts/deps.sh test
ours="flux-bench-a-$$" peer="flux-bench-b-$$"
cleanup() { ip netns del "$ours" 2>/dev/null || true; ip netns del "$peer" 2>/dev/null || true; }
trap cleanup EXIT
trap 'exit 130' INT TERM
ip netns add "$ours"
ip netns add "$peer"
ip -n "$ours" link add veth0 numrxqueues 2 numtxqueues 2 type veth peer name veth1 \
    numrxqueues 2 numtxqueues 2 netns "$peer"
ip -n "$ours" addr add 10.9.0.1/24 dev veth0
ip -n "$peer" addr add 10.9.0.2/24 dev veth1
ip -n "$ours" link set veth0 up
ip -n "$peer" link set veth1 up
# The kernel answers echo requests without its own rate limit in the way.
ip netns exec "$peer" sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv4.icmp_msgs_per_sec=1000000000 2>/dev/null || true
in_ours() { ip netns exec "$ours" "$@"; }
in_ours ping -c 1 -q 10.9.0.2 >/dev/null

work=$(mktemp -d)
trap 'cleanup; rm -rf "$work"' EXIT
echo "median RTT, 2000 probes at 2 ms, $rounds rounds in turn:"
for round in $(seq "$rounds"); do
    in_ours ping -i 0.002 -c 2000 10.9.0.2 | sed -n 's/.*time=\([0-9.]*\) ms/\1/p' |
        awk '{print $1*1000}' | median >> "$work/ping"
    for poll in busy adaptive syscall; do
        in_ours "$flux" ping -q -i 0.002 -c 2000 --poll "$poll" --json 10.9.0.2 2>/dev/null |
            sed -n 's/.*"event":"summary".*"p50":\([0-9.]*\).*/\1/p' >> "$work/$poll"
    done
    echo "  round $round: ping $(tail -1 "$work/ping") us, flux $(tail -1 "$work/busy") busy," \
        "$(tail -1 "$work/adaptive") adaptive, $(tail -1 "$work/syscall") syscall"
done
base=$(median < "$work/ping")
echo "  iputils ping     $base us"
for poll in busy adaptive syscall; do
    median < "$work/$poll" | awk -v p="$poll" -v b="$base" '{printf "  flux --poll %-9s %.1f us, %.2f of ping\n", p, $1, $1/b}'
done

echo "flood to the kernel's responder, --rate 200kpps, 5 s:"
in_ours "$flux" ping -q --rate 200kpps -c 1000000 10.9.0.2 2>/dev/null | tail -3 | sed 's/^/  /'

echo "peak memory of a default run:"
(exec ip netns exec "$ours" "$flux" ping -q -c 20 -i 0.1 10.9.0.2 >/dev/null 2>&1) &
pid=$!
peak=0
while state=$(cat /proc/$pid/status 2>/dev/null); do
    now=$(awk '/VmHWM/{print $2}' <<< "$state")
    [ -n "$now" ] && peak=$now
    read -rt 0.05 <> <(:) || true
done
awk -v k="$peak" 'BEGIN{printf "  %.1f MB\n", k/1024}'
