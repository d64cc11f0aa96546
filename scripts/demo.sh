#!/usr/bin/env bash
# Shows flux ping, flux trace and flux rings on the simulated network and, as root, over a veth pair of its own,
# and flux doctor there.
set -euo pipefail
cd "$(dirname "$0")/.."
flux=target/release/flux

run() { printf '\n$ %s\n' "$*"; "$@"; }

echo "1. The simulated network: no root, no NIC."
run "$flux" ping -c 5 10.0.0.2 --sim
run "$flux" ping -q -c 1000 -i 0.01 10.0.0.2 10.0.0.3 203.0.113.7 --sim=loss=1%,jitter=50us
run "$flux" trace --sim 203.0.113.7
run "$flux" trace --sim --paths 203.0.113.7
run "$flux" trace --sim --mtu 198.51.100.9
run "$flux" trace -c 100 203.0.113.7 --sim=loss=5%,jitter=1ms
run "$flux" rings sim0 --sim=starved

if [ "$(id -u)" -ne 0 ]; then
    printf '\n2. The real kernel needs root: sudo make demo\n'
    exit 0
fi
scripts/deps.sh demo

printf '\n2. The real kernel: AF_XDP on a veth pair between two network namespaces.\n'
ours="flux-demo-a-$$" peer="flux-demo-b-$$"
cleanup() { ip netns del "$ours" 2>/dev/null || true; ip netns del "$peer" 2>/dev/null || true; }
trap cleanup EXIT
trap 'exit 130' INT TERM
ip netns add "$ours"
ip netns add "$peer"
ip -n "$ours" link add veth0 type veth peer name veth1 netns "$peer"
ip -n "$ours" addr add 10.9.0.1/24 dev veth0
ip -n "$peer" addr add 10.9.0.2/24 dev veth1
ip -n "$ours" link set veth0 up
ip -n "$peer" link set veth1 up
echo "   $ours: veth0 10.9.0.1 <-> $peer: veth1 10.9.0.2 (removed at the end)"
run ip netns exec "$ours" "$flux" ping -c 5 -i 0.2 10.9.0.2
run ip netns exec "$ours" "$flux" ping -q -c 2000 -i 0.001 --histogram 10.9.0.2
run ip netns exec "$ours" "$flux" trace -n 10.9.0.2

printf '\n3. The rings of a running flux ping, and whether AF_XDP is well there.\n'
ip netns exec "$ours" "$flux" ping -q -c 3000 -i 0.001 10.9.0.2 >/dev/null 2>&1 &
pinging=$!
until ip netns exec "$ours" "$flux" rings veth0 --over 0 >/dev/null 2>&1; do
    kill -0 $pinging
done
run ip netns exec "$ours" "$flux" rings veth0
wait $pinging
run ip netns exec "$ours" "$flux" doctor veth0
